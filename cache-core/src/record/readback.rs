//! Whether a record gives back the value that it was made from.
//!
//! Positional codecs silently misread some serde attributes, and no check of the bytes can tell: they are intact. So both
//! values are written once more *with their names*, and compared. Lists are compared as bags, since a set has no order;
//! so are maps.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::{self, Serialize, Serializer};
use twox_hash::XxHash3_64;

use super::envelope::{Expect, read};
use super::misread::Misread;

/// Reads `record`, which was made from `value`, and compares the two by their names and contents.
///
/// A field that is neither serialized nor deserialized (`serde(skip)`) is invisible to this.
///
/// # Errors
///
/// [`Misread`]: this codec does not carry this type, or not this value.
pub fn reads_back<V: Serialize + DeserializeOwned>(
    value: &V,
    record: &[u8],
    expect: &Expect<'_>,
) -> Result<(), Misread> {
    let decoded: V = read(record, expect).map_err(Misread::Refused)?;
    let sketch = |value: &V| value.serialize(Sketch).map_err(|error| Misread::Incomparable(error.0));
    if sketch(value)? == sketch(&decoded)? { Ok(()) } else { Err(Misread::Different) }
}

/// Makes 64 bits of a value, in which the order of lists and maps does not show. Allocates nothing.
#[derive(Debug, Clone, Copy)]
struct Sketch;

#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Refused(message.to_string())
    }
}

/// Seeds that keep the kinds of values apart.
mod kind {
    pub(super) const INTEGER: u64 = 1;
    pub(super) const FLOAT: u64 = 2;
    pub(super) const TEXT: u64 = 3;
    pub(super) const BYTES: u64 = 4;
    pub(super) const BOOL: u64 = 5;
    pub(super) const NONE: u64 = 6;
    pub(super) const SOME: u64 = 7;
    pub(super) const LIST: u64 = 8;
    pub(super) const MAP: u64 = 9;
    pub(super) const VARIANT: u64 = 10;
    pub(super) const ENTRY: u64 = 11;
}

fn text(text: &str) -> u64 {
    XxHash3_64::oneshot_with_seed(kind::TEXT, text.as_bytes())
}

fn pair(kind: u64, a: u64, b: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(kind, &(u128::from(a) << 64 | u128::from(b)).to_le_bytes())
}

fn one(kind: u64, of: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(kind, &of.to_le_bytes())
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<u64, Refused> {
            Ok(one(kind::INTEGER, value as u64))
        }
    )*};
}

