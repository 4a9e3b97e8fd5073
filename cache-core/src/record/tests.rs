//! What reading makes of bytes that were written, damaged, forged, or meant for somebody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::envelope::seal;
use super::*;
use crate::error::{self, Error};
use crate::generation::GenerationDigest;
use crate::key::{Key, KeyWriter};

fn key(name: &str) -> Key {
    KeyWriter::key_of("images", name).unwrap()
}

fn writing<'a>(codec: &'a Codec, key: &'a Key) -> Writing<'a> {
    Writing {
        codec,
        compression: Compression::None,
        version: 3,
        fingerprint: Fingerprint(0x0102_0304),
        digest: GenerationDigest(0x1112_1314_1516_1718),
        key: key.as_ref(),
        max_value: 1 << 20,
    }
}

/// Every codec of this build, and a custom one.
fn codecs() -> Vec<Codec> {
    vec![
        #[cfg(feature = "bincode")]
        Codec::Bincode,
        #[cfg(feature = "postcard")]
        Codec::Postcard,
        #[cfg(feature = "json")]
        Codec::Json,
        Codec::Custom(Arc::new(Text("text"))),
    ]
}

/// JSON, called through the bridge.
#[derive(Debug)]
struct Text(&'static str);

impl CustomCodec for Text {
    fn name(&self) -> &str {
        self.0
    }

    fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut serializer = serde_json::Serializer::new(out);
        value.erased_serialize(&mut <dyn erased_serde::Serializer>::erase(&mut serializer))?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8], into: &mut DecodeInto<'_>) -> Result<(), CodecError> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        into(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut deserializer))?;
        Ok(deserializer.end()?)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Image {
    id: u64,
    name: String,
    parent: Option<Box<Image>>,
    tags: BTreeMap<String, i32>,
    kind: ImageKind,
    scale: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum ImageKind {
    Plain,
    Sized(u32, u32),
    Named { by: String },
    Of(char),
}

fn image() -> Image {
    let parent = Image {
        id: 1,
        name: "parent".into(),
        parent: None,
        tags: BTreeMap::new(),
        kind: ImageKind::Named { by: "é".into() },
        scale: -0.5,
    };
    Image {
        id: u64::MAX,
        name: "child".into(),
        parent: Some(Box::new(parent)),
        tags: BTreeMap::from([("a".into(), -1), ("b".into(), 70_000)]),
        kind: ImageKind::Sized(1, 2),
        scale: 1e300,
    }
}

fn round_trip<V: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &V) {
    let key = key("k");
    for codec in codecs() {
        for compression in [Compression::None, Compression::default(), every_record()] {
            let writing = Writing { compression, ..writing(&codec, &key) };
            let record = write(value, &writing).unwrap();
            assert_eq!(read::<V>(&record, &writing.expect()).as_ref(), Ok(value), "{codec}");
            assert_eq!(reads_back(value, &record, &writing.expect()), Ok(()), "{codec}");
        }
    }
}

/// Compression of whatever gets smaller by it.
fn every_record() -> Compression {
    #[cfg(feature = "zstd")]
    return Compression::Zstd { level: 1, min_len: 0 };
    #[cfg(not(feature = "zstd"))]
    Compression::None
}

#[test]
fn what_is_written_is_read() {
    round_trip(&image());
    round_trip(&vec![image(); 50]);
    round_trip(&());
    round_trip(&Some("x".repeat(5000)));
    round_trip(&(u128::MAX, i128::MIN, f32::MIN, char::MAX, true));
    round_trip(&BTreeSet::from([1, 2, 3]));
    round_trip(&uuid::Uuid::from_u128(7));
    round_trip(&serde_bytes::ByteBuf::from(vec![0, 1, 255]));
    round_trip(&(
        "10.0.0.1".parse::<IpAddr>().unwrap(),
        "2024-02-29T12:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap(),
    ));
    round_trip(&HashMap::from([(1, vec![Some(1)]), (2, vec![None])]));
    round_trip(&Result::<u8, String>::Err("no".into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_values_are_read_as_written(
        list in proptest::collection::vec((any::<i64>(), ".{0,20}", proptest::option::of(any::<u16>())), 0..40),
        map in proptest::collection::btree_map(any::<u32>(), proptest::collection::vec(any::<u8>(), 0..9), 0..9),
        float in any::<f64>().prop_filter("NaN is not equal to itself", |float| !float.is_nan()),
    ) {
        round_trip(&list);
        round_trip(&map);
        if float.is_finite() {
            round_trip(&float);
        }
    }

    #[test]
    fn garbage_is_a_miss(bytes in proptest::collection::vec(any::<u8>(), 0..80), forged in any::<bool>()) {
        let key = key("k");
        for codec in codecs() {
            let writing = writing(&codec, &key);
            let mut bytes = bytes.clone();
            if forged {
                // Intact, and of this type as far as the header tells: the decoder sees the bytes.
                bytes.splice(0..0, [0; HEADER]);
                let compression = (bytes.len() % 2) as u8;
                seal(&mut bytes, &writing, compression);
                let _ = read::<Vec<Image>>(&bytes, &writing.expect());
                let _ = read::<HashMap<String, Vec<()>>>(&bytes, &writing.expect());
            } else {
                prop_assert!(read::<Vec<u8>>(&bytes, &writing.expect()).is_err());
            }
        }
    }
}

#[test]
fn a_record_that_lost_bytes_or_gained_some_is_a_miss() {
    let key = key("k");
    for codec in codecs() {
        for compression in [Compression::None, every_record()] {
            let writing = Writing { compression, ..writing(&codec, &key) };
            let record = write(&vec![image(); 3], &writing).unwrap();
            for len in 0..record.len() {
                let miss = read::<Vec<Image>>(&record[..len], &writing.expect()).unwrap_err();
                let expected = if len < HEADER { Miss::Short } else { Miss::Corrupt };
                assert_eq!(miss, expected, "{codec} {len}");
            }
            let longer = [&record[..], &[0]].concat();
            assert_eq!(read::<Vec<Image>>(&longer, &writing.expect()), Err(Miss::Corrupt));
        }
    }
}

#[test]
fn a_record_with_any_bit_flipped_is_a_miss() {
    let key = key("k");
    for codec in codecs() {
        let writing = writing(&codec, &key);
        let record = write(&image(), &writing).unwrap();
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let miss = read::<Image>(&flipped, &writing.expect()).unwrap_err();
            let is_expected = match bit / 8 {
                0 => matches!(miss, Miss::UnknownFormat(_)),
                1 => matches!(miss, Miss::UnknownCodec(_) | Miss::UnknownCompression(_) | Miss::Corrupt),
                _ => miss == Miss::Corrupt,
            };
            assert!(is_expected, "{codec} {bit} {miss}");
        }
    }
}

#[test]
fn the_record_of_another_key_is_a_miss() {
    let (one, other) = (key("k"), key("l"));
    for codec in codecs() {
        let record = write(&1, &writing(&codec, &one)).unwrap();
        assert_eq!(read::<i32>(&record, &writing(&codec, &other).expect()), Err(Miss::Corrupt));
    }
}

#[test]
fn a_header_is_judged_before_the_value_is_decoded() {
    let key = key("k");
    for codec in codecs() {
        let writing = writing(&codec, &key);
        let record = write(&image(), &writing).unwrap();
        let of = writing.expect();
        let judge = |expect: Expect<'_>| Record::parse(&record).unwrap().judge(&expect).map(drop);
        assert_eq!(judge(of), Ok(()));
        assert_eq!(judge(Expect { version: 2, ..of }), Err(Miss::HigherVersion(3)));
        assert_eq!(judge(Expect { version: 4, ..of }), Err(Miss::LowerVersion(3)));
        let other_type = judge(Expect { fingerprint: Fingerprint(of.fingerprint.0 ^ 5), ..of });
        let Err(Miss::OtherType { found, expected }) = other_type else { panic!("{other_type:?}") };
        // A custom codec's name is mixed into both.
        assert_eq!(found.0 ^ expected.0, 5);
        assert!(codec.name() == "text" || found == of.fingerprint);
        assert_eq!(judge(Expect { digest: GenerationDigest(1), ..of }), Err(Miss::OtherGeneration));
        let len = record.len() - HEADER;
        assert_eq!(judge(Expect { max_value: len - 1, ..of }), Err(Miss::TooLarge(len as u64)));
        assert_eq!(judge(Expect { max_value: len, ..of }), Ok(()));
        // The version first, whatever else differs; the generation last.
        let (fingerprint, digest) = (Fingerprint(1), GenerationDigest(1));
        assert_eq!(judge(Expect { version: 2, fingerprint, digest, ..of }), Err(Miss::HigherVersion(3)));
        let other_type = judge(Expect { fingerprint, digest, max_value: 0, ..of });
        assert!(matches!(other_type, Err(Miss::OtherType { .. })), "{other_type:?}");
        assert_eq!(judge(Expect { digest, max_value: 0, ..of }), Err(Miss::TooLarge(len as u64)));
        let parsed = Record::parse(&record).unwrap();
        assert_eq!((parsed.header().version(), parsed.header().digest()), (3, writing.digest));
    }
}

#[test]
fn unknown_formats_codecs_and_compressions_are_told_apart() {
    let key = key("k");
    for codec in codecs() {
        let record = write(&1, &writing(&codec, &key)).unwrap();
        let with = |at: usize, byte: u8| {
            let mut record = record.clone();
            record[at] = byte;
            read::<i32>(&record, &writing(&codec, &key).expect()).unwrap_err()
        };
        assert_eq!(with(0, 0), Miss::UnknownFormat(0));
        assert_eq!(with(0, 2), Miss::UnknownFormat(2));
        assert_eq!(with(1, 0), Miss::UnknownCodec(0));
        assert_eq!(with(1, 9), Miss::UnknownCodec(9));
        assert_eq!(with(1, record[1] | 0x20), Miss::UnknownCompression(2));
        assert_eq!(with(1, record[1] | 0xf0), Miss::UnknownCompression(15));
        #[cfg(not(feature = "zstd"))]
        assert_eq!(with(1, record[1] | 0x10), Miss::UnknownCompression(1));
    }
    assert_eq!(Record::parse(&[]).unwrap_err(), Miss::Short);
    assert_eq!(Record::parse(&[7]).unwrap_err(), Miss::UnknownFormat(7), "the stub of a later format");
    assert_eq!(Record::parse(&[SPLIT; 32]).unwrap_err(), Miss::Torn);
}

#[test]
fn a_region_reads_the_built_in_codecs_that_it_had_before() {
    let key = key("k");
    let custom = Codec::Custom(Arc::new(Text("text")));
    for codec in codecs() {
        let record = write(&image(), &writing(&codec, &key)).unwrap();
        let before = read::<Image>(&record, &writing(&custom, &key).expect());
        assert_eq!(before, Ok(image()), "{codec}");
    }
    let record = write(&image(), &writing(&custom, &key)).unwrap();
    let renamed = Codec::Custom(Arc::new(Text("other")));
    let of_other = read::<Image>(&record, &writing(&renamed, &key).expect());
    assert!(matches!(of_other, Err(Miss::OtherType { .. })), "{of_other:?}");
    for codec in codecs().into_iter().filter(|codec| !matches!(codec, Codec::Custom(_))) {
        assert_eq!(read::<Image>(&record, &writing(&codec, &key).expect()), Err(Miss::UnknownCodec(15)));
    }
}

#[test]
fn bytes_behind_the_value_and_missing_ones_are_misses() {
    let key = key("k");
    for codec in codecs() {
        let writing = writing(&codec, &key);
        let mut record = write(&(7_u8, 8_u8), &writing).unwrap();
        record.push(b'1');
        seal(&mut record, &writing, 0);
        let miss = read::<(u8, u8)>(&record, &writing.expect()).unwrap_err();
        let expected = if matches!(codec, Codec::Custom(_)) { "decode" } else { "trailing_bytes" };
        assert_eq!(miss.name(), expected, "{codec}");
        record.truncate(record.len() - 2);
        seal(&mut record, &writing, 0);
        assert_eq!(read::<(u8, u8)>(&record, &writing.expect()).unwrap_err().name(), "decode", "{codec}");
    }
}

#[test]
fn a_custom_codec_that_makes_no_deserializer_is_a_miss() {
    #[derive(Debug)]
    struct Idle;
    impl CustomCodec for Idle {
        fn name(&self) -> &str {
            "idle"
        }
        fn encode(&self, _: &dyn erased_serde::Serialize, _: &mut Vec<u8>) -> Result<(), CodecError> {
            Ok(())
        }
        fn decode(&self, _: &[u8], _: &mut DecodeInto<'_>) -> Result<(), CodecError> {
            Ok(())
        }
    }
    let (codec, key) = (Codec::Custom(Arc::new(Idle)), key("k"));
    let record = write(&1, &writing(&codec, &key)).unwrap();
    assert_eq!(read::<i32>(&record, &writing(&codec, &key).expect()).unwrap_err().name(), "decode");
}

#[test]
fn a_panic_in_user_code_is_a_miss_or_an_error() {
    #[derive(Debug)]
    struct Panics;
    impl Serialize for Panics {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("in Serialize")
        }
    }
    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("in Deserialize")
        }
    }
    let key = key("k");
    for codec in codecs() {
        let writing = writing(&codec, &key);
        assert_eq!(write(&Panics, &writing), Err(WriteError::Panicked));
        let record = write(&1, &writing).unwrap();
        let miss = read::<Panics>(&record, &writing.expect()).unwrap_err();
        assert_eq!(miss, Miss::Decode("`Deserialize` panicked".into()));
    }
}

