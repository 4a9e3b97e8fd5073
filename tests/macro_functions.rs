//! `#[cached]` on functions: whatever their shape, they return what they returned before.
//!
//! No region here is configured, so that every call goes straight through.

#![cfg(feature = "macros")]
#![deny(warnings)]
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::fmt;
use std::num::ParseIntError;
use std::sync::Arc;
use std::time::Duration;

use cache::{Region, cached};
use serde::{Deserialize, Serialize};

static REGION: Region = Region::named("functions");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Image {
    owner: String,
    page: u32,
}

#[cached(REGION, "images", ttl = "10m")]
fn images(owner: &str, page: u32) -> Result<Vec<Image>, String> {
    if owner.is_empty() {
        return Err("no owner".to_owned());
    }
    Ok(vec![Image { owner: owner.to_owned(), page }])
}

#[test]
fn a_function_and_its_companions_return_the_same() {
    let bob = vec![Image { owner: "bob".to_owned(), page: 0 }];
    assert_eq!(images("bob", 0), Ok(bob.clone()));
    assert_eq!(images_refresh("bob", 0), Ok(bob.clone()));
    assert_eq!(images_uncached("bob", 0), Ok(bob));
    assert_eq!(images("", 0), Err("no owner".to_owned()));
    let _: cache::Entry<Result<Vec<Image>, String>> = images_entry("bob", 0);
}

#[cached("functions", "no_arguments")]
fn no_arguments() -> u64 {
    7
}

#[cached(region = REGION, namespace = "owned", version = 3)]
fn owned(owner: String, tags: Vec<String>, pages: [u8; 2]) -> Option<String> {
    (!owner.is_empty()).then(|| format!("{owner} {} {}", tags.len(), pages.len()))
}

#[cached(REGION, "borrowed")]
fn borrowed(image: &Image, names: &[&str], name: Option<&str>, title: Cow<'_, str>, set: &BTreeSet<u8>) -> Arc<str> {
    format!("{} {} {:?} {title} {}", image.owner, names.len(), name, set.len()).into()
}

#[test]
fn arguments_are_owned_borrowed_or_none() {
    assert_eq!(no_arguments(), 7);
    assert_eq!(owned("bob".to_owned(), vec![], [1, 2]).as_deref(), Some("bob 0 2"));
    let image = Image { owner: "bob".to_owned(), page: 0 };
    let set = BTreeSet::from([1]);
    assert_eq!(&*borrowed(&image, &["a"], Some("b"), Cow::Borrowed("c"), &set), "bob 1 Some(\"b\") c 1");
    let _ = (owned_entry("bob".to_owned(), vec![], [1, 2]), borrowed_entry(&image, &[], None, "".into(), &set));
}

struct Path<T>(T);

#[cached(REGION, "patterns", key(id, first + 1, rest.len(), at.page))]
fn patterns(
    Path(id): Path<u32>,
    [first, rest @ ..]: [u8; 3],
    Image { owner, page: mut p }: Image,
    at: &Image,
    mut sum: u32,
    _: &HashSet<u8>,
) -> u32 {
    p += 1;
    sum += p + id + u32::from(first) + rest.len() as u32 + owner.len() as u32 + at.page;
    sum
}

#[cached(REGION, "whole_pattern")]
fn whole_pattern((a, b): (u8, u8), _unused: u8, mut c: u8) -> u8 {
    c += a;
    c + b
}

#[cached(REGION, "references", key(id, name.len(), *first))]
fn references(Path(&id): Path<&u32>, &(ref name, mut count): &(String, u8), [first, ..]: &[u8; 2]) -> usize {
    count += first;
    name.len() + id as usize + usize::from(count)
}

#[test]
fn patterns_are_taken_apart_for_the_key_and_for_the_body() {
    let image = || Image { owner: "bob".to_owned(), page: 1 };
    assert_eq!(patterns(Path(10), [1, 2, 3], image(), &image(), 100, &HashSet::new()), 100 + 2 + 10 + 1 + 2 + 3 + 1);
    assert_eq!(whole_pattern((1, 2), 0, 3), 6);
    assert_eq!(references(Path(&1), &("ab".to_owned(), 1), &[1, 2]), 5);
    let _ = references_entry(Path(&1), &("ab".to_owned(), 1), &[1, 2]);
    let _ = patterns_entry(Path(10), [1, 2, 3], &image());
    let _ = whole_pattern_entry((1, 2), 0, 3);
}

