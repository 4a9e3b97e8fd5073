use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "a", skip(databse))]
fn skipped(id: u64, database: &str) -> u64 {
    id + database.len() as u64
}

#[cached(REGION, "b", key(user))]
fn keyed(id: u64) -> u64 {
    id
}

#[cached(REGION, "c", skip(self))]
fn no_method(id: u64) -> u64 {
    id
}

#[cached(REGION, "d", skip(first))]
fn part((first, second): (u64, u64)) -> u64 {
    first + second
}

fn main() {}