#[cfg(any(feature = "bincode", feature = "postcard"))]
mod positional {
    use super::*;

    fn positional() -> Vec<Codec> {
        codecs().into_iter().filter(|codec| matches!(codec.name(), "bincode" | "postcard")).collect()
    }

    /// A record whose body is forged.
    fn forged(codec: &Codec, key: &Key, body: &[u8]) -> Vec<u8> {
        let mut record = [&[0; HEADER], body].concat();
        seal(&mut record, &writing(codec, key), 0);
        record
    }

    /// What an error says: postcard keeps no messages.
    fn said(codec: &Codec, message: &'static str) -> &'static str {
        if codec.name() == "postcard" { "Serde Deserialization Error" } else { message }
    }

    /// The length 2^62 as each codec writes it.
    fn huge(codec: &Codec) -> Vec<u8> {
        let mut huge = Vec::new();
        codec.encode(&(1_u64 << 62), &mut huge).unwrap();
        huge
    }

    #[test]
    fn a_huge_announced_length_is_a_miss() {
        let key = key("k");
        for codec in positional() {
            let record = forged(&codec, &key, &huge(&codec));
            let expect = writing(&codec, &key).expect();
            assert_eq!(read::<String>(&record, &expect).unwrap_err().name(), "decode");
            assert_eq!(read::<serde_bytes::ByteBuf>(&record, &expect).unwrap_err().name(), "decode");
            assert_eq!(read::<Vec<u64>>(&record, &expect).unwrap_err().name(), "decode");
            assert_eq!(read::<HashMap<u64, String>>(&record, &expect).unwrap_err().name(), "decode");
        }
    }

    #[test]
    fn elements_of_no_bytes_end_at_max_value() {
        let key = key("k");
        for codec in positional() {
            let record = forged(&codec, &key, &huge(&codec));
            let expect = Expect { max_value: 5000, ..writing(&codec, &key).expect() };
            let miss = read::<Vec<()>>(&record, &expect).unwrap_err();
            assert!(miss.to_string().contains(said(&codec, "more elements than `max_value`")), "{miss}");
            let miss = read::<Units>(&record, &expect).unwrap_err();
            assert!(miss.to_string().contains(said(&codec, "more elements than `max_value`")), "{miss}");
            let few = write(&vec![(); 6000], &writing(&codec, &key)).unwrap();
            assert_eq!(read::<Vec<()>>(&few, &expect).map(|few| few.len()), Ok(6000), "{codec}");
        }
    }

    /// A map of nothing to nothing.
    #[derive(Debug)]
    struct Units;

    impl<'de> Deserialize<'de> for Units {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct All;
            impl<'de> serde::de::Visitor<'de> for All {
                type Value = Units;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("units")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Units, A::Error> {
                    assert!(map.size_hint().is_some());
                    while map.next_entry::<(), ()>()?.is_some() {}
                    Ok(Units)
                }
            }
            deserializer.deserialize_map(All)
        }
    }

