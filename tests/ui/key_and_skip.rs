use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n", key(id), skip(database))]
fn load(id: u64, database: &str) -> u64 {
    id + database.len() as u64
}

fn main() {}
