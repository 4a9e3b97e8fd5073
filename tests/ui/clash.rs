use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
fn images(id: u64) -> u64 {
    id
}

fn images_entry() {}

fn main() {}
