use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
fn load(id: u64, #[cfg(all())] more: u64) -> u64 {
    id + more
}

fn main() {}
