//! Where inside a value its serialization failed.
//!
//! The path is tracked in a second run, after a failure: writing what works costs nothing more. It names fields, variants
//! and positions, never the keys of a map, which are data.

use std::cell::RefCell;
use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize, Serializer};

/// Such as `images[17].block_device.parent`: where `serialize` failed for `value`; empty if it did not, or as a whole.
pub(super) fn path_of_failure<V, T>(value: &V, serialize: impl FnOnce(&Tracked<'_, &V>) -> T) -> (T, String) {
    let track = Track::default();
    let outcome = serialize(&Tracked { of: value, track: &track });
    (outcome, track.failed_at.into_inner().unwrap_or_default())
}

#[derive(Debug, Default)]
struct Track {
    now_at: RefCell<String>,
    failed_at: RefCell<Option<String>>,
}

impl Track {
    /// Runs `part` one step further down; the first failure, which is the deepest, is remembered.
    fn at<T, E>(&self, step: fmt::Arguments<'_>, part: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let begun = self.now_at.borrow().len();
        // Writing to a string does not fail.
        let _ = self.now_at.borrow_mut().write_fmt(step);
        let result = part();
        if result.is_err() {
            self.failed_at.borrow_mut().get_or_insert_with(|| self.now_at.borrow().clone());
        }
        self.now_at.borrow_mut().truncate(begun);
        result
    }

    fn field<T, E>(&self, name: &str, part: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let dot = if self.now_at.borrow().is_empty() { "" } else { "." };
        self.at(format_args!("{dot}{name}"), part)
    }
}

/// A value, or a serializer, whose parts are tracked.
#[derive(Debug)]
pub(super) struct Tracked<'t, T> {
    of: T,
    track: &'t Track,
}

impl<T: Serialize> Serialize for Tracked<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.of.serialize(Tracked { of: serializer, track: self.track })
    }
}

/// A list, tuple, map or struct that is being written.
#[derive(Debug)]
pub(super) struct Parts<'t, P> {
    of: P,
    track: &'t Track,
    at: usize,
    /// Of an enum's variant; else empty.
    variant: &'static str,
}

impl Track {
    fn parts<P>(&self, of: P, variant: &'static str) -> Parts<'_, P> {
        Parts { of, track: self, at: 0, variant }
    }
}

impl<'t, S> Tracked<'t, S> {
    fn tracked<'v, T: ?Sized>(&self, value: &'v T) -> Tracked<'t, &'v T> {
        Tracked { of: value, track: self.track }
    }
}

macro_rules! leaves {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.of.$method(value)
        }
    )*};
}

impl<'t, S: Serializer> Serializer for Tracked<'t, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'t, S::SerializeSeq>;
    type SerializeTuple = Parts<'t, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'t, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'t, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'t, S::SerializeMap>;
    type SerializeStruct = Parts<'t, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'t, S::SerializeStructVariant>;

    leaves! {
        serialize_bool: bool, serialize_char: char, serialize_f32: f32, serialize_f64: f64,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.of.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.of.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = self.tracked(value);
        self.of.serialize_some(&value)
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.of.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        let value = self.tracked(value);
        self.of.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.tracked(value);
        let Tracked { of, track } = self;
        track.field(variant, || of.serialize_newtype_variant(name, index, variant, &value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        Ok(self.track.parts(self.of.serialize_seq(len)?, ""))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        Ok(self.track.parts(self.of.serialize_tuple(len)?, ""))
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        Ok(self.track.parts(self.of.serialize_tuple_struct(name, len)?, ""))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        Ok(self.track.parts(self.of.serialize_tuple_variant(name, index, variant, len)?, variant))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        Ok(self.track.parts(self.of.serialize_map(len)?, ""))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        Ok(self.track.parts(self.of.serialize_struct(name, len)?, ""))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        Ok(self.track.parts(self.of.serialize_struct_variant(name, index, variant, len)?, variant))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.of.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.of.is_human_readable()
    }
}

impl<P> Parts<'_, P> {
    /// Writes the next part of a list or a map, known by its position.
    fn next<E>(&mut self, part: impl FnOnce(&mut P) -> Result<(), E>) -> Result<(), E> {
        let Parts { of, track, at, variant } = self;
        let step = *at;
        *at += 1;
        match *variant {
            "" => track.at(format_args!("[{step}]"), || part(of)),
            variant => track.field(variant, || track.at(format_args!("[{step}]"), || part(of))),
        }
    }

    fn field<E>(&mut self, name: &str, part: impl FnOnce(&mut P) -> Result<(), E>) -> Result<(), E> {
        let Parts { of, track, variant, .. } = self;
        match *variant {
            "" => track.field(name, || part(of)),
            variant => track.field(variant, || track.field(name, || part(of))),
        }
    }
}

