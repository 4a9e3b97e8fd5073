use std::future::Future;
use std::pin::Pin;

use cache::{Region, invalidates};

static REGION: Region = Region::named("ui");

#[invalidates(REGION, namespace = "price")]
const fn constant() {}

#[invalidates(REGION, namespace = "price")]
unsafe fn unsafe_to_call() {}

#[invalidates(REGION, namespace = "price")]
extern "C" fn foreign() {}

#[invalidates(REGION, namespace = "price")]
fn as_async_trait_makes_it<'a>(id: &'a str) -> Pin<Box<dyn Future<Output = usize> + Send + 'a>> {
    Box::pin(async move { id.len() })
}

#[invalidates(REGION, namespace = "price")]
fn opaque() -> impl Iterator<Item = u8> {
    [1].into_iter()
}

#[invalidates(REGION, namespace = "price")]
struct Shop;

trait Store {
    #[invalidates(REGION, namespace = "price")]
    fn put(&self);
}

fn main() {}
