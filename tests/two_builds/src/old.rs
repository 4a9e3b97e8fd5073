//! The program as it was. What has changed in `new.rs` stands there.

mod program;

use cache::{Region, cached};
use serde::{Deserialize, Serialize};

static SHOP: Region = Region::named("shop");

#[derive(Debug, Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    city: String,
}

#[cached(SHOP, "user", skip(source))]
fn user(id: u64, source: &str) -> User {
    User { id, name: format!("name-{source}"), city: format!("city-{source}") }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Price {
    sku: u64,
    cents: u64,
    source: String,
}

#[cached(SHOP, "price", skip(source))]
fn price(sku: u64, source: &str) -> Price {
    Price { sku, cents: 100 * sku, source: source.to_owned() }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    program::run()
}
