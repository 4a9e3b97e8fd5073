use cache::{Region, cached};

static REGION: Region = Region::named("ui");

struct Opaque;

#[cached(REGION, "a")]
fn argument(id: u64, opaque: &Opaque) -> u64 {
    let _ = opaque;
    id
}

#[cached(REGION, "b", key(id, opaque))]
fn part_of_key(id: u64, opaque: &Opaque) -> u64 {
    let _ = opaque;
    id
}

fn main() {}
