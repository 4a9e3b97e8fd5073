//! `#[cached]` in `impl` blocks: inherent ones with companions, trait ones without.

#![cfg(feature = "macros")]
#![deny(warnings)]
#![allow(clippy::unwrap_used)]

use std::num::ParseIntError;
use std::sync::Arc;
use std::time::Duration;

use cache::{Region, cached};
use serde::{Deserialize, Serialize};

static REGION: Region = Region::named("methods");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Price(u64);

#[derive(Clone)]
struct Shop {
    id: u64,
    cache: Arc<Region>,
}

impl Shop {
    const TTL: Duration = Duration::from_secs(60);

    fn new(id: u64) -> Self {
        Shop { id, cache: Arc::new(Region::named("shop")) }
    }

    #[cached(REGION, "price", skip(self), ttl = Shop::TTL)]
    fn price(&self, sku: &str) -> Option<Price> {
        (!sku.is_empty()).then_some(Price(self.id))
    }

    #[cached(REGION, "stock", key(self.id, sku))]
    fn stock<'a>(&'a self, sku: &'a str) -> Result<u64, &'a str> {
        if sku.is_empty() {
            return Err(sku);
        }
        Ok(self.id + sku.len() as u64)
    }

    #[cached(self.cache, "own_region", skip(self))]
    fn own_region(&self, sku: &str) -> usize {
        sku.len()
    }

    #[cached(REGION, "counted", key(self.id))]
    fn counted(self: &Arc<Self>, more: u64) -> u64 {
        self.id + more
    }

    #[cached(REGION, "taken", key(self.id))]
    fn taken(mut self: Arc<Self>) -> u64 {
        Arc::make_mut(&mut self).id += 1;
        self.id
    }

    #[cached(REGION, "by_value", key(self.id))]
    fn by_value(mut self, extra: u64) -> u64 {
        self.id += extra;
        self.id
    }

    #[cached(REGION, "by_value_within", key(self.id), companions = false)]
    fn by_value_within(mut self, extra: u64) -> u64 {
        self.id += extra;
        self.id
    }

    #[cached(REGION, "largest")]
    fn largest(shops: &[Price]) -> Option<Price> {
        Self::sort(shops).pop()
    }

    #[cached(REGION, "no_hint", companions = "Self::no_hint")]
    fn no_hint(n: u8) -> u8 {
        n
    }

    #[cached(REGION, "later", skip(self))]
    async fn later(&self, sku: &str) -> Result<u64, ParseIntError> {
        let number: u64 = sku.parse()?;
        std::future::ready(()).await;
        Ok(number + self.id)
    }

    fn sort(shops: &[Price]) -> Vec<Price> {
        let mut shops = shops.to_vec();
        shops.sort_by_key(|price| price.0);
        shops
    }
}

#[tokio::test]
async fn methods_and_their_companions_return_the_same() {
    let shop = Shop::new(7);
    assert_eq!(shop.price("a"), Some(Price(7)));
    assert_eq!(shop.price_refresh("a"), Some(Price(7)));
    assert_eq!(shop.price_uncached(""), None);
    assert_eq!((shop.stock("ab"), shop.stock_refresh(""), shop.stock_uncached("a")), (Ok(9), Err(""), Ok(8)));
    assert_eq!((shop.own_region("ab"), shop.own_region_refresh("a")), (2, 1));
    assert_eq!(shop.later("1").await, Ok(8));
    assert!(shop.later_refresh("x").await.is_err());
    assert_eq!(shop.later_uncached("1").await, Ok(8));
    assert_eq!((Shop::largest(&[Price(1), Price(3), Price(2)]), Shop::no_hint_refresh(3)), (Some(Price(3)), 3));
    let shared = Arc::new(shop.clone());
    assert_eq!((shared.counted(1), shared.counted_refresh(2), shared.counted_uncached(3)), (8, 9, 10));
    assert_eq!((Arc::clone(&shared).taken(), shop.clone().by_value(2)), (8, 9));
    assert_eq!(shop.clone().by_value_within(2), 9);
    assert_eq!((Shop::no_hint(3), shop.id), (3, 7));
}

#[test]
fn an_entry_takes_what_its_key_and_its_region_use() {
    let shop = Shop::new(7);
    let _: cache::Entry<Option<Price>> = Shop::price_entry("a");
    let _: cache::Entry<Result<u64, &'static str>> = shop.stock_entry("a");
    let _: cache::Entry<usize> = shop.own_region_entry("a");
    let _: cache::Entry<u64> = Arc::new(shop.clone()).counted_entry();
    let _: cache::Entry<u64> = shop.by_value_entry();
    let _: cache::Entry<Option<Price>> = Shop::largest_entry(&[]);
    let _: cache::Entry<Result<u64, ParseIntError>> = Shop::later_entry("a");
}

trait Store {
    type Out;

    fn load(&self, id: u64) -> Result<Self::Out, ParseIntError>;
    async fn fetch(&self, name: &str) -> Result<Self::Out, ParseIntError>;

    #[cached(REGION, "provided", skip(self), companions = false)]
    fn provided(&self, id: u64) -> u64 {
        id + self.base()
    }

    fn base(&self) -> u64;
}

impl Store for Shop {
    type Out = Price;

    #[cached(REGION, "load", key(self.id, id), companions = false)]
    fn load(&self, id: u64) -> Result<Self::Out, ParseIntError> {
        if id == 0 {
            return Ok(Price(0));
        }
        let one: u64 = "1".parse()?;
        Ok(Price(self.id + id + one))
    }

    #[cached("methods", "fetch", key(self.id, name), companions = false)]
    async fn fetch(&self, name: &str) -> Result<Self::Out, ParseIntError> {
        if name.is_empty() {
            return Ok(Price(0));
        }
        std::future::ready(()).await;
        let number: u64 = name.parse()?;
        Ok(Price(self.id + number))
    }

    fn base(&self) -> u64 {
        self.id
    }
}

#[tokio::test]
async fn a_trait_impl_is_cached_without_companions() {
    let shop = Shop::new(7);
    assert_eq!((shop.load(0), shop.load(1)), (Ok(Price(0)), Ok(Price(9))));
    assert_eq!((shop.fetch("").await, shop.fetch("2").await), (Ok(Price(0)), Ok(Price(9))));
    assert!(shop.fetch("x").await.is_err());
    assert_eq!(shop.provided(1), 8);
}

struct Loader<T>(T);

impl<T: Clone + Send + Sync + Serialize + for<'de> Deserialize<'de> + 'static> Loader<T> {
    #[cached(REGION, "loader", key(std::any::type_name::<T>(), id))]
    fn load(&self, id: u8) -> Option<T> {
        (id > 0).then(|| self.0.clone())
    }
}

#[test]
fn the_generics_of_an_impl_block_are_in_scope() {
    let loader = Loader("x".to_owned());
    assert_eq!((loader.load(1), loader.load_refresh(0)), (Some("x".to_owned()), None));
    let _: cache::Entry<Option<u8>> = Loader::<u8>::load_entry(1);
}