    #[test]
    fn the_length_of_a_list_is_passed_on() {
        #[derive(Debug, PartialEq)]
        struct Hinted(Option<usize>);
        impl<'de> Deserialize<'de> for Hinted {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct First;
                impl<'de> serde::de::Visitor<'de> for First {
                    type Value = Hinted;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a list")
                    }
                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Hinted, A::Error> {
                        let hint = list.size_hint();
                        while list.next_element::<u8>()?.is_some() {}
                        Ok(Hinted(hint))
                    }
                }
                deserializer.deserialize_seq(First)
            }
        }
        let key = key("k");
        for codec in positional() {
            let record = write(&vec![1_u8, 2, 3], &writing(&codec, &key)).unwrap();
            assert_eq!(read::<Hinted>(&record, &writing(&codec, &key).expect()), Ok(Hinted(Some(3))));
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chain(Option<Box<Chain>>);

    fn chain(links: usize) -> Chain {
        (1..links).fold(Chain(None), |inner, _| Chain(Some(Box::new(inner))))
    }

    #[test]
    fn depth_ends_before_the_stack_does() {
        let key = key("k");
        for codec in positional() {
            let writing = writing(&codec, &key);
            // Two levels for each link: the struct and the option.
            let deepest = write(&chain(128), &writing).unwrap();
            assert_eq!(read::<Chain>(&deepest, &writing.expect()), Ok(chain(128)));
            let deeper = write(&chain(129), &writing).unwrap();
            let miss = read::<Chain>(&deeper, &writing.expect()).unwrap_err();
            assert!(miss.to_string().contains(said(&codec, "nested more than 256 deep")), "{miss}");
            assert_eq!(reads_back(&chain(129), &deeper, &writing.expect()), Err(Misread::Refused(miss)));
            let forged = forged(&codec, &key, &[1; 100_000]);
            assert_eq!(read::<Chain>(&forged, &writing.expect()).unwrap_err().name(), "decode");
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Tuple(u8, Box<Tree>),
        Struct { of: Box<Tree> },
        New(Box<Tree>),
        Leaf,
    }

    #[test]
    fn every_way_to_nest_is_counted() {
        let key = key("k");
        type Wrap = fn(Box<Tree>) -> Tree;
        let wraps: [Wrap; 3] = [|of| Tree::Tuple(1, of), |of| Tree::Struct { of }, Tree::New];
        for codec in positional() {
            let writing = writing(&codec, &key);
            for wrap in wraps {
                let tree = |levels| (1..levels).fold(Tree::Leaf, |inner, _| wrap(Box::new(inner)));
                let deepest = write(&tree(256), &writing).unwrap();
                assert_eq!(read::<Tree>(&deepest, &writing.expect()), Ok(tree(256)));
                let deeper = write(&tree(257), &writing).unwrap();
                assert!(read::<Tree>(&deeper, &writing.expect()).is_err());
            }
            fn deep<T: Serialize + DeserializeOwned>(writing: &Writing<'_>, value: &T) -> Result<(), Miss> {
                read::<T>(&write(value, writing).unwrap(), &writing.expect()).map(drop)
            }
            // One level of each kind, at the very bottom and one deeper.
            #[derive(Debug, Serialize, Deserialize)]
            struct Newtype<T>(T);
            #[derive(Debug, Serialize, Deserialize)]
            struct Fields<T> {
                of: T,
            }
            #[derive(Debug, Serialize, Deserialize)]
            struct Two<T>(T, u8);
            #[derive(Debug, Serialize, Deserialize)]
            struct Down<T>(Vec<Down<T>>, Vec<T>);
            fn down<T>(levels: usize, leaf: T) -> Down<T> {
                (1..levels).fold(Down(vec![], vec![leaf]), |inner, _| Down(vec![inner], vec![]))
            }
            // 127 * 2 levels lead to the last list, which is the 256th.
            assert_eq!(deep(&writing, &down(128, 1)), Ok(()));
            assert!(deep(&writing, &down(128, Newtype(1))).is_err());
            assert!(deep(&writing, &down(128, Fields { of: 1 })).is_err());
            assert!(deep(&writing, &down(128, Two(1, 1))).is_err());
            assert!(deep(&writing, &down(128, (1, 1))).is_err());
            assert!(deep(&writing, &down(128, vec![1])).is_err());
            assert!(deep(&writing, &down(128, Some(1))).is_err());
            assert!(deep(&writing, &down(128, BTreeMap::from([(1, 1)]))).is_err());
            assert!(deep(&writing, &down(128, Tree::Leaf)).is_err());
        }
    }

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    struct Silent {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        b: u8,
        #[serde(default)]
        c: Vec<u8>,
        d: u8,
    }

    #[test]
    fn a_value_that_comes_back_as_another_one_is_found_out() {
        let key = key("k");
        let (mut refused, mut different) = (0, 0);
        for codec in positional() {
            let writing = writing(&codec, &key);
            let lists = [vec![], vec![0], vec![1], vec![0, 0], vec![1, 0]];
            let all = (0..3).flat_map(|b| (0..3).map(move |d| (b, d)));
            for ((b, d), tail) in all.flat_map(|bd| (0..5).map(move |tail| (bd, tail))) {
                for c in &lists {
                    let value = (Silent { a: None, b, c: c.clone(), d }, lists[tail].clone());
                    let record = write(&value, &writing).unwrap();
                    let misread = reads_back(&value, &record, &writing.expect());
                    match read::<(Silent, Vec<u8>)>(&record, &writing.expect()) {
                        Ok(decoded) if decoded == value => assert_eq!(misread, Ok(())),
                        Ok(_) => {
                            assert_eq!(misread, Err(Misread::Different), "{value:?}");
                            different += 1;
                        }
                        Err(miss) => {
                            assert_eq!(misread, Err(Misread::Refused(miss)));
                            refused += 1;
                        }
                    }
                }
            }
        }
        assert!(different > 5 && refused > 100, "{different} different, {refused} refused");
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        a: u8,
        #[serde(flatten)]
        rest: Silent,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        A(u8),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A { b: u8 },
    }

    #[test]
    fn what_a_positional_codec_cannot_carry_is_found_out() {
        let key = key("k");
        for codec in positional() {
            let writing = writing(&codec, &key);
            assert!(write(&Flat { a: 1, rest: Silent::default() }, &writing).is_err());
            fn refused<V: Serialize + DeserializeOwned>(value: &V, writing: &Writing<'_>) {
                let record = write(value, writing).unwrap();
                let misread = reads_back(value, &record, &writing.expect()).unwrap_err();
                assert!(matches!(misread, Misread::Refused(Miss::Decode(_))), "{misread}");
            }
            refused(&Untagged::A(1), &writing);
            refused(&Tagged::A { b: 1 }, &writing);
            refused(&serde_json::json!({ "a": [1] }), &writing);
        }
    }
}

#[cfg(feature = "json")]
#[test]
fn json_carries_every_attribute() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        #[serde(flatten)]
        rest: BTreeMap<String, serde_json::Value>,
        tagged: Tagged,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A { b: u8 },
    }
    let value = All {
        a: None,
        rest: BTreeMap::from([("x".into(), serde_json::json!([1, null, {"y": 2.5}]))]),
        tagged: Tagged::A { b: 1 },
    };
    let key = key("k");
    let writing = writing(&Codec::Json, &key);
    let record = write(&value, &writing).unwrap();
    assert_eq!(reads_back(&value, &record, &writing.expect()), Ok(()));
    // What JSON itself cannot carry.
    let record = write(&Some(f64::NAN), &writing).unwrap();
    assert_eq!(reads_back(&Some(f64::NAN), &record, &writing.expect()), Err(Misread::Different));
}

