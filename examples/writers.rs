//! Functions that write: what they may have changed is invalidated, by an attribute or after a commit.
//!
//! `cargo run --example writers`

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cache::{Invalidate, Region, Settings, cached, invalidates};

static PRICES: Region = Region::named("prices");

#[cached(PRICES, "price", skip(shop))]
fn price(shop: &Shop, article: &str) -> u64 {
    println!("    the shop looks up {article}");
    shop.prices().get(article).copied().unwrap_or(0)
}

#[cached(PRICES, "basket", skip(shop))]
fn basket(shop: &Shop, articles: &[&str]) -> u64 {
    articles.iter().map(|article| price(shop, article)).sum()
}

/// Written like the entries: the shop is not part of their keys. A basket may contain the article, so that all of them
/// go.
#[invalidates(price(article), PRICES, namespace = "basket")]
fn set_price(shop: &Shop, article: &str, to: u64) -> Result<(), String> {
    shop.prices().insert(article.to_owned(), to);
    if to > 100 {
        // The price is written, and this is not `Ok`: that is why a writer invalidates however it ends.
        return Err(format!("{article} is written, but the connection was lost before the answer"));
    }
    Ok(())
}

/// A part of a transaction. It must not invalidate: until the commit, a load finds the old price and keeps it. It hands
/// out what is to be done then.
fn set_price_within(transaction: &mut Transaction<'_>, article: &str, to: u64) -> [Invalidate; 2] {
    transaction.writes.push((article.to_owned(), to));
    [price_entry(article).invalidate(), PRICES.invalidate_namespace("basket")]
}

/// The operations are values: made while the arguments are at hand, held, and done after the commit, whatever came of
/// it. A commit that failed may have taken effect.
fn swap_prices(shop: &Shop, one: &str, other: &str) -> Result<(), Box<dyn Error>> {
    let (price_of_one, price_of_other) = (price(shop, one), price(shop, other));
    let mut transaction = Transaction { shop, writes: Vec::new() };
    let mut afterwards = Vec::new();
    afterwards.extend(set_price_within(&mut transaction, one, price_of_other));
    afterwards.extend(set_price_within(&mut transaction, other, price_of_one));
    let committed = transaction.commit();
    let invalidated: Vec<_> = afterwards.into_iter().map(Invalidate::wait).collect();
    committed?;
    for answer in invalidated {
        answer?;
    }
    Ok(())
}

/// Shorter, where one function has the whole transaction: the attribute stands on the function that commits, and covers a
/// panic as well.
#[invalidates(price(article), PRICES, namespace = "basket")]
fn halve_price(shop: &Shop, article: &str) -> Result<(), Box<dyn Error>> {
    let mut transaction = Transaction { shop, writes: Vec::new() };
    transaction.writes.push((article.to_owned(), price(shop, article) / 2));
    transaction.commit()
}

fn main() -> Result<(), Box<dyn Error>> {
    cache::registry().configure("prices", Settings::new().set("ttl", "1m")?.near("memory://"))?;
    let shop = Shop::default();

    println!("An attribute:");
    set_price(&shop, "tea", 4)?;
    set_price(&shop, "milk", 1)?;
    show(&shop, 5);
    set_price(&shop, "tea", 5)?;
    show(&shop, 6);

    println!("A writer that fails:");
    let failed = set_price(&shop, "milk", 101);
    println!("    {failed:?}");
    show(&shop, 106);

    println!("A transaction:");
    swap_prices(&shop, "tea", "milk")?;
    assert_eq!((price(&shop, "tea"), price(&shop, "milk")), (101, 5));
    halve_price(&shop, "tea")?;
    show(&shop, 55);
    Ok(())
}

/// Tea and milk cost this much together, as everybody sees who asks now.
fn show(shop: &Shop, expected: u64) {
    let both = basket(shop, &["tea", "milk"]);
    println!("  tea and milk: {both}, and again {}", basket(shop, &["tea", "milk"]));
    assert_eq!(both, expected);
}

/// Stands for a database.
#[derive(Debug, Default)]
struct Shop {
    prices: Mutex<HashMap<String, u64>>,
}

impl Shop {
    fn prices(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.prices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for one of its transactions: nobody sees what was written before the commit.
struct Transaction<'a> {
    shop: &'a Shop,
    writes: Vec<(String, u64)>,
}

impl Transaction<'_> {
    fn commit(self) -> Result<(), Box<dyn Error>> {
        self.shop.prices().extend(self.writes);
        Ok(())
    }
}