macro_rules! lists {
    ($($trait:ident: $method:ident),*) => {$(
        impl<P: ser::$trait> ser::$trait for Parts<'_, P> {
            type Ok = P::Ok;
            type Error = P::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), P::Error> {
                let value = Tracked { of: value, track: self.track };
                self.next(|list| list.$method(&value))
            }

            fn end(self) -> Result<P::Ok, P::Error> {
                self.of.end()
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
        impl<P: ser::$trait> ser::$trait for Parts<'_, P> {
            type Ok = P::Ok;
            type Error = P::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), P::Error> {
                let value = Tracked { of: value, track: self.track };
                self.field(name, |fields| fields.serialize_field(name, &value))
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), P::Error> {
                self.of.skip_field(name)
            }

            fn end(self) -> Result<P::Ok, P::Error> {
                self.of.end()
            }
        }
    )*};
}

structs!(SerializeStruct, SerializeStructVariant);

impl<P: ser::SerializeMap> ser::SerializeMap for Parts<'_, P> {
    type Ok = P::Ok;
    type Error = P::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), P::Error> {
        let (step, map) = (self.at, &mut self.of);
        self.track.at(format_args!("[{step}]"), || map.serialize_key(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), P::Error> {
        let value = Tracked { of: value, track: self.track };
        self.next(|map| map.serialize_value(&value))
    }

    fn end(self) -> Result<P::Ok, P::Error> {
        self.of.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    /// Fails as a value does that cannot be serialized.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct Bad;

    impl Serialize for Bad {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("bad"))
        }
    }

    fn path<V: Serialize>(value: &V) -> String {
        let (outcome, path) = path_of_failure(value, |value| serde_json::to_string(value));
        assert!(outcome.is_err());
        path
    }

    #[derive(Serialize)]
    struct Of<T> {
        of: T,
    }

    #[derive(Serialize)]
    struct New<T>(T);

    #[derive(Serialize)]
    struct Two<T>(u8, T);

    #[derive(Serialize)]
    enum Any<T> {
        New(T),
        Two(u8, T),
        Fields { of: T },
    }

    #[test]
    fn every_way_down_is_named() {
        assert_eq!(path(&Bad), "");
        assert_eq!(path(&Of { of: Bad }), "of");
        assert_eq!(path(&Of { of: Of { of: Bad } }), "of.of");
        assert_eq!(path(&Of { of: New(Some(Box::new(Bad))) }), "of");
        assert_eq!(path(&vec![Of { of: (1, 2, Bad) }]), "[0].of[2]");
        assert_eq!(path(&Two(1, Two(1, Bad))), "[1][1]");
        assert_eq!(path(&Of { of: Any::New(Of { of: Bad }) }), "of.New.of");
        assert_eq!(path(&Of { of: Any::Two(1, Bad) }), "of.Two[1]");
        assert_eq!(path(&Any::Fields { of: Any::Two(1, Bad) }), "Fields.of.Two[1]");
        assert_eq!(path(&BTreeMap::from([("secret", None), ("secreu", Some(Bad))])), "[1]");
        assert_eq!(path(&BTreeMap::from([(Bad, 1)])), "[0]");
    }

    #[test]
    fn what_is_written_stays_what_it_was() {
        let all = (
            (1_u8, 2_u16, 3_u32, 4_u64, 5_u128, 'c', true),
            (-1_i8, -2_i16, -3_i32, -4_i64, -5_i128, 0.5_f32, 1.5_f64),
            (None::<u8>, Some("x"), (), New(1), Two(1, 2), serde_bytes::Bytes::new(b"b")),
            (Any::New(1), Any::Two(1, 2), Any::Fields { of: 3 }, Result::<u8, u8>::Ok(1)),
            (vec![BTreeMap::from([("k", Of { of: 1 })])], "::1".parse::<std::net::IpAddr>().unwrap()),
        );
        let (written, path) = path_of_failure(&all, |all| serde_json::to_string(all).unwrap());
        assert_eq!(written, serde_json::to_string(&all).unwrap());
        assert_eq!(path, "");
    }

    #[test]
    fn a_skipped_field_and_the_readable_form_are_passed_on() {
        #[derive(Serialize)]
        struct Skips {
            #[serde(skip_serializing_if = "Option::is_none")]
            a: Option<u8>,
            b: uuid::Uuid,
        }
        let value = Skips { a: None, b: uuid::Uuid::nil() };
        let (written, _) = path_of_failure(&value, |value| serde_json::to_string(value).unwrap());
        assert_eq!(written, serde_json::to_string(&value).unwrap());
        let (weight, _) = path_of_failure(&value, |value| crate::record::weigh(value));
        assert_eq!(weight, crate::record::weigh(&value), "and the other form");
    }
}