#[test]
fn an_error_of_serialization_names_its_place() {
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    #[derive(Serialize)]
    struct All {
        images: Vec<Node>,
    }
    #[derive(Serialize)]
    struct Node {
        block_device: Option<Device>,
    }
    #[derive(Serialize)]
    struct Device {
        parent: Refuses,
    }
    let mut images: Vec<_> = (0..17).map(|_| Node { block_device: None }).collect();
    images.push(Node { block_device: Some(Device { parent: Refuses }) });
    let all = All { images };
    let key = key("k");
    for codec in codecs() {
        let error = write(&all, &writing(&codec, &key)).unwrap_err();
        let WriteError::Encode { path, message } = &error else { panic!("{error}") };
        assert_eq!(path, "images[17].block_device.parent", "{codec}");
        if codec.name() != "postcard" {
            // postcard keeps no message.
            assert!(message.contains("not today"), "{codec} {message}");
        }
        assert_eq!(error.to_string(), format!("images[17].block_device.parent: {message}"));
        assert_eq!(Error::from(error).kind(), error::Kind::Codec);
        let whole = write(&Refuses, &writing(&codec, &key)).unwrap_err();
        assert!(
            matches!(&whole, WriteError::Encode { path, message } if path.is_empty() && *message == whole.to_string())
        );
    }
}

