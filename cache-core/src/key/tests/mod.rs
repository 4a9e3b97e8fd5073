//! What is equal to what: the promises of `docs/keys.md`, one by one; and in `meaning` over random values.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use serde::ser::{self, SerializeMap as _, SerializeTuple as _, SerializeTupleVariant as _};
use serde::{Serialize, Serializer};

use super::*;
use crate::error;

mod meaning;

fn bytes_of<A: Serialize + ?Sized>(arguments: &A) -> Vec<u8> {
    KeyWriter::key_of("n", arguments).unwrap().as_ref().arguments().bytes().to_vec()
}

macro_rules! same {
    ($a:expr, $b:expr) => {
        assert_eq!(bytes_of(&$a), bytes_of(&$b), "{} and {}", stringify!($a), stringify!($b))
    };
}

macro_rules! differ {
    ($a:expr, $b:expr) => {
        assert_ne!(bytes_of(&$a), bytes_of(&$b), "{} and {}", stringify!($a), stringify!($b))
    };
}

#[derive(Serialize)]
struct Newtype<T>(T);

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Pair(u8, u8);

#[test]
fn what_a_literal_says_is_what_a_typed_call_says() {
    same!(("bob", 0), (String::from("bob"), 0_u64));
    same!(42, (42,));
    same!(42_u8, 42_i128);
    same!(-42_i8, -42_i128);
    same!(&&"x", "x");
    same!(Cow::from("x"), "x");
    same!(Arc::<str>::from("x"), "x");
    same!(Newtype("x"), "x");
    same!('x', "x");
    same!(1.5_f32, 1.5_f64);
    same!(0.0, -0.0);
    same!(f64::NAN, -f64::NAN);
    same!((), Unit);
    let mut buffer = KeyBuffer::new();
    let mut none = buffer.begin("n", 0);
    assert_eq!(none.finish().unwrap().arguments().bytes(), bytes_of(&()));
}

#[test]
fn tuple_array_slice_and_list_are_one_kind() {
    same!(((1, 2),), (1, 2));
    same!((&[1, 2][..],), [1, 2]);
    same!(vec![1, 2], (1, 2));
    same!(Pair(1, 2), (1, 2));
    same!(serde_bytes::Bytes::new(b"ab"), b"ab".to_vec());
    same!(b"ab", b"ab".to_vec());
}

#[test]
fn a_list_of_one_is_unwrapped_once_at_the_top() {
    differ!([5], (vec![5],));
    differ!((5,), ((5,),));
    same!([5], 5);
    same!(((5,),), (vec![5],));
    differ!(((), ()), ());
    differ!(((),), ([(); 2],));
    let mut buffer = KeyBuffer::new();
    let mut call = buffer.begin("n", 1);
    call.arg(&vec![5]);
    assert_eq!(call.finish().unwrap(), KeyWriter::key_of("n", &(vec![5],)).unwrap().as_ref());
    // On the heap as well.
    let long = "x".repeat(200);
    same!((&long,), long);
    differ!(((&long,),), long);
}

#[test]
fn what_means_something_else_differs() {
    differ!(Some("x"), "x");
    differ!(None::<u8>, ());
    differ!(Some(Some(1)), Some(1));
    differ!(1, 1.0);
    differ!(0.1_f32, 0.1_f64);
    differ!(true, 1);
    differ!(false, 0);
    differ!(std::ffi::OsStr::new("x"), "x");
    differ!(0_u8, "");
    differ!(255_u8, -1_i8);
    differ!(("a_b", "c"), ("a", "b_c"));
    differ!(("ab", ""), ("a", "b"));
    differ!(((1, 2), 3), (1, (2, 3)));
    differ!("1", 1);
}

#[test]
fn a_namespace_is_part_of_the_key() {
    assert_ne!(KeyWriter::key_of("ab", "c").unwrap(), KeyWriter::key_of("a", "bc").unwrap());
    assert_ne!(KeyWriter::key_of("a", "").unwrap(), KeyWriter::key_of("", "a").unwrap());
    assert_eq!(KeyWriter::key_of("a\0é", "c").unwrap().as_ref().namespace(), "a\0é");
}

#[test]
fn maps_are_sorted_whatever_order_they_came_in() {
    for len in [0, 1, 2, 8, 9, 17, 18, 19, 40, 300] {
        let sorted: BTreeMap<u32, String> = (0..len).map(|i| (i, format!("v{i}"))).collect();
        let hashed: HashMap<u32, String> = sorted.clone().into_iter().collect();
        same!(sorted, hashed);
        let reversed = Backwards(sorted.iter().rev().collect());
        same!(sorted, reversed);
        assert_eq!(pairs_of(&bytes_of(&sorted)), len as usize);
    }
    // One map inside the other, both out of order, on the stack and on the heap.
    for fill in ["", &"x".repeat(150)] {
        let inner = |order: [u8; 3]| Backwards(order.map(|i| (i, fill)).into());
        let a = Backwards(vec![(2, inner([1, 2, 3])), (1, inner([3, 1, 2]))]);
        let b = Backwards(vec![(1, inner([2, 3, 1])), (2, inner([3, 2, 1]))]);
        same!(a, b);
    }
}