impl Serializer for Sketch {
    type Ok = u64;
    type Error = Refused;
    type SerializeSeq = Bag;
    type SerializeTuple = Bag;
    type SerializeTupleStruct = Bag;
    type SerializeTupleVariant = Bag;
    type SerializeMap = Bag;
    type SerializeStruct = Bag;
    type SerializeStructVariant = Bag;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    }

    fn serialize_i128(self, value: i128) -> Result<u64, Refused> {
        self.serialize_u128(value as u128)
    }

    fn serialize_u128(self, value: u128) -> Result<u64, Refused> {
        Ok(pair(kind::INTEGER, (value >> 64) as u64, value as u64))
    }

    fn serialize_bool(self, value: bool) -> Result<u64, Refused> {
        Ok(one(kind::BOOL, value.into()))
    }

    fn serialize_f32(self, value: f32) -> Result<u64, Refused> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<u64, Refused> {
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        Ok(one(kind::FLOAT, bits))
    }

    fn serialize_char(self, value: char) -> Result<u64, Refused> {
        Ok(text(value.encode_utf8(&mut [0; 4])))
    }

    fn serialize_str(self, value: &str) -> Result<u64, Refused> {
        Ok(text(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<u64, Refused> {
        Ok(XxHash3_64::oneshot_with_seed(kind::BYTES, value))
    }

    fn serialize_none(self) -> Result<u64, Refused> {
        Ok(one(kind::NONE, 0))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Refused> {
        Ok(one(kind::SOME, value.serialize(self)?))
    }

    fn serialize_unit(self) -> Result<u64, Refused> {
        self.serialize_seq(None)?.total()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<u64, Refused> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<u64, Refused> {
        Ok(one(kind::VARIANT, text(variant)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<u64, Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u64, Refused> {
        Ok(pair(kind::VARIANT, text(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Bag, Refused> {
        Ok(Bag::of(kind::LIST, None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Bag, Refused> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Bag, Refused> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Bag, Refused> {
        Ok(Bag::of(kind::LIST, Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Bag, Refused> {
        Ok(Bag::of(kind::MAP, None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Bag, Refused> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Bag, Refused> {
        Ok(Bag::of(kind::MAP, Some(variant)))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A list, map or struct as the sum of its parts.
#[derive(Debug)]
struct Bag {
    kind: u64,
    variant: Option<&'static str>,
    sum: u64,
    /// The key whose value comes next.
    key: u64,
}

impl Bag {
    fn of(kind: u64, variant: Option<&'static str>) -> Self {
        Bag { kind, variant, sum: 0, key: 0 }
    }

    fn add(&mut self, part: u64) {
        self.sum = self.sum.wrapping_add(part);
    }

    fn total(self) -> Result<u64, Refused> {
        let total = one(self.kind, self.sum);
        Ok(match self.variant {
            Some(variant) => pair(kind::VARIANT, text(variant), total),
            None => total,
        })
    }
}

macro_rules! lists {
    ($($trait:ident: $method:ident),*) => {$(
        impl ser::$trait for Bag {
            type Ok = u64;
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                let part = value.serialize(Sketch)?;
                self.add(part);
                Ok(())
            }

            fn end(self) -> Result<u64, Refused> {
                self.total()
            }
        }
    )*};
}

lists!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

macro_rules! structs {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Bag {
            type Ok = u64;
            type Error = Refused;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refused> {
                let part = pair(kind::ENTRY, text(name), value.serialize(Sketch)?);
                self.add(part);
                Ok(())
            }

            fn end(self) -> Result<u64, Refused> {
                self.total()
            }
        }
    )*};
}

structs!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Bag {
    type Ok = u64;
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.key = key.serialize(Sketch)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        let part = pair(kind::ENTRY, self.key, value.serialize(Sketch)?);
        self.add(part);
        Ok(())
    }

    fn end(self) -> Result<u64, Refused> {
        self.total()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, HashMap, HashSet};

    use serde::Serialize;

    use super::*;
    use crate::record::Miss;

    fn sketch<V: Serialize>(value: V) -> u64 {
        value.serialize(Sketch).unwrap()
    }

    #[derive(Serialize)]
    struct Fields {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        b: Option<u8>,
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct New<T>(T);

    #[derive(Serialize)]
    struct Two(u8, u8);

    #[derive(Serialize)]
    enum Any {
        Unit,
        Other,
        New(u8),
        NewOther(u8),
        Two(u8, u8),
        Fields { a: u8 },
        FieldsOther { a: u8 },
    }

    #[test]
    fn values_that_differ_are_sketched_apart() {
        let all = [
            sketch(1_u8),
            sketch(2_u16),
            sketch(3_u32),
            sketch(4_u64),
            sketch(1_u128),
            sketch(1_u128 << 64),
            sketch(2_u128 << 64),
            sketch(-1_i8),
            sketch(-2_i16),
            sketch(-3_i32),
            sketch(-4_i64),
            sketch(-1_i128),
            sketch(-2_i128),
            sketch(0.5_f32),
            sketch(0.25_f32),
            sketch(1.0),
            sketch(0.0),
            sketch(-0.0),
            sketch(f64::NAN),
            sketch('a'),
            sketch("b"),
            sketch(""),
            sketch(true),
            sketch(false),
            sketch(serde_bytes::Bytes::new(b"b")),
            sketch(serde_bytes::Bytes::new(b"c")),
            sketch(None::<u8>),
            sketch(Some(1_u8)),
            sketch(Some(None::<u8>)),
            sketch(()),
            sketch([1_u8; 2]),
            sketch([1_u8; 3]),
            sketch([(); 2]),
            sketch([[1_u8, 2], [3, 4]]),
            sketch([[1_u8, 3], [2, 4]]),
            sketch(Fields { a: Some(1), b: None }),
            sketch(Fields { a: None, b: Some(1) }),
            sketch(Fields { a: None, b: None }),
            sketch(Fields { a: Some(1), b: Some(2) }),
            sketch(Fields { a: Some(2), b: Some(1) }),
            sketch(Two(1, 2)),
            sketch(Any::Unit),
            sketch(Any::Other),
            sketch(Any::New(1)),
            sketch(Any::New(2)),
            sketch(Any::NewOther(1)),
            sketch(Any::Two(1, 2)),
            sketch(Any::Fields { a: 1 }),
            sketch(Any::Fields { a: 2 }),
            sketch(Any::FieldsOther { a: 1 }),
            sketch(BTreeMap::from([(1, 2), (3, 4)])),
            sketch(BTreeMap::from([(1, 4), (3, 2)])),
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn order_and_wrapping_do_not_show() {
        let ids: HashSet<u32> = (0..100).collect();
        let again: HashSet<u32> = (0..100).rev().collect();
        assert_eq!(sketch(&ids), sketch(&again));
        let map: HashMap<u32, &str> = (0..100).map(|i| (i, "x")).collect();
        assert_eq!(sketch(&map), sketch(map.clone().into_iter().collect::<BTreeMap<_, _>>()));
        assert_eq!(sketch(f64::NAN), sketch(-f64::NAN));
        assert_eq!(sketch(New(Box::new(1))), sketch(1));
        assert_eq!(sketch(Unit), sketch(()));
        assert_eq!(sketch(()), sketch([0_u8; 0]), "nothing in it");
        assert_eq!(sketch('a'), sketch("a"));
        assert_eq!(sketch(Two(1, 2)), sketch([1_u8, 2]));
        assert_eq!(sketch(uuid::Uuid::nil()), sketch(serde_bytes::Bytes::new(&[0; 16])), "as positional codecs see it");
    }

    #[test]
    fn misreads_say_what_to_make_of_them() {
        let miss = Misread::Refused(Miss::TrailingBytes).to_string();
        assert_eq!(miss, "what was written cannot be read: bytes are left behind the value");
        assert_eq!(Misread::Different.to_string(), "what was written is read as another value");
        assert_eq!(Misread::Incomparable("x".into()).to_string(), "what was written cannot be compared: x");
        assert_eq!(<Refused as ser::Error>::custom("x").to_string(), "x");
    }

    #[test]
    fn a_value_that_fails_only_when_it_is_compared_is_incomparable() {
        use std::sync::Arc;

        use crate::generation::GenerationDigest;
        use crate::key::KeyWriter;
        use crate::record::{
            Codec, CodecError, Compression, CustomCodec, DecodeInto, Fingerprint, Writing, erased_serde, write,
        };

        /// Writes nothing, and reads a unit.
        #[derive(Debug)]
        struct Nothing;
        impl CustomCodec for Nothing {
            fn name(&self) -> &str {
                "nothing"
            }
            fn encode(&self, _: &dyn erased_serde::Serialize, _: &mut Vec<u8>) -> Result<(), CodecError> {
                Ok(())
            }
            fn decode(&self, _: &[u8], into: &mut DecodeInto<'_>) -> Result<(), CodecError> {
                let mut deserializer = serde_json::Deserializer::from_str("null");
                Ok(into(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut deserializer))?)
            }
        }
        #[derive(serde::Deserialize)]
        struct Fails;
        impl Serialize for Fails {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(ser::Error::custom("no"))
            }
        }
        let (codec, key) = (Codec::Custom(Arc::new(Nothing)), KeyWriter::key_of("n", &1).unwrap());
        let writing = Writing {
            codec: &codec,
            compression: Compression::None,
            version: 0,
            fingerprint: Fingerprint(0),
            digest: GenerationDigest(0),
            key: key.as_ref(),
            max_value: 100,
        };
        let record = write(&Fails, &writing).unwrap();
        assert_eq!(reads_back(&Fails, &record, &writing.expect()), Err(Misread::Incomparable("no".into())));
    }
}