type Parsed = Result<u32, ParseIntError>;

#[cached(REGION, "alias")]
fn alias(text: &str) -> Parsed {
    let number: u32 = text.parse()?;
    if number == 0 {
        return Ok(1);
    }
    Ok(number)
}

#[cached(REGION, "boxed_error")]
fn boxed_error(text: &str) -> Result<u32, Box<dyn Error>> {
    Ok(text.parse::<u32>()?)
}

#[cached(REGION, "shared_error", share_errors = |error: &std::io::Error| error.kind().into())]
fn shared_error(fails: bool) -> std::io::Result<Vec<u8>> {
    if fails { Err(std::io::Error::other("no")) } else { Ok(vec![1]) }
}

#[derive(Debug, Clone, PartialEq)]
struct Bad<'a>(&'a str);

impl fmt::Display for Bad<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad {}", self.0)
    }
}

#[cached(REGION, "borrowing_error")]
fn borrowing_error(text: &str) -> Result<u32, Bad<'_>> {
    text.parse().map_err(|_| Bad(text))
}

#[cached(REGION, "borrowing_error_named", key(1))]
fn borrowing_error_named<'a, 'b: 'a>(text: &'a str, other: &'b str) -> Result<u32, &'a str> {
    text.parse().map_err(|_| if text.is_empty() { other } else { text })
}

type Answer<'a> = Result<u32, Bad<'a>>;

#[cached(REGION, "borrowing_alias")]
fn borrowing_alias<'a>(text: &'a str) -> Answer<'a> {
    text.parse().map_err(|_| Bad(text))
}

#[cached(REGION, "hidden_lifetime", errors = alone)]
#[allow(elided_lifetimes_in_paths, mismatched_lifetime_syntaxes)]
fn hidden_lifetime(text: &str) -> Answer {
    text.parse().map_err(|_| Bad(text))
}

#[test]
fn results_keep_their_type_and_their_error() {
    assert_eq!(alias("5"), Ok(5));
    assert_eq!(alias("0"), Ok(1));
    assert!(alias("x").is_err());
    assert!(boxed_error("x").unwrap_err().is::<ParseIntError>());
    assert!(shared_error(true).is_err());
    assert_eq!(shared_error(false).unwrap(), [1]);
    let text = String::from("x");
    assert_eq!(borrowing_error(&text), Err(Bad("x")));
    assert_eq!(borrowing_error("x").unwrap_err().to_string(), "bad x");
    assert_eq!(borrowing_error_named("x", "y"), Err("x"));
    assert_eq!(borrowing_alias("x"), Err(Bad("x")));
    assert_eq!(hidden_lifetime("x"), Err(Bad("x")));
    let _: cache::Entry<Result<u32, &'static str>> = borrowing_error_named_entry();
}

#[cached(REGION, "generic", key(std::any::type_name::<T>(), id, N))]
fn generic<T, const N: usize>(id: u32, _seed: T) -> Vec<T>
where
    T: Clone + Default + Send + Sync + Serialize + serde::de::DeserializeOwned + 'static,
{
    vec![T::default(); N + id as usize]
}

#[cached(REGION, "generic_result", key(text.as_ref()), outcome = ok)]
fn generic_result<E: From<ParseIntError>>(text: impl AsRef<str>) -> Result<u32, E> {
    Ok(text.as_ref().parse::<u32>()?)
}

#[cached(REGION, "projection", key(id), outcome = whole, near_only)]
fn projection<I: Iterator>(id: usize, mut items: I) -> Option<I::Item>
where
    I::Item: Clone + Send + Sync + 'static,
{
    items.nth(id)
}

#[cached(REGION, "early", key(text, other))]
fn early<'a, 'b: 'a, T: AsRef<str> + ?Sized, const N: usize>(
    text: &'a str,
    other: &'b str,
    also: &'a T,
) -> [String; 1] {
    [format!("{text}{other}{}{N}", also.as_ref())]
}

#[cached(REGION, "parameter", key(id), outcome = whole)]
fn parameter<T: From<u8> + Clone + Send + Sync + Serialize + serde::de::DeserializeOwned + 'static>(id: u8) -> T {
    T::from(id)
}

