//! What the fingerprint tells apart, and what it does not.

#![allow(clippy::panic)]

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU8;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;

use super::*;

/// Types of one name in several versions.
macro_rules! version {
    ($module:ident { $($item:item)* }) => {
        mod $module {
            #![allow(dead_code)]
            use serde::Deserialize;
            $(#[derive(Deserialize)] $item)*
        }
    };
}

version!(base { pub(super) struct T { a: u64, b: String } });
version!(same { pub(super) struct T { a: u64, b: Box<str> } });
version!(swapped { pub(super) struct T { b: String, a: u64 } });
version!(renamed { pub(super) struct T { a: u64, c: String } });
version!(retyped { pub(super) struct T { a: u32, b: String } });
version!(longer { pub(super) struct T { a: u64, b: String, c: u8 } });
version!(option { pub(super) struct T { a: u64, b: Option<String> } });
version!(other { pub(super) struct U { a: u64, b: String } });

fn of<T: DeserializeOwned + 'static>() -> Fingerprint {
    fingerprint::<T>()
}

macro_rules! all_differ {
    ($($type:ty),* $(,)?) => {
        let all = [$((stringify!($type), of::<$type>())),*];
        for (i, (a, print)) in all.iter().enumerate() {
            for (b, other) in &all[i + 1..] {
                assert_ne!(print, other, "{a} and {b}");
            }
        }
    };
}

#[test]
fn fields_are_told_apart_by_name_order_and_type() {
    assert_eq!(of::<base::T>(), of::<same::T>());
    all_differ!(base::T, swapped::T, renamed::T, retyped::T, longer::T, option::T, other::U);
}

#[test]
fn primitives_are_told_apart() {
    all_differ!(
        u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64, bool, char, String, (), Option<u8>, Vec<u8>,
        [u8; 2], [u8; 3], (u8, u16), BTreeMap<u8, u8>, BTreeMap<u8, u16>, BTreeMap<u16, u8>, Vec<u16>, Option<u16>,
        Vec<Vec<u8>>, serde_bytes::ByteBuf, Result<u8, u8>, Result<u8, u16>, Result<u16, u8>,
    );
}

#[test]
fn what_has_the_same_bytes_is_the_same() {
    assert_eq!(of::<Arc<base::T>>(), of::<base::T>());
    assert_eq!(of::<Box<Vec<base::T>>>(), of::<Vec<base::T>>());
    assert_eq!(of::<HashSet<u8>>(), of::<Vec<u8>>());
    assert_eq!(of::<usize>(), of::<u64>());
    assert_eq!(trace::<base::T>(), of::<base::T>());
}

version!(e0 { pub(super) enum E { A, B(u8), C(u8, u16), D { x: u8 } } });
version!(e1 { pub(super) enum E { A, B(u16), C(u8, u16), D { x: u8 } } });
version!(e2 { pub(super) enum E { A, B(u8), C(u8, u8), D { x: u8 } } });
version!(e3 { pub(super) enum E { A, B(u8), C(u8, u16), D { x: u16 } } });
version!(e4 { pub(super) enum E { A, B(u8), C(u8, u16), D { y: u8 } } });
version!(e5 { pub(super) enum E { B(u8), A, C(u8, u16), D { x: u8 } } });
version!(e6 { pub(super) enum E { A, B(u8), C(u8, u16), D { x: u8 }, F } });
version!(e7 { pub(super) enum E { A(), B(u8), C(u8, u16), D { x: u8 } } });

#[test]
fn every_variant_shows() {
    all_differ!(e0::E, e1::E, e2::E, e3::E, e4::E, e5::E, e6::E, e7::E);
    all_differ!(Vec<e0::E>, Vec<e1::E>, Vec<e2::E>, Vec<e3::E>);
    // Two enums in one struct, and one inside the last variant of another.
    all_differ!((e0::E, e0::E), (e0::E, e3::E), (e3::E, e0::E), (e1::E, e3::E));
    all_differ!(Result<u8, Result<u8, e0::E>>, Result<u8, Result<u8, e3::E>>, Result<u8, Result<u8, e1::E>>);
    all_differ!(Result<Result<e0::E, u8>, e0::E>, Result<Result<e3::E, u8>, e0::E>, Result<Result<e0::E, u8>, e3::E>);
}

