use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
fn pages(id: u64) -> impl Iterator<Item = u64> {
    0..id
}

fn main() {
    pages(1).count();
}