fn pairs_of(bytes: &[u8]) -> usize {
    let Some(Argument::Map(pairs)) = Arguments::new(bytes).iter().next() else { panic!("not a map") };
    pairs.count() / 2
}

/// A map in the order in which its pairs stand.
struct Backwards<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Backwards<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[derive(Serialize)]
struct Optional {
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<u8>,
}

#[derive(Serialize)]
struct Hidden {
    shown: u8,
    #[serde(skip_serializing)]
    #[allow(dead_code)]
    hidden: u8,
}

#[derive(Serialize)]
struct Flat {
    z: u8,
    #[serde(flatten)]
    rest: Hidden,
    a: u8,
}

#[test]
fn structs_are_maps_of_their_fields() {
    differ!(Optional { a: Some(1), b: None }, Optional { a: None, b: Some(1) });
    same!(Optional { a: Some(1), b: Some(2) }, BTreeMap::from([("a", Some(1)), ("b", Some(2))]));
    same!(Hidden { shown: 1, hidden: 2 }, Hidden { shown: 1, hidden: 3 });
    let flat = Flat { z: 1, rest: Hidden { shown: 2, hidden: 0 }, a: 3 };
    same!(flat, BTreeMap::from([("a", 3), ("shown", 2), ("z", 1)]));
}

#[derive(Serialize)]
enum Sort {
    Name,
    Age(u8),
    Two(u8, u8),
    Named { from: u8 },
    None,
}

#[test]
fn variants_are_known_by_name() {
    differ!(Sort::Name, "Name");
    differ!(Sort::None, None::<u8>);
    differ!(Sort::Age(1), Sort::Two(1, 1));
    differ!(Sort::Two(1, 2), Sort::Two(2, 1));
    differ!(Sort::Named { from: 1 }, Sort::Age(1));
    differ!(Sort::Name, Sort::None);
}

#[test]
fn what_shows_itself_as_text_equals_its_text() {
    let id = uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    same!(id, "01234567-89ab-cdef-0123-456789abcdef");
    same!("::1".parse::<IpAddr>().unwrap(), "::1");
    same!("10.0.0.1".parse::<IpAddr>().unwrap(), "10.0.0.1");
    let utc: chrono::DateTime<chrono::Utc> = "2024-02-29T12:00:00Z".parse().unwrap();
    same!(utc, "2024-02-29T12:00:00Z");
    // One instant at two offsets is two keys.
    let east: chrono::DateTime<chrono::FixedOffset> = "2024-02-29T13:00:00+01:00".parse().unwrap();
    assert_eq!(utc, east);
    differ!(utc, east);
    same!(chrono::NaiveDate::from_ymd_opt(2024, 2, 29).unwrap(), "2024-02-29");
    // Behind whatever else stands in the key, and on the heap.
    for len in [0, 100, 130, 140, 150, 1000] {
        let fill = "x".repeat(len);
        same!((&fill, id), (&fill, "01234567-89ab-cdef-0123-456789abcdef"));
    }
}

#[test]
fn a_text_is_written_as_serde_would_write_it() {
    for len in [0, 1, 7, 8, 16, 33, 100, 120, 130, 151, 200] {
        let text = "x".repeat(len);
        let (mut direct, mut by_serde) = (KeyBuffer::new(), KeyBuffer::new());
        let (mut direct, mut by_serde) = (direct.begin("ns", 2), by_serde.begin("ns", 2));
        for _ in 0..2 {
            direct.text(&text);
            by_serde.arg(&text);
        }
        let (direct, by_serde) = (direct.finish().unwrap(), by_serde.finish().unwrap());
        assert_eq!((direct.bytes(), direct.hash()), (by_serde.bytes(), by_serde.hash()), "{len}");
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"\xff"));
    let refused = KeyWriter::key_of("n", path).unwrap_err();
    assert!(refused.to_string().starts_with("an argument cannot be part of a cache key: "), "{refused}");
    let mut buffer = KeyBuffer::new();
    let mut call = buffer.begin("n", 2);
    call.arg(&1);
    call.arg(path);
    assert_eq!(call.finish().unwrap_err(), refused);
    assert_eq!(call.finish().unwrap_err(), refused, "asked again");
    assert_eq!(error::Error::from(refused).kind(), error::Kind::Key);
    same!(std::path::Path::new("/a"), "/a");
}

