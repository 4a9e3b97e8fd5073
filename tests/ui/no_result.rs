use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
fn nothing(id: u64) {
    drop(id);
}

#[cached(REGION, "n")]
async fn unit(id: u64) -> () {
    drop(id);
}

fn main() {}