version!(r0 { pub(super) struct Tree { of: Vec<Tree>, left: Option<Box<Tree>>, leaf: u8 } });
version!(r1 { pub(super) struct Tree { of: Vec<Tree>, left: Option<Box<Tree>>, leaf: u16 } });
version!(x0 {
    pub(super) enum Expr { Neg(Box<Expr>), Add(Box<Expr>, Box<Expr>), Of(Vec<Expr>), Let { a: Box<Expr> }, Lit(i64) }
});
version!(x1 {
    pub(super) enum Expr { Neg(Box<Expr>), Add(Box<Expr>, Box<Expr>), Of(Vec<Expr>), Let { a: Box<Expr> }, Lit(i32) }
});
version!(endless { pub(super) struct Endless { of: Box<Endless> } });

#[test]
fn recursion_ends() {
    all_differ!(r0::Tree, r1::Tree, Vec<r0::Tree>, x0::Expr, x1::Expr, endless::Endless, (endless::Endless, u8));
    all_differ!(BTreeMap<String, r0::Tree>, BTreeMap<String, r1::Tree>);
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Page<T> {
    items: Vec<T>,
    of: Option<T>,
}

#[test]
fn a_generic_type_inside_itself_is_no_recursion() {
    all_differ!(Page<u8>, Page<u16>, Page<Page<u8>>, Page<Page<u16>>);
}

#[test]
fn what_follows_a_field_that_refuses_most_values_shows() {
    all_differ!((uuid::Uuid, u8), (uuid::Uuid, u16), (chrono::NaiveDate, u8), (chrono::NaiveDate, u16));
    all_differ!((chrono::DateTime<chrono::Utc>, u8), (chrono::DateTime<chrono::Utc>, u16));
    all_differ!((NonZeroU8, u8), (NonZeroU8, u16), (NonZeroU8, NonZeroU8, u16));
    all_differ!((std::net::IpAddr, u8), (std::net::IpAddr, u16));
    all_differ!((True, u8), (True, u16));
    all_differ!((Long, u8), (Long, u16));
    all_differ!((Hinted, u8), (Hinted, u16));
}

#[derive(Deserialize)]
#[serde(try_from = "bool")]
struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(truth: bool) -> Result<Self, &'static str> {
        if truth { Ok(True) } else { Err("false") }
    }
}

/// It takes a list only if that tells how long it is.
#[derive(Debug)]
struct Hinted;

impl<'de> Deserialize<'de> for Hinted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Two;
        impl<'de> de::Visitor<'de> for Two {
            type Value = Hinted;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two numbers")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Hinted, A::Error> {
                let hint = list.size_hint();
                while list.next_element::<u8>()?.is_some() {}
                if hint == Some(2) { Ok(Hinted) } else { Err(de::Error::custom("no hint")) }
            }
        }
        deserializer.deserialize_tuple(2, Two)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "serde_bytes::ByteBuf")]
struct Long;

impl TryFrom<serde_bytes::ByteBuf> for Long {
    type Error = &'static str;

    fn try_from(bytes: serde_bytes::ByteBuf) -> Result<Self, &'static str> {
        if bytes.len() == 32 { Ok(Long) } else { Err("not 32 bytes") }
    }
}

#[derive(Debug)]
struct Never;

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer)?;
        Err(de::Error::custom("never"))
    }
}

#[derive(Debug)]
struct Panics;

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer)?;
        panic!("in Deserialize")
    }
}

#[test]
fn trouble_is_opaque_from_there_on() {
    assert_eq!(of::<(Never, u8)>(), of::<(Never, u16)>());
    assert_eq!(of::<(Panics, u8)>(), of::<(Panics, u16)>());
    all_differ!((u8, Never), (u16, Never), (Never, u8), (Panics, u8), (u8, u8));
    // The other variants are read all the same.
    all_differ!(Result<Never, u8>, Result<Never, u16>, Result<u8, Never>, Result<u16, Never>);
    // And are taken again for what stands behind them and has more of its own.
    all_differ!((Result<Never, u8>, e0::E), (Result<Never, u8>, e2::E), (Result<Never, u8>, e3::E));
}