#[test]
fn an_error_that_does_not_happen_again_has_no_place() {
    struct Once(std::cell::Cell<u32>);
    impl Serialize for Once {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.set(self.0.get() + 1);
            if self.0.get() == 1 { Err(serde::ser::Error::custom("once")) } else { serializer.serialize_unit() }
        }
    }
    let (codec, key) = (Codec::Custom(Arc::new(Text("text"))), key("k"));
    let error = write(&vec![Once(0.into())], &writing(&codec, &key)).unwrap_err();
    assert_eq!(error, WriteError::Encode { path: String::new(), message: "once".into() });
}

#[test]
fn a_value_above_max_value_is_not_written() {
    let key = key("k");
    for codec in codecs() {
        let all = writing(&codec, &key);
        let len = write(&"x".repeat(3000), &all).unwrap().len() - HEADER;
        for compression in [Compression::None, Compression::default()] {
            let exact = Writing { max_value: len, compression, ..all };
            assert_eq!(
                read::<String>(&write(&"x".repeat(3000), &exact).unwrap(), &exact.expect()),
                Ok("x".repeat(3000))
            );
            let less = Writing { max_value: len - 1, compression, ..all };
            let error = write(&"x".repeat(3000), &less).unwrap_err();
            assert_eq!(error, WriteError::TooLarge { len, max_value: len - 1 });
        }
    }
}