#[test]
fn a_serialize_that_breaks_the_rules_makes_no_key() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("no"))
        }
    }
    type Serialized = fn(&mut KeyWriter<'_>) -> Result<(), KeyError>;
    let wrong: [Serialized; 6] = [
        |key| key.serialize_map(None)?.serialize_value(&1),
        |key| {
            let mut map = key.serialize_map(None)?;
            let _ = map.serialize_key(&1);
            let _ = map.serialize_key(&2);
            map.end()
        },
        |key| {
            let mut map = key.serialize_map(None)?;
            map.serialize_key(&1)?;
            map.end()
        },
        |key| {
            let mut map = key.serialize_map(None)?;
            map.serialize_entry(&1, &2)?;
            map.serialize_value(&3)
        },
        |key| {
            let mut list = key.serialize_seq(None)?;
            let _ = ser::SerializeSeq::serialize_element(&mut list, &Fails);
            ser::SerializeSeq::end(list)
        },
        |key| {
            let mut map = key.serialize_map(None)?;
            let _ = map.serialize_entry(&1, &Fails);
            map.end()
        },
    ];
    for (i, wrong) in wrong.into_iter().enumerate() {
        let mut buffer = KeyBuffer::new();
        let mut key = buffer.begin("n", 1);
        // As a `Serialize` does that ignores what it is told.
        let _ = wrong(&mut key);
        assert!(key.finish().is_err(), "{i}");
    }
}

#[test]
fn a_display_that_fails_makes_no_key() {
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }
    assert!(KeyWriter::key_of("n", &Fails).is_err());
}

#[test]
fn finishing_twice_gives_the_same_key() {
    let mut buffer = KeyBuffer::new();
    let mut call = buffer.begin("n", 2);
    call.arg(&1);
    call.arg("x");
    let first = call.finish().unwrap().to_key();
    assert_eq!(call.finish().unwrap(), first.as_ref());
    assert_eq!(first, KeyWriter::key_of("n", &(1, "x")).unwrap());
}

#[test]
fn keys_are_frozen() {
    // Two releases that encode differently do not see each other's invalidations.
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = KeyWriter::key_of("im", &("bob", 0, -300_i64)).unwrap();
    assert_eq!(hex(key.as_ref().bytes()), "02000000696d070603000000626f6210322b0100");
    assert_eq!(key.as_ref().check(), KeyCheck(FROZEN_CHECK));
    let golden = [
        (bytes_of(&u128::MAX), "20ffffffffffffffffffffffffffffffff"),
        (bytes_of(&i128::MIN), "40ffffffffffffffffffffffffffffff7f"),
        (bytes_of(&u64::MAX), "18ffffffffffffffff"),
        (bytes_of(&256_u16), "120001"),
        (bytes_of(&-1), "30"),
        (bytes_of(&-256), "31ff"),
        (bytes_of(&-257), "320001"),
        (bytes_of(&(true, false)), "07040300"),
        (bytes_of(&Some(1.5)), "0205000000000000f83f"),
        (bytes_of(&f64::NAN), "05000000000000f87f"),
        (bytes_of(&None::<u8>), "01"),
        (bytes_of(&()), "0700"),
        (bytes_of(&Sort::Name), "0a040000004e616d65"),
        (bytes_of(&Sort::Two(1, 2)), "090300000054776f071101110200"),
        (bytes_of(&Sort::Named { from: 1 }), "09050000004e616d656408060400000066726f6d110100"),
        (bytes_of(&Optional { a: Some(1), b: Some(2) }), "0806010000006102110106010000006202110200"),
    ];
    for (bytes, expected) in golden {
        assert_eq!(hex(&bytes), expected);
    }
}
const FROZEN_CHECK: u64 = 6_801_059_730_199_013_099;

#[test]
fn a_key_shows_neither_its_arguments_nor_their_text() {
    let key = KeyWriter::key_of("users", "secret").unwrap();
    let shown = format!("{key:?}");
    assert!(shown.starts_with("users#") && !shown.contains("secret"), "{shown}");
    assert_eq!(shown, format!("users#{:016x}", key.as_ref().hash()));
    let hash = hash::KeyHash::of(key.as_ref().bytes());
    assert_eq!(format!("{hash:?}"), format!("KeyHash({:016x})", hash.finish()));
}

#[test]
fn equal_keys_hash_alike_and_others_do_not() {
    let key = |id: u32| KeyWriter::key_of("n", &id).unwrap();
    assert_eq!(key(1).as_ref().hash(), key(1).as_ref().hash());
    assert_ne!(key(1).as_ref().hash(), key(2).as_ref().hash());
    assert_ne!(key(1).as_ref().hash(), 0);
    assert_ne!(key(1).as_ref().check(), key(2).as_ref().check());
    let map: HashMap<Key, u32> = (0..100).map(|i| (key(i), i)).collect();
    assert!((0..100).all(|i| map[&key(i)] == i));
}

