//! What was written is read again, errors name their place, and the bytes are frozen.

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

mod damaged;
#[cfg(any(feature = "bincode", feature = "postcard"))]
mod positional;

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

/// A record whose body is forged.
fn forged(codec: &Codec, key: &Key, body: &[u8]) -> Vec<u8> {
    let mut record = [&[0; HEADER], body].concat();
    seal(&mut record, &writing(codec, key), 0);
    record
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
    assert_eq!(hex(&record), "010f030015a5ea6118171615141312111201f9eda879dd655b22626f62222c3330305d");
    #[cfg(feature = "bincode")]
    {
        let record = write(&("bob", 300_u16), &writing(&Codec::Bincode, &key)).unwrap();
        assert_eq!(hex(&record), "0101030004030201181716151413121103de1faa3f63c62b03626f62fb2c01");
    }
    #[cfg(feature = "postcard")]
    {
        let record = write(&("bob", 300_u16), &writing(&Codec::Postcard, &key)).unwrap();
        assert_eq!(hex(&record), "01020300040302011817161514131211e832411fbbaff55d03626f62ac02");
    }
    #[cfg(feature = "json")]
    {
        let record = write(&("bob", 300_u16), &writing(&Codec::Json, &key)).unwrap();
        assert_eq!(hex(&record), "010303000403020118171615141312113b12121c7b432b3b5b22626f62222c3330305d");
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