#[test]
fn records_are_frozen() {
    // Records outlive builds: another byte, and every cache that is updated starts empty.
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = key("k");
    let custom = Codec::Custom(Arc::new(Text("text")));
    let record = write(&("bob", 300_u16), &writing(&custom, &key)).unwrap();
    assert_eq!(hex(&record), "010f030015a5ea6118171615141312113e16b68cb6b3c4995b22626f62222c3330305d");
    #[cfg(feature = "bincode")]
    {
        let record = write(&("bob", 300_u16), &writing(&Codec::Bincode, &key)).unwrap();
        assert_eq!(hex(&record), "01010300040302011817161514131211d96c078eda4da4aa03626f62fb2c01");
    }
    #[cfg(feature = "postcard")]
    {
        let record = write(&("bob", 300_u16), &writing(&Codec::Postcard, &key)).unwrap();
        assert_eq!(hex(&record), "010203000403020118171615141312110627e2b3316a1cba03626f62ac02");
    }
    #[cfg(feature = "json")]
    {
        let record = write(&("bob", 300_u16), &writing(&Codec::Json, &key)).unwrap();
        assert_eq!(hex(&record), "01030300040302011817161514131211315e875d1534c6175b22626f62222c3330305d");
    }
    // What zstd makes of a value may change with its release, which may read it all the same.
    #[cfg(feature = "zstd")]
    {
        let writing = Writing { compression: every_record(), ..writing(&custom, &key) };
        let record = write(&"x".repeat(100), &writing).unwrap();
        assert_eq!(hex(&record[..2]), "011f");
        assert_eq!(hex(&record[24..28]), "28b52ffd", "the mark of a zstd frame");
    }
}

