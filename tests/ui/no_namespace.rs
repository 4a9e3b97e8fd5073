use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached]
fn neither(id: u64) -> u64 {
    id
}

#[cached(REGION)]
fn no_namespace(id: u64) -> u64 {
    id
}

#[cached(namespace = "n")]
fn no_region(id: u64) -> u64 {
    id
}

#[cached(REGION, "")]
fn empty(id: u64) -> u64 {
    id
}

#[cached(REGION, NAMES)]
fn no_literal(id: u64) -> u64 {
    id
}

fn main() {}
