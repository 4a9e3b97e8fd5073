use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
fn fill(id: u64, into: &mut Vec<u8>) -> usize {
    into.push(id as u8);
    into.len()
}

fn main() {}