#[test]
fn codecs_are_named() {
    for codec in codecs() {
        if !matches!(codec, Codec::Custom(_)) {
            assert_eq!(codec.name().parse::<Codec>().unwrap().name(), codec.name());
            assert_eq!(codec.to_string(), codec.name());
        }
    }
    let unknown = "bincod".parse::<Codec>().unwrap_err();
    assert_eq!(unknown.kind(), error::Kind::Config);
    let had: Vec<_> = codecs().iter().map(|codec| codec.name().to_owned()).filter(|name| name != "text").collect();
    let had = if had.is_empty() { "none".to_owned() } else { had.join(", ") };
    assert_eq!(unknown.message(), format!("unknown codec `bincod` (this build has: {had})"));
    for (name, is_here) in [
        ("bincode", cfg!(feature = "bincode")),
        ("postcard", cfg!(feature = "postcard")),
        ("json", cfg!(feature = "json")),
    ] {
        match name.parse::<Codec>() {
            Ok(codec) => assert!(is_here && codec.name() == name),
            Err(error) => {
                assert!(!is_here);
                assert!(error.message().contains(&format!("switch on the feature `{name}`")), "{error}");
            }
        }
    }
    let first = codecs().into_iter().find(|codec| codec.name() != "text");
    assert_eq!(Codec::default_codec().map(|codec| codec.name().to_owned()), first.map(|codec| codec.name().to_owned()));
}

