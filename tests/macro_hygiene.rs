//! `#[cached]` and `#[invalidates]` where the user's names are those that it might use itself, and under the user's other
//! attributes.

#![cfg(feature = "macros")]
#![deny(warnings)]
#![allow(clippy::unwrap_used)]

mod shadowed {
    #![allow(dead_code)]
    use cache::{cached, invalidates};

    pub(super) struct Option;
    pub(super) struct Result;
    struct Some;
    struct None;
    struct Ok;
    struct Err;
    struct Region;
    struct Site;
    struct Terms;
    struct Serde;
    struct Duration;
    struct Invalidate;
    struct Exits;
    trait AsRef {}
    mod core {}
    mod std {}
    mod rt {}
    mod cache_core {}

    pub(super) static REGION: ::cache::Region = ::cache::Region::named("hygiene");
    static SITE: u8 = 3;

    #[cached(REGION, "plain", ttl = "1s", cache_if = |_| true, ttl_of = |_| ::std::option::Option::None)]
    pub(super) fn plain(option: u8) -> ::std::option::Option<u8> {
        ::std::option::Option::Some(option + SITE)
    }

    #[cached("hygiene", "result", companions = false)]
    pub(super) fn result(key: u8) -> ::std::result::Result<u8, u8> {
        ::std::result::Result::Ok(key + SITE)
    }

    #[invalidates(plain(option), REGION, namespace = "result", only_ok)]
    pub(super) fn write(option: u8) -> ::std::result::Result<u8, u8> {
        ::std::result::Result::Ok(option + SITE)
    }

    #[invalidates("hygiene", namespace = "result")]
    pub(super) async fn write_async(option: u8) -> u8 {
        option + SITE
    }
}

use cache::{Region, cached, invalidates};

static REGION: Region = Region::named("hygiene");

#[cached(REGION, "names", when = *site > 0, key(key, site, region, terms, returns, call, this), companions = "names")]
async fn names(key: u8, site: &u8, region: &str, terms: u8, returns: u8, call: u8, this: u8) -> String {
    format!("{key} {site} {region} {terms} {returns} {call} {this}")
}

#[cached("hygiene", "within", force = *site > 9, key(key, region), companions = false)]
fn within(key: u8, site: &u8, region: &str, terms: u8) -> String {
    format!("{key} {site} {region} {terms}")
}

#[cached(region, "argument", skip(region))]
fn argument(region: &Region, key: u8) -> u8 {
    let _ = region;
    key
}

#[invalidates(argument(region, targets), *call, namespace = "names", names(targets, site, this, 4, 5, 6, 7))]
async fn write(targets: u8, site: &u8, region: &Region, call: &&Region, this: &str) -> u8 {
    let _ = (region, call);
    targets + site + this.len() as u8
}

#[tokio::test]
async fn the_names_of_the_user_stay_the_users() {
    assert_eq!((shadowed::write(1), shadowed::write_async(1).await), (Ok(4), 4));
    assert_eq!(write(1, &2, &REGION, &&REGION, "3").await, 4);
    assert_eq!(shadowed::plain(1), Some(4));
    assert_eq!(shadowed::result(1), Ok(4));
    assert_eq!(names(1, &2, "3", 4, 5, 6, 7).await, "1 2 3 4 5 6 7");
    assert_eq!(names_refresh(1, &2, "3", 4, 5, 6, 7).await, "1 2 3 4 5 6 7");
    assert_eq!(within(1, &2, "3", 4), "1 2 3 4");
    assert_eq!(argument(&REGION, 5), 5);
}

macro_rules! cached_function {
    ($name:ident, $namespace:literal, $argument:ident: $ty:ty) => {
        #[cached(REGION, $namespace)]
        fn $name($argument: $ty, other: u8) -> $ty {
            $argument + <$ty>::from(other)
        }
    };
    ($name:ident, $target:expr; $region:expr, $namespace:literal) => {
        #[invalidates($target, region = $region, namespace = $namespace)]
        fn $name(value: u32) -> u32 {
            value
        }
    };
}

cached_function!(made_by_a_macro, "made", value: u32);
cached_function!(writer_made_by_a_macro, made_by_a_macro(1, 2); REGION, "made");

#[test]
fn a_macro_may_write_the_function() {
    assert_eq!((made_by_a_macro(1, 2), made_by_a_macro_refresh(1, 2)), (3, 3));
    assert_eq!(writer_made_by_a_macro(4), 4);
    let _ = made_by_a_macro_entry(1, 2);
}

#[cached(REGION, "configured")]
#[cfg(not(test))]
fn configured(id: Missing) -> Missing {
    id
}

/// The same names again: none of the four functions above is there.
#[cached(REGION, "configured")]
#[cfg(test)]
#[inline]
#[must_use = "it was expensive"]
#[track_caller]
#[expect(unused_variables, clippy::needless_return, reason = "an expectation is met by the body, once")]
fn configured(id: u8, unused: u8) -> u8 {
    return id;
}

#[cached(REGION, "conditional")]
#[cfg_attr(all(), allow(unused_mut), doc = "Documented by condition.")]
#[cfg_attr(any(), cfg(any()))]
fn conditional(mut id: u8) -> u8 {
    id
}

/// Only its users are warned, not what is written for it.
#[deprecated = "ask for something else"]
#[cached(REGION, "deprecated")]
fn deprecated_above(id: u8) -> u8 {
    id
}

#[cached(REGION, "deprecated_below")]
#[deprecated(since = "0.1.0", note = "ask for something else")]
async fn deprecated_below(id: u8) -> u8 {
    id
}

#[tokio::test]
#[allow(deprecated)]
async fn attributes_go_where_they_belong() {
    assert_eq!((configured(1, 2), configured_refresh(1, 2), configured_uncached(1, 2)), (1, 1, 1));
    assert_eq!((conditional(1), conditional_refresh(1)), (1, 1));
    assert_eq!((deprecated_above(1), deprecated_below(1).await, deprecated_below_refresh(1).await), (1, 1, 1));
    let _ = (configured_entry(1, 2), deprecated_below_entry(1));
}

#[invalidates(configured(id, 1))]
#[cfg(not(test))]
fn configured_writer(id: Missing) -> Missing {
    id
}

#[invalidates(configured(id, 1))]
#[cfg(test)]
#[inline]
#[must_use = "it was expensive"]
#[track_caller]
#[expect(unused_variables, reason = "an expectation is met by the body")]
fn configured_writer(id: u8, unused: u8) -> u8 {
    id
}

#[deprecated = "write something else"]
#[invalidates(configured(id, 1))]
fn deprecated_writer(id: u8) -> u8 {
    id
}

#[test]
#[allow(deprecated)]
fn a_writer_keeps_its_attributes() {
    assert_eq!((configured_writer(1, 2), deprecated_writer(1)), (1, 1));
}

#[cached(REGION, "unused")]
#[allow(dead_code)]
fn unused(id: u8) -> u8 {
    id
}