#[test]
fn every_part_of_a_key_is_in_its_hash() {
    fn hash<A: Serialize + ?Sized>(namespace: &str, argument: &A) -> u64 {
        KeyWriter::key_of(namespace, argument).unwrap().as_ref().hash()
    }
    let wide = 1_u128 << 64;
    let hashes = [
        hash("n", "a"),
        hash("n", "b"),
        hash("m", "a"),
        hash("n", &1),
        hash("n", &-1),
        hash("n", &1.0),
        hash("n", &2.0),
        hash("n", &(wide + 1)),
        hash("n", &(wide + 2)),
        hash("n", &(2 * wide + 1)),
        hash("n", &true),
        hash("n", &false),
        hash("n", &Some(1)),
        hash("n", &(1, 1)),
        hash("n", &Sort::Name),
        hash("n", &Sort::None),
        hash("n", &Sort::Age(1)),
    ];
    let distinct: std::collections::HashSet<u64> = hashes.into();
    assert_eq!(distinct.len(), hashes.len(), "{hashes:x?}");
}

#[test]
fn a_map_of_keys_is_asked_by_reference() {
    let key = |id: u32| KeyWriter::key_of("n", &id).unwrap();
    let map: HashMap<Key, u32> = (0..100).map(|i| (key(i), i)).collect();
    for i in 0..100 {
        assert_eq!(map.get(&key(i).as_ref() as &dyn HasKey), Some(&i));
    }
    assert_eq!(map.get(&key(100).as_ref() as &dyn HasKey), None);
    // Two of one hash are told apart.
    let [one, same, other] = [b"a", b"a", b"b"].map(|bytes| KeyRef { hash: 1, bytes });
    let [one, same, other]: [&dyn HasKey; 3] = [&one, &same, &other];
    assert!(one == same && one != other);
}

#[test]
fn equality_is_of_the_bytes_and_not_of_the_hash() {
    let key = |hash, bytes| KeyRef { hash, bytes };
    assert_ne!(key(1, b"a"), key(1, b"b"));
    assert_ne!(key(1, b"a").to_key(), key(1, b"b").to_key());
    assert_ne!(key(1, b"a"), key(2, b"a"), "keys of two processes");
    assert_eq!(key(1, b"a"), key(1, b"a"));
}

#[test]
#[cfg(feature = "testkit")]
fn a_key_takes_a_hash_that_is_not_its_own() {
    let key = KeyWriter::key_of("n", &1).unwrap();
    let shared = key.as_ref().with_hash(5);
    assert_eq!((shared.hash(), shared.bytes()), (5, key.as_ref().bytes()));
}

#[test]
fn what_is_no_value_is_not_skipped() {
    for bytes in [&[0x00][..], &[0x02, 0x00], &[0x07, 0x02, 0x00], &[0x07, 0x00, 0x00], &[0x09, 0, 0, 0, 0, 0x00]] {
        let whole = writer::skip(bytes).is_some_and(<[u8]>::is_empty);
        assert!(!whole, "{bytes:?}");
    }
    assert_eq!(writer::skip(&[0x07, 0x01, 0x00, 0x03]), Some(&[0x03][..]));
}

#[test]
fn bytes_that_are_no_key_have_no_parts() {
    for bytes in [&[][..], &[1], &[1, 0, 0, 0], &[0xff; 9], &[1, 0, 0, 0, 0xff]] {
        let key = KeyRef { hash: 0, bytes };
        assert_eq!((key.namespace(), key.arguments().to_text()), ("", None), "{bytes:?}");
    }
}

#[test]
fn a_key_of_128_bytes_stays_on_the_stack() {
    #[derive(Serialize)]
    struct Fields(#[serde(serialize_with = "eighteen")] ());
    fn eighteen<S: Serializer>(_: &(), serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(('a'..='r').rev().map(|name| (name, 0_u8)))
    }
    let written = |namespace: &str, argument: &dyn Fn(&mut KeyWriter<'_>)| {
        let mut buffer = KeyBuffer::new();
        let mut key = buffer.begin(namespace, 1);
        argument(&mut key);
        (key.finish().unwrap().bytes().len(), key.spilled())
    };
    assert_eq!(written("", &|key| key.arg(&"x".repeat(119))), (128, false));
    assert_eq!(written("", &|key| key.arg(&"x".repeat(143))), (152, false));
    assert_eq!(written("", &|key| key.arg(&"x".repeat(144))), (153, true));
    assert_eq!(written("", &|key| key.arg(&Fields(()))), (4 + 18 * 7 + 2, false));
    assert_eq!(written("n", &|key| key.arg(&uuid::Uuid::nil())), (5 + 5 + 36, false));
    assert_eq!(written("", &|key| key.arg(&vec![u128::MAX; 7])), (4 + 7 * 17 + 2, false));
}