#[derive(Deserialize)]
#[allow(dead_code)]
#[serde(untagged)]
enum Untagged {
    A(u8),
    B(String),
}

#[test]
fn a_refusal_says_what_was_refused() {
    assert_eq!(<Refused as de::Error>::custom("no").to_string(), "a dummy was refused");
}

#[test]
fn what_takes_anything_is_passed_by() {
    all_differ!((Untagged, u8), (Untagged, u16), (de::IgnoredAny, u8));
    assert_eq!(of::<(Untagged, u8)>(), of::<(serde_json::Value, u8)>(), "nothing can be told inside");
}

#[test]
fn a_wide_type_ends_in_its_bounds() {
    all_differ!(Vec<[[[u8; 32]; 32]; 32]>, (u8, [[[u8; 32]; 32]; 32]), Vec<Vec<Vec<Vec<Vec<Vec<Vec<Vec<u8>>>>>>>>,);
}

type Deep8<T> = Option<Option<Option<Option<Option<Option<Option<Option<T>>>>>>>>;
type Deep64<T> = Deep8<Deep8<Deep8<Deep8<Deep8<Deep8<Deep8<Deep8<T>>>>>>>>;

#[test]
fn nothing_shows_beyond_the_bounds() {
    assert_eq!(of::<([[[u8; 32]; 32]; 32], u8)>(), of::<([[[u8; 32]; 32]; 32], u16)>());
    all_differ!(([[u8; 32]; 32], u8), ([[u8; 32]; 32], u16));
    all_differ!(Deep64<u8>, Deep64<u16>);
    assert_eq!(of::<Option<Deep64<u8>>>(), of::<Option<Deep64<u16>>>());
}

/// A type that takes anything, and then only one kind.
#[derive(Deserialize)]
#[allow(dead_code)]
#[serde(untagged)]
enum Only<T> {
    A(T),
}

type Numbers = (u16, u32, u64, u128, i8, i16, i32, i64, i128, f64, bool, char);

#[test]
fn fingerprints_are_frozen() {
    // Records outlive builds: another fingerprint, and every record is of another type.
    let all = [
        of::<u8>(),
        of::<base::T>(),
        of::<e0::E>(),
        of::<x0::Expr>(),
        of::<(uuid::Uuid, Vec<Option<f32>>)>(),
        of::<Numbers>(),
        of::<(BTreeMap<u8, ()>, de::IgnoredAny, serde_bytes::ByteBuf, True, u8)>(),
        of::<(Untagged, u8)>(),
        of::<(Only<u64>, u8)>(),
        of::<(Only<String>, u8)>(),
        of::<(Only<()>, u8)>(),
        of::<(Only<BTreeMap<String, u8>>, u8)>(),
        of::<(Only<[u8; 2]>, u8)>(),
        of::<(chrono::DateTime<chrono::Utc>, std::net::IpAddr, NonZeroU8, Long, u8)>(),
        of::<(Never, u8)>(),
        of::<(Result<Never, u8>, u16)>(),
        of::<(Result<Result<Never, e0::E>, u8>, e1::E)>(),
        of::<(r0::Tree, x1::Expr)>(),
        of::<(endless::Endless, u8)>(),
        of::<Page<Page<u16>>>(),
        of::<([[[u8; 32]; 32]; 32], u8)>(),
        of::<Option<Deep64<u8>>>(),
    ];
    assert_eq!(all.map(|print| print.0), FROZEN);
}
const FROZEN: [u32; 22] = [
    769_289_102,
    1_132_381_011,
    961_803_810,
    3_155_862_337,
    2_112_406_875,
    2_788_118_925,
    3_041_028_279,
    1_171_052_464,
    1_171_052_464,
    1_171_052_464,
    1_171_052_464,
    1_171_052_464,
    2_714_987_412,
    2_439_354_298,
    2_694_568_111,
    1_597_126_434,
    2_315_618_119,
    4_288_593_385,
    2_128_119_241,
    3_656_384_517,
    2_358_617_009,
    1_984_646_397,
];
