//! A crate that denies all it can: what `#[cached]` writes must not disturb it.

#![forbid(unsafe_code)]
#![deny(
    warnings,
    future_incompatible,
    let_underscore,
    missing_docs,
    nonstandard_style,
    rust_2018_idioms,
    rust_2024_compatibility,
    unreachable_pub,
    unused,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    unused_import_braces,
    single_use_lifetimes,
    explicit_outlives_requirements,
    elided_lifetimes_in_paths,
    trivial_casts,
    trivial_numeric_casts,
    redundant_lifetimes,
    missing_debug_implementations,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::unwrap_used,
    clippy::panic
)]

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;
use std::sync::Arc;
use std::time::Duration;

use cache::{Region, cached, invalidates};
use serde::{Deserialize, Serialize};

static REGION: Region = Region::named("quiet");

/// The length of a name, plus.
#[cached(REGION, "plain", ttl = "10m")]
#[must_use]
pub fn plain(name: &str, plus: usize) -> usize {
    name.len() + plus
}

/// A number, parsed.
///
/// # Errors
///
/// It is not a number.
#[cached("quiet", "parsed", skip(_base), only_some)]
pub fn parsed(name: &str, _base: u32) -> Result<Option<u64>, ParseIntError> {
    if name.is_empty() {
        return Ok(None);
    }
    let number = name.parse()?;
    Ok(Some(number))
}

/// A number, awaited.
///
/// # Errors
///
/// It is not a number.
#[cached(REGION, "awaited", when = !name.is_empty(), force = anew, skip(anew))]
pub async fn awaited(name: &str, anew: bool) -> Result<u64, ParseIntError> {
    let number: u64 = std::future::ready(name.parse()).await?;
    Ok(number + u64::from(anew))
}

/// An error that borrows what was wrong.
#[derive(Debug)]
pub struct Wrong<'a>(pub &'a str);

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no number", self.0)
    }
}

impl Error for Wrong<'_> {}

/// A number, or what was wrong.
///
/// # Errors
///
/// It is not a number.
#[cached(REGION, "borrowing", key(name, other.len()))]
pub fn borrowing<'a, 'b>(name: &'a str, other: &'b str) -> Result<u64, Wrong<'a>>
where
    'b: 'a,
{
    name.parse().map_err(|_| Wrong(if name.is_empty() { other } else { name }))
}

/// As many as wanted.
#[cached(REGION, "generic", key(std::any::type_name::<T>(), count), near_only)]
#[must_use]
pub fn generic<T>(count: usize, seed: &T) -> Vec<T>
where
    T: Clone + Default + Send + Sync + 'static,
{
    let mut all = vec![T::default(); count];
    all.push(seed.clone());
    all
}

/// Taken apart.
#[cached(REGION, "patterns", key(first, rest))]
#[must_use]
pub fn patterns((first, mut second): (u32, u32), [rest, ..]: [u32; 2], mut sum: u32) -> u32 {
    second += first;
    sum += second + rest;
    sum
}

#[allow(clippy::trivially_copy_pass_by_ref, clippy::unnecessary_wraps)]
const fn seconds(value: &u64) -> Option<Duration> {
    Some(Duration::from_secs(*value))
}

/// Every condition.
///
/// # Errors
///
/// There are none.
#[cached(
    REGION,
    "conditions",
    version = 2,
    cache_if = |value| *value > 1,
    ttl_of = seconds,
    weight = |_| 8,
    share_errors = |error: &std::io::Error| error.kind().into(),
)]
pub fn conditions(id: u64) -> std::io::Result<u64> {
    Ok(id)
}

#[cached(REGION, "private", outcome = whole)]
fn private(id: u64) -> Result<u64, String> {
    if id > 0 { Ok(id) } else { Err(String::new()) }
}

/// Uses what is private.
#[must_use]
pub fn public(id: u64) -> bool {
    private(id).is_ok()
}

/// Changes what `plain` and `parsed` go by.
///
/// # Errors
///
/// It is not a number.
#[invalidates(plain(name, 1), parsed(name), REGION, namespace = "generic")]
pub fn write(name: &str, mut count: usize, _base: u32) -> Result<usize, ParseIntError> {
    count += 1;
    if name.is_empty() {
        return Ok(count);
    }
    let number: usize = name.parse()?;
    Ok(number + count)
}

