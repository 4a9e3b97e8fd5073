use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n", tll = "10m")]
fn slip(id: u64) -> u64 {
    id
}

#[cached(REGION, "n", sync_writes = true)]
fn elsewhere(id: u64) -> u64 {
    id
}

fn main() {}
