use cache::{Region, cached, invalidates};

static REGION: Region = Region::named("ui");

#[cached(REGION, "price", skip(shop))]
fn price(shop: &u8, sku: &str) -> u64 {
    sku.len() as u64 + u64::from(*shop)
}

#[invalidates(price(id))]
fn wrong_type(id: u64) {
    let _ = id;
}

#[invalidates(price(&1, sku))]
async fn written_like_the_function(sku: &str) {
    let _ = sku;
}

#[invalidates(price(skuu))]
fn unknown_argument(sku: &str) {
    let _ = sku;
}

fn main() {}
