//! How code that caches is tested: each test has a registry of its own, and a clock that it moves.
//!
//! `cargo test --example testing` runs the tests below; `cargo run --example testing` the program that they are about.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use cache::{Region, cached};

static PRICES: Region = Region::named("prices");

/// Looked up once, then kept. The shop is not part of the key: there is one.
#[cached(PRICES, "price", ttl = "30s", skip(shop))]
fn price(shop: &Shop, article: &str) -> Result<u64, String> {
    shop.look_up(article)
}

/// Writes, then invalidates: whoever asks after this has returned sees the new price.
fn set_price(shop: &Shop, article: &str, to: u64) -> cache::Result<()> {
    shop.write(article, to);
    price_entry(article).invalidate().wait()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    cache::registry().configure("prices", cache::Settings::new().set("ttl", "1m")?.near("memory://"))?;
    let shop = Shop::default();
    set_price(&shop, "tea", 4)?;
    println!("tea costs {}, and still {}", price(&shop, "tea")?, price(&shop, "tea")?);
    set_price(&shop, "tea", 5)?;
    println!("then {}; the shop was asked {} times", price(&shop, "tea")?, shop.asked.load(Ordering::Relaxed));
    Ok(())
}

/// Stands for a database, and knows how often it was asked.
#[derive(Debug, Default)]
struct Shop {
    prices: Mutex<HashMap<String, u64>>,
    asked: AtomicUsize,
}

impl Shop {
    fn look_up(&self, article: &str) -> Result<u64, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let prices = self.prices.lock().unwrap_or_else(PoisonError::into_inner);
        prices.get(article).copied().ok_or_else(|| format!("there is no {article}"))
    }

    fn write(&self, article: &str, to: u64) {
        self.prices.lock().unwrap_or_else(PoisonError::into_inner).insert(article.to_owned(), to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache::testkit::{isolated, isolated_async};
    use cache::{Kind, Reached, Registry};
    use std::time::Duration;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// No configuration is needed: every region of a registry for tests is in memory, and empty at first.
    #[test]
    fn a_price_is_looked_up_once() -> Outcome {
        isolated(&Registry::for_tests(), || {
            let shop = Shop::default();
            set_price(&shop, "tea", 4)?;
            assert_eq!((price(&shop, "tea")?, price(&shop, "tea")?), (4, 4));
            assert_eq!(shop.asked.load(Ordering::Relaxed), 1);
            Ok(())
        })
    }

    #[test]
    fn a_new_price_is_seen_at_once() -> Outcome {
        isolated(&Registry::for_tests(), || {
            let shop = Shop::default();
            set_price(&shop, "tea", 4)?;
            price(&shop, "tea")?;
            shop.write("tea", 5);
            assert_eq!(price(&shop, "tea")?, 4, "nobody invalidated");
            set_price(&shop, "tea", 6)?;
            assert_eq!(price(&shop, "tea")?, 6);
            Ok(())
        })
    }

    /// Time passes only when the test says so.
    #[test]
    fn a_price_is_kept_for_half_a_minute() -> Outcome {
        let registry = Registry::for_tests();
        let clock = registry.clock().manual().ok_or("a registry for tests has a clock to be moved")?;
        isolated(&registry, || {
            let shop = Shop::default();
            set_price(&shop, "tea", 4)?;
            price(&shop, "tea")?;
            shop.write("tea", 5);
            clock.advance(Duration::from_secs(20));
            assert_eq!(price(&shop, "tea")?, 4);
            clock.advance(Duration::from_secs(10));
            assert_eq!(price(&shop, "tea")?, 5);
            Ok(())
        })
    }

    #[test]
    fn an_unknown_article_is_asked_for_each_time() {
        isolated(&Registry::for_tests(), || {
            let shop = Shop::default();
            assert!(price(&shop, "tea").is_err() && price(&shop, "tea").is_err());
            assert_eq!(shop.asked.load(Ordering::Relaxed), 2);
        });
    }

    /// A registry for tests is strict: what would be a warning in production is an error here.
    #[test]
    fn a_call_by_name_has_the_arguments_of_the_function() -> Outcome {
        isolated(&Registry::for_tests(), || {
            let shop = Shop::default();
            set_price(&shop, "tea", 4)?;
            price(&shop, "tea")?;
            assert_eq!(PRICES.invalidate("price", "tea").wait()?, Reached::ThisProcess);
            let refused = PRICES.invalidate("price", 42).wait();
            assert_eq!(refused.map_err(|error| error.kind()), Err(Kind::Arguments));
            Ok(())
        })
    }

    /// Async code is isolated at each poll; two such tests share nothing, also on one thread.
    #[tokio::test]
    async fn async_code_is_isolated_as_well() -> Outcome {
        let (one, other) = (Registry::for_tests(), Registry::for_tests());
        let shop = Shop::default();
        shop.write("tea", 4);
        isolated_async(&one, async { price(&shop, "tea") }).await?;
        isolated_async(&other, async { price(&shop, "tea") }).await?;
        assert_eq!(shop.asked.load(Ordering::Relaxed), 2, "each registry begins empty");
        let stats = one.region("prices").stats().ok_or("the region was used")?;
        assert_eq!((stats.total.loads, stats.total.near_hits), (1, 0));
        Ok(())
    }
}
