use cache::{Region, cached, invalidates};

static REGION: Region = Region::named("ui");

#[cached(REGION, "price")]
fn price(sku: &str) -> u64 {
    sku.len() as u64
}

#[invalidates]
fn nothing() {}

#[invalidates(only_ok)]
fn nothing_if_ok() -> Result<(), ()> {
    Ok(())
}

#[invalidates(REGION)]
fn all_of_a_region() {}

#[invalidates(price)]
fn without_arguments() {}

#[invalidates(namespace = "price")]
fn without_a_region() {}

fn main() {}
