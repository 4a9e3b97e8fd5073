use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "a", force = refresh)]
fn load(id: u64, refresh: bool) -> u64 {
    id + u64::from(refresh)
}

#[cached(REGION, "b", force = !again, key(id, again))]
fn named(id: u64, again: bool) -> u64 {
    id + u64::from(again)
}

fn main() {}