#[test]
fn every_miss_has_its_name_and_sentence() {
    let all = [
        (Miss::Short, "short", "shorter"),
        (Miss::UnknownFormat(9), "unknown_format", "format 9"),
        (Miss::UnknownCodec(9), "unknown_codec", "codec 9"),
        (Miss::UnknownCompression(9), "unknown_compression", "compression 9"),
        (Miss::Corrupt, "corrupt", "damaged"),
        (Miss::HigherVersion(9), "higher_version", "higher version 9"),
        (Miss::LowerVersion(9), "lower_version", "lower version 9"),
        (
            Miss::OtherType { found: Fingerprint(0x1a), expected: Fingerprint(!0) },
            "other_type",
            "codec: 0000001a, not ffffffff",
        ),
        (Miss::OtherGeneration, "other_generation", "invalidated"),
        (Miss::TooLarge(9), "too_large", "9 bytes"),
        (Miss::Decompress, "decompress", "decompressed"),
        (Miss::Decode("x".into()), "decode", "decoded: x"),
        (Miss::TrailingBytes, "trailing_bytes", "left behind"),
    ];
    for (miss, name, part) in all {
        assert_eq!(miss.name(), name);
        assert!(miss.to_string().contains(part), "{miss}");
    }
    assert_eq!(WriteError::Panicked.to_string(), "`Serialize` panicked");
    let large = WriteError::TooLarge { len: 2, max_value: 1 };
    assert_eq!(large.to_string(), "the encoded value has 2 bytes, `max_value` is 1");
}
