use cache::{Region, cached, invalidates};

static REGION: Region = Region::named("ui");

#[cached(REGION, "price")]
fn price(sku: String) -> u64 {
    sku.len() as u64
}

#[invalidates(price(sku))]
fn write(sku: String) -> String {
    sku
}

fn main() {}