/// Changes what `awaited` goes by.
///
/// # Errors
///
/// It is not a number.
#[invalidates(awaited(first), region = "quiet", namespace = "patterns", only_ok)]
pub async fn write_awaited((first, second): (&str, &str), _: u8) -> Result<u64, ParseIntError> {
    let number: u64 = std::future::ready(second.parse()).await?;
    Ok(number)
}

/// Priced in cents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Price(pub u64);

/// Sells.
#[derive(Debug)]
pub struct Shop {
    id: u64,
    cache: Arc<Region>,
}

impl Shop {
    /// A shop.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { id, cache: Arc::new(Region::named("shop")) }
    }

    /// The price.
    #[cached(self.cache, "price", skip(self))]
    #[must_use]
    pub fn price(&self, sku: &str) -> Option<Price> {
        (!sku.is_empty()).then_some(Price(self.id))
    }

    /// The stock.
    #[cached(REGION, "stock", key(self.id, sku))]
    pub(crate) async fn stock(self: &Arc<Self>, sku: String) -> usize {
        std::future::ready(sku).await.len()
    }

    /// A name that clippy has rules for, and more arguments than it likes.
    #[cached(REGION, "text", skip(self))]
    #[must_use]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
    pub fn to_text(&self, one: u8, two: u8, three: u8, four: u8, yes: bool, no: bool, on: bool, off: bool) -> String {
        format!("{one} {two} {three} {four} {yes} {no} {on} {off}")
    }

    /// Consumes.
    #[cached(REGION, "into", skip(self))]
    #[must_use]
    pub fn into_text(self, sku: String) -> String {
        sku + &self.id.to_string()
    }

    /// A new price.
    #[invalidates(self.price(sku), self.stock(String::new()))]
    pub fn set_price(self: &Arc<Self>, sku: &str) {
        drop(sku.to_owned());
    }

    /// Another number.
    #[invalidates(self.cache, namespace = "price")]
    #[must_use]
    pub fn numbered(mut self, id: u64) -> Self {
        self.id = id;
        self
    }

    /// Closes.
    #[invalidates(self.cache, namespace = "price", only_ok)]
    pub async fn close(self: Arc<Self>, reason: String) -> Result<(), String> {
        if self.id == 0 { Err(reason) } else { std::future::ready(Ok(())).await }
    }

    /// What there is.
    #[must_use]
    pub async fn all(self: &Arc<Self>) -> usize {
        self.stock(String::new()).await
    }
}

/// Stores.
pub trait Store {
    /// Loads.
    ///
    /// # Errors
    ///
    /// It is not a number.
    fn load(&self, id: &str) -> Result<u64, ParseIntError>;

    /// Stores.
    fn save(&mut self, id: u64);

    /// Fetches.
    fn fetch(&self, id: u64) -> impl Future<Output = u64> + Send;
}

impl Store for Shop {
    #[cached(REGION, "load", key(self.id, id), companions = false)]
    fn load(&self, id: &str) -> Result<u64, ParseIntError> {
        if id.is_empty() {
            return Ok(self.id);
        }
        let number: u64 = id.parse()?;
        Ok(number)
    }

    #[invalidates(REGION, namespace = "load")]
    fn save(&mut self, id: u64) {
        self.id = id;
    }

    #[cached(REGION, "fetch", key(self.id, id), companions = false)]
    async fn fetch(&self, mut id: u64) -> u64 {
        id += std::future::ready(self.id).await;
        id
    }
}

/// Soon gone.
#[cached(REGION, "deprecated")]
#[deprecated = "ask for something else"]
#[must_use]
pub fn deprecated(id: u64) -> u64 {
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_as_written() {
        let shop = Arc::new(Shop::new(7));
        assert_eq!(plain("abc", 1), 4);
        assert_eq!(parsed("", 0), Ok(None));
        assert_eq!(borrowing("x", "y").map_err(|wrong| wrong.to_string()), Err("x is no number".to_owned()));
        assert_eq!(generic(1, &2), [0, 2]);
        assert_eq!(patterns((1, 2), [3, 4], 5), 11);
        assert!(conditions(1).is_ok() && public(1) && !public(0));
        assert_eq!(shop.price("a").map(|price| price.0), Some(7));
        assert_eq!(shop.load("5"), Ok(5));
        assert_eq!(write("2", 3, 0), Ok(6));
    }
}
