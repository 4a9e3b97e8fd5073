use cache::{Region, invalidates};

static REGION: Region = Region::named("ui");

#[invalidates(REGION, namespace = "price", only_ok)]
fn writes() -> Option<u8> {
    None
}

#[invalidates(REGION, namespace = "price", only_ok)]
async fn returns_nothing() {}

#[invalidates(REGION, namespace = "price", only_ok)]
async fn awaited() -> Vec<u8> {
    vec![]
}

fn main() {}