#[test]
fn generics_are_handed_on() {
    assert_eq!(generic::<u8, 2>(1, 9), [0, 0, 0]);
    assert_eq!(generic_result::<Box<dyn Error>>("5").unwrap(), 5);
    assert!(generic_result::<ParseIntError>(String::from("x")).is_err());
    assert_eq!(projection(1, ["a", "b"].into_iter()), Some("b"));
    assert_eq!(parameter::<u64>(3), 3);
    assert_eq!(early::<str, 4>("1", "2", "3"), ["1234"]);
    let _ = early_entry("1", "2");
    assert_eq!(generic_refresh::<u8, 2>(1, 9), [0, 0, 0]);
    assert_eq!(parameter_refresh::<u64>(3), 3);
    let _ = (generic_entry::<u8, 2>(1), parameter_entry::<u64>(3));
}

const TTL: Duration = Duration::from_secs(90);

fn not_empty(value: &[u8]) -> bool {
    !value.is_empty()
}

#[cached(
    REGION,
    "conditions",
    ttl = TTL,
    skip(refresh, again),
    when = len < 10,
    force = refresh || again.is_some(),
    cache_if = |value| not_empty(value),
    ttl_of = |value: &Vec<u8>| (value.len() > 3).then_some(TTL),
    weight = Vec::len,
)]
fn conditions(len: usize, refresh: bool, again: Option<&str>) -> Vec<u8> {
    let _ = (refresh, again);
    vec![0; len]
}

#[cached(REGION, "only_some", only_some)]
fn only_some(id: u8) -> Result<Option<u8>, String> {
    Ok((id > 0).then_some(id))
}

#[cached(REGION, "near", near_only, errors = shared)]
fn near(id: u8) -> Result<&'static str, String> {
    if id > 0 { Ok("yes") } else { Err("no".to_owned()) }
}

#[test]
fn options_change_no_result() {
    assert_eq!(conditions(2, true, None), [0, 0]);
    assert_eq!(conditions_refresh(20, false, None).len(), 20);
    let _ = conditions_entry(2);
    assert_eq!(only_some(0), Ok(None));
    assert_eq!(only_some(1), Ok(Some(1)));
    assert_eq!(near(1), Ok("yes"));
    let _: cache::Entry<Result<&'static str, String>, _> = near_entry(1);
}

#[cached(REGION, "renamed", companions = "other")]
fn renamed(id: u8) -> u8 {
    id
}

/// Stands where `renamed` would have put its companion.
fn renamed_entry() -> u8 {
    9
}

#[cached(REGION, "alone", companions = false)]
fn alone(mut id: u8, (a, b): (u8, u8)) -> Result<u8, ParseIntError> {
    if a == b {
        return Ok(0);
    }
    id += "1".parse::<u8>()?;
    Ok(id + a)
}

#[cached(REGION, "type", skip(r#fn))]
fn r#type(r#match: u8, r#fn: u8) -> u8 {
    r#match + r#fn
}

#[test]
fn companions_are_renamed_or_left_out() {
    assert_eq!((renamed(1), other_refresh(1), other_uncached(1), renamed_entry()), (1, 1, 1, 9));
    let _ = other_entry(1);
    assert_eq!(alone(1, (2, 3)), Ok(4));
    assert_eq!(alone(1, (2, 2)), Ok(0));
    assert_eq!((r#type(1, 2), type_refresh(1, 2)), (3, 3));
    let _ = type_entry(1);
}

#[test]
fn a_function_within_a_function_is_cached_too() {
    #[cached(REGION, "inner")]
    fn inner(n: u64) -> u64 {
        if n < 2 { n } else { inner(n - 1) + inner(n - 2) }
    }
    assert_eq!(inner(10), 55);
    let _ = inner_entry(10);
}

#[cached(region = if far { &REGION } else { &OTHER }, namespace = "chosen", skip(far))]
fn chosen(id: u8, far: bool) -> u8 {
    id + u8::from(far)
}

static OTHER: Region = Region::named("others");

fn region_of(tenant: &str) -> Arc<Region> {
    let _ = tenant;
    Arc::new(Region::named("tenant"))
}

#[cached(region_of(tenant), "tenant")]
fn of_tenant(tenant: &str) -> String {
    tenant.to_owned()
}

#[cached(region = cache, namespace = "given", skip(cache))]
fn given(cache: &Region, id: u8) -> u8 {
    let _ = cache;
    id
}

#[test]
fn a_region_is_any_expression() {
    assert_eq!(chosen(1, true), 2);
    let _ = chosen_entry(1, false);
    assert_eq!(of_tenant("a"), "a");
    let _ = of_tenant_entry("a");
    assert_eq!(given(&OTHER, 1), 1);
    let _ = given_entry(&OTHER, 1);
}
