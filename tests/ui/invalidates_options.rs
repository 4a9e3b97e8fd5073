use cache::{Region, cached, invalidates};

static REGION: Region = Region::named("ui");

#[cached(REGION, "price")]
fn price(sku: &str) -> u64 {
    sku.len() as u64
}

#[invalidates(price(sku), when = true, only_okay)]
fn unknown(sku: &str) {
    let _ = sku;
}

#[invalidates(REGION, namespace("price"), REGION, only_ok = true, namespace = NAME, "n")]
fn wrongly_written() {}

#[invalidates(price(sku) price(sku), crate = "cache")]
fn no_comma(sku: &str) {
    let _ = sku;
}

fn main() {
    unknown("these functions are there nevertheless");
    wrongly_written();
    no_comma("and this one");
}
