use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "a", only_some)]
fn no_option(id: u64) -> u64 {
    id
}

#[cached(REGION, "b", when = id)]
fn no_bool(id: u64) -> u64 {
    id
}

#[cached(REGION, "c", cache_if = |value: &String| value.is_empty())]
fn another_value(id: u64) -> u64 {
    id
}

#[cached("ui", "d", region = missing)]
fn another_region(id: u64) -> u64 {
    id
}

#[cached(region = 5, namespace = "e")]
fn no_region(id: u64) -> u64 {
    id
}

fn main() {}
