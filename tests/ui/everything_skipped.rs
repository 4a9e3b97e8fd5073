use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n", skip(database))]
fn all(database: &str) -> usize {
    database.len()
}

fn main() {}
