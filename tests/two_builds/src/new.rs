//! The program as it is now: the fields of both types stand in another order, which old bytes do not tell. `price` has its
//! `version` raised, `user` has not.

mod program;

use cache::{Region, cached};
use serde::{Deserialize, Serialize};

static SHOP: Region = Region::named("shop");

#[derive(Debug, Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    city: String,
    name: String,
}

#[cached(SHOP, "user", skip(source))]
fn user(id: u64, source: &str) -> User {
    User { id, name: format!("name-{source}"), city: format!("city-{source}") }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Price {
    cents: u64,
    sku: u64,
    source: String,
}

#[cached(SHOP, "price", version = 1, skip(source))]
fn price(sku: u64, source: &str) -> Price {
    Price { sku, cents: 100 * sku, source: source.to_owned() }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    program::run()
}
