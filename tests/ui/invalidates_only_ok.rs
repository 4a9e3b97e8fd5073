use cache::{Region, invalidates};

static REGION: Region = Region::named("ui");

#[invalidates(REGION, namespace = "price", only_ok)]
fn writes() -> Option<u8> {
    None
}

#[invalidates(REGION, namespace = "price", only_ok)]
async fn returns_nothing() {}

fn main() {}
