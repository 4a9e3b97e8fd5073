use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "a", ttl = "5s", max_staleness = "6s")]
fn bounded(id: u64) -> u64 {
    id
}

#[cached(REGION, "b", lease = "500ms", jitter = "110%", stale_if_error = 5)]
fn short(id: u64) -> u64 {
    id
}

fn main() {}
