use std::future::Future;
use std::pin::Pin;

use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n", key(id))]
fn load<'a>(id: &'a str) -> Pin<Box<dyn Future<Output = u64> + Send + 'a>> {
    Box::pin(async move { id.len() as u64 })
}

fn main() {}
