//! How many bytes a value takes in memory, by a serializer that only counts.

use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize, Serializer};

/// What a string or a list takes beside its content: pointer, length, capacity.
const LIST: usize = 24;
/// What a map takes beside its entries.
const MAP: usize = 48;

/// About how many bytes `value` keeps in memory, itself included. Allocates nothing.
///
/// Content shared by several `Arc`s is counted each time; spare capacity is not counted. A `Serialize` that fails is
/// counted as far as it came.
pub fn weigh<V: Serialize>(value: &V) -> usize {
    let mut scale = Scale { bytes: 0 };
    // An error ends the count, which is all that it means here.
    let _ = value.serialize(&mut scale);
    scale.bytes.max(size_of::<V>())
}

#[derive(Debug)]
struct Scale {
    bytes: usize,
}

impl Scale {
    fn add(&mut self, bytes: usize) -> Result<(), Stopped> {
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}

/// A `Serialize` gave up.
#[derive(Debug)]
struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`Serialize` gave up")
    }
}

impl std::error::Error for Stopped {}

impl ser::Error for Stopped {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Stopped
    }
}

impl fmt::Write for Scale {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.len()).map_err(|_| fmt::Error)
    }
}

macro_rules! fixed {
    ($($method:ident: $type:ty),*) => {$(
        #[inline]
        fn $method(self, _: $type) -> Result<(), Stopped> {
            self.add(size_of::<$type>())
        }
    )*};
}

impl Serializer for &mut Scale {
    type Ok = ();
    type Error = Stopped;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fixed! {
        serialize_bool: bool, serialize_char: char, serialize_f32: f32, serialize_f64: f64,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_str(self, text: &str) -> Result<(), Stopped> {
        self.add(LIST + text.len())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Stopped> {
        self.add(LIST + bytes.len())
    }

    fn serialize_none(self) -> Result<(), Stopped> {
        self.add(size_of::<usize>())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stopped> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Stopped> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Stopped> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Stopped> {
        self.add(1)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Stopped> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Stopped> {
        self.add(1)?;
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Stopped> {
        self.add(LIST)?;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Stopped> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Stopped> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Stopped> {
        self.add(1)?;
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Stopped> {
        self.add(MAP)?;
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Stopped> {
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Stopped> {
        self.add(1)?;
        Ok(self)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Stopped> {
        self.add(LIST)?;
        write!(self, "{value}").map_err(|_| Stopped)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! parts {
    ($($trait:ident: $method:ident),*) => {$(
        impl ser::$trait for &mut Scale {
            type Ok = ();
            type Error = Stopped;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stopped> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Stopped> {
                Ok(())
            }
        }
    )*};
}

parts!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for &mut Scale {
            type Ok = ();
            type Error = Stopped;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Stopped> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Stopped> {
                Ok(())
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for &mut Scale {
    type Ok = ();
    type Error = Stopped;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stopped> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stopped> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Stopped> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct New<T>(T);

    #[derive(Serialize)]
    struct Two(u8, u16);

    #[derive(Serialize)]
    struct Fields {
        a: u32,
        b: Vec<u64>,
    }

    #[derive(Serialize)]
    enum Any {
        Unit,
        New(u64),
        Two(u8, u16),
        Fields { a: u32 },
    }

    /// What the parts of a value come to, without the floor of its own size.
    fn counted<V: Serialize + ?Sized>(value: &V) -> usize {
        let mut scale = Scale { bytes: 0 };
        value.serialize(&mut scale).map_or(0, |()| scale.bytes)
    }

    #[test]
    fn each_kind_has_its_weight() {
        let numbers = (1_u8, 1_u16, 1_u32, 1_u64, 1_u128, 1_i8, 1_i16, 1_i32, 1_i64, 1_i128, 1_f32, 1_f64, 'c', true);
        assert_eq!(counted(&numbers), 2 * (1 + 2 + 4 + 8 + 16) + 4 + 8 + 4 + 1);
        assert_eq!(counted("abc"), 24 + 3);
        assert_eq!(counted(serde_bytes::Bytes::new(b"abc")), 24 + 3);
        assert_eq!(counted(&[1_u16, 2][..]), 24 + 4);
        assert_eq!(counted(&(1_u16, "x")), 2 + 25);
        assert_eq!(counted(&BTreeMap::from([(1_u8, 2_u32), (3, 4)])), 48 + 10);
        assert_eq!(counted(&None::<u8>), 8);
        assert_eq!(counted(&Some(1_u64)), 8);
        assert_eq!(counted(&()), 0);
        assert_eq!(counted(&New(7_u32)), 4);
        assert_eq!(counted(&Two(1, 2)), 3);
        assert_eq!(counted(&Fields { a: 1, b: vec![1] }), 4 + 24 + 8);
        let any = [Any::Unit, Any::New(1), Any::Two(1, 2), Any::Fields { a: 1 }];
        assert_eq!(any.each_ref().map(counted), [1, 9, 4, 5]);
        assert_eq!(counted(&std::marker::PhantomData::<u8>), 0);
        assert_eq!(counted(&format_args!("{}-{}", "ab", 1)), 24 + 4, "shown, not stored");
        assert_eq!(counted(&uuid::Uuid::nil()), 24 + 16, "its bytes, not its text");
    }

    #[test]
    fn nothing_weighs_less_than_itself() {
        assert_eq!(weigh(&[None::<[u64; 4]>; 0]), 0);
        assert_eq!(weigh(&None::<[u64; 4]>), size_of::<Option<[u64; 4]>>());
        assert_eq!(weigh(&vec![1_u8; 1000]), 1024);
    }

    #[test]
    fn what_stops_says_who_gave_up() {
        assert_eq!(<Stopped as ser::Error>::custom("no").to_string(), "`Serialize` gave up");
    }

    #[test]
    fn a_serialize_that_fails_is_counted_as_far_as_it_came() {
        struct Fails;
        impl Serialize for Fails {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(ser::Error::custom("no"))
            }
        }
        assert_eq!(weigh(&("x".repeat(1000), Fails, "y".repeat(1000))), 1024);
    }

    #[test]
    fn a_thousand_structs_weigh_about_what_they_take() {
        let all: Vec<_> = (0..1000).map(|i| (i as u64, format!("name {i:04}"), vec![1_u32; 10])).collect();
        let real = 24 + all.iter().map(|(_, name, list)| 56 + name.capacity() + 4 * list.capacity()).sum::<usize>();
        let weight = weigh(&all);
        assert!(weight.abs_diff(real) * 20 < real, "{weight} for {real}");
    }
}
