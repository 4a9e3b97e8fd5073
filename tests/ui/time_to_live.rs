use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "a", ttl = "ten minutes")]
fn words(id: u64) -> u64 {
    id
}

#[cached(REGION, "b", ttl = 600)]
fn no_unit(id: u64) -> u64 {
    id
}

#[cached(REGION, "c", ttl = "0s")]
fn zero(id: u64) -> u64 {
    id
}

#[cached(REGION, "d", ttl = 5 * 60)]
fn no_duration(id: u64) -> u64 {
    id
}

fn main() {}
