use std::collections::HashSet;

use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
fn count(tags: &HashSet<String>) -> usize {
    tags.len()
}

#[cached(REGION, "m", key(tags))]
fn sum(tags: Option<HashSet<u64>>) -> u64 {
    tags.into_iter().flatten().sum()
}

fn main() {}
