use std::collections::HashSet;

use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, skip(databse), tll = "1m", force = tags.is_empty())]
async fn search<'a, T>(tags: HashSet<T>, database: &'a mut String) -> &'a str {
    let _ = tags;
    database
}

fn main() {}
