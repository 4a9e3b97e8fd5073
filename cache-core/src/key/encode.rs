//! Writes arguments as canonical bytes: self-delimiting, typed by value and not by Rust type, frozen.
//!
//! | bytes | value |
//! |---|---|
//! | `10+n`, n bytes little-endian | an integer of 0 or more, n = its significant bytes (0 to 16) |
//! | `30+n`, n bytes little-endian | an integer below 0, as its complement `!v` |
//! | `05`, 8 bytes little-endian | a float (`f32` widened), one NaN, one zero |
//! | `06`, length (4 bytes), UTF-8 | a string, a `char`, whatever shows itself as text |
//! | `03` / `04` | `false` / `true` |
//! | `01` / `02` value | `None` / `Some` |
//! | `07` values `00` | a list: tuple, array, slice, `Vec`, bytes, unit |
//! | `08` (key value)* `00` | a map or a struct, sorted by the bytes of the keys |
//! | `0a` length name / `09` length name value | an enum variant without / with content |
//!
//! A key is the namespace (length in 4 bytes, then UTF-8) followed by its arguments: one argument as it is, any other
//! number of them as a list. A newtype is its content. `docs/keys.md` tells what is equal to what.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::hash::KeyHash;
use super::writer::{INLINE, KeyError, KeyWriter, skip, tag};

/// An argument that can be part of a key: whatever serde can serialize.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a cache key",
    label = "this argument is part of the key",
    note = "derive `serde::Serialize` for it, name what identifies it with `key(..)`, or leave it out with `skip(..)`"
)]
pub trait KeyArgument {
    /// Writes the argument in canonical form.
    fn write(&self, key: &mut KeyWriter<'_>);
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> KeyArgument for T {
    #[inline]
    fn write(&self, key: &mut KeyWriter<'_>) {
        if let Err(error) = self.serialize(&mut *key) {
            key.fail(error);
        }
    }
}

macro_rules! positive {
    ($($method:ident: $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), KeyError> {
            self.integer(tag::POSITIVE, value.into());
            Ok(())
        }
    )*};
}

macro_rules! signed {
    ($($method:ident: $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), KeyError> {
            let value = i64::from(value);
            let (tag, value) = if value >= 0 { (tag::POSITIVE, value) } else { (tag::NEGATIVE, !value) };
            self.integer(tag, value as u64);
            Ok(())
        }
    )*};
}

impl<'a, 'b> Serializer for &'a mut KeyWriter<'b> {
    type Ok = ();
    type Error = KeyError;
    type SerializeSeq = List<'a, 'b>;
    type SerializeTuple = List<'a, 'b>;
    type SerializeTupleStruct = List<'a, 'b>;
    type SerializeTupleVariant = List<'a, 'b>;
    type SerializeMap = SortedMap<'a, 'b>;
    type SerializeStruct = SortedMap<'a, 'b>;
    type SerializeStructVariant = SortedMap<'a, 'b>;

    positive!(serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);
    signed!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64);

    fn serialize_u128(self, value: u128) -> Result<(), KeyError> {
        self.wide_integer(tag::POSITIVE, value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), KeyError> {
        let (tag, value) = if value >= 0 { (tag::POSITIVE, value) } else { (tag::NEGATIVE, !value) };
        self.wide_integer(tag, value as u128);
        Ok(())
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), KeyError> {
        self.tag(if value { tag::TRUE } else { tag::FALSE });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), KeyError> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), KeyError> {
        // Adding a positive zero turns -0.0 into 0.0 and changes nothing else.
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
        self.float(bits);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), KeyError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline(always)]
    fn serialize_str(self, value: &str) -> Result<(), KeyError> {
        self.tagged_text(tag::STRING, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), KeyError> {
        self.tag(tag::LIST);
        value.iter().for_each(|byte| self.integer(tag::POSITIVE, (*byte).into()));
        self.tag(tag::END);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), KeyError> {
        self.tag(tag::NONE);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), KeyError> {
        self.tag(tag::SOME);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), KeyError> {
        self.tag(tag::LIST);
        self.tag(tag::END);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), KeyError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), KeyError> {
        self.tagged_text(tag::UNIT_VARIANT, variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), KeyError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), KeyError> {
        self.tagged_text(tag::VARIANT, variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<List<'a, 'b>, KeyError> {
        self.tag(tag::LIST);
        Ok(List { key: self })
    }

    fn serialize_tuple(self, _len: usize) -> Result<List<'a, 'b>, KeyError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<List<'a, 'b>, KeyError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<List<'a, 'b>, KeyError> {
        self.tagged_text(tag::VARIANT, variant)?;
        self.serialize_seq(None)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<SortedMap<'a, 'b>, KeyError> {
        self.tag(tag::MAP);
        Ok(SortedMap { start: self.written(), hashed: self.hashed(), key: self, last: None, order: Order::Sorted })
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<SortedMap<'a, 'b>, KeyError> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<SortedMap<'a, 'b>, KeyError> {
        self.tagged_text(tag::VARIANT, variant)?;
        self.serialize_map(None)
    }

    /// Written in place, its length filled in afterwards: `Uuid`, `IpAddr` and dates allocate nothing.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), KeyError> {
        self.pieced_text(|key| {
            write!(Text(key), "{value}").map_err(|_| KeyError::new("its `Display` returned an error"))
        })
    }
}

struct Text<'a, 'b>(&'a mut KeyWriter<'b>);

impl fmt::Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.as_bytes());
        Ok(())
    }
}

/// A list that is being written.
#[derive(Debug)]
pub struct List<'a, 'b> {
    key: &'a mut KeyWriter<'b>,
}

impl List<'_, '_> {
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
        let written = value.serialize(&mut *self.key);
        self.key.note(written)
    }

    #[inline]
    fn finish(self) -> Result<(), KeyError> {
        self.key.tag(tag::END);
        Ok(())
    }
}

macro_rules! list {
    ($($trait:ident: $method:ident),*) => {$(
        impl ser::$trait for List<'_, '_> {
            type Ok = ();
            type Error = KeyError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
                self.element(value)
            }

            fn end(self) -> Result<(), KeyError> {
                self.finish()
            }
        }
    )*};
}

list!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

/// A map that is being written in the order in which its pairs come, and sorted at its end if it must be.
#[derive(Debug)]
pub struct SortedMap<'a, 'b> {
    key: &'a mut KeyWriter<'b>,
    start: usize,
    /// What was hashed up to there.
    hashed: KeyHash,
    /// The pair that was begun last.
    last: Option<Pair>,
    order: Order,
}

/// Where a pair's key, value and end stand.
#[derive(Debug, Default, Clone, Copy)]
struct Pair {
    key: usize,
    value: usize,
    end: usize,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Order {
    Sorted,
    Unsorted,
}

impl SortedMap<'_, '_> {
    #[inline]
    fn pair(&mut self, write_key: impl FnOnce(&mut KeyWriter<'_>) -> Result<(), KeyError>) -> Result<(), KeyError> {
        let key = self.key.written();
        let written = write_key(self.key);
        self.key.note(written)?;
        let value = self.key.written();
        if let Some(last) = self.last {
            let bytes = self.key.bytes();
            if bytes[key..value] < bytes[last.key..last.value] {
                self.order = Order::Unsorted;
            }
        }
        self.last = Some(Pair { key, value, end: value });
        Ok(())
    }

    #[inline]
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
        let written = value.serialize(&mut *self.key);
        self.key.note(written)?;
        if let Some(last) = &mut self.last {
            last.end = self.key.written();
        }
        Ok(())
    }

    #[inline]
    fn finish(self) -> Result<(), KeyError> {
        if self.order == Order::Unsorted {
            let sorted = sort(&mut self.key.bytes_mut()[self.start..]);
            self.key.note(sorted)?;
            self.key.rehash(self.hashed, self.start);
        }
        self.key.tag(tag::END);
        Ok(())
    }
}

/// A field of a struct takes 7 bytes or more, so 128 bytes hold 18.
const FEW: usize = 18;

/// Sorts the pairs of a map by the bytes of their keys. The pairs of a key that fits on the stack need no heap.
#[inline(never)]
fn sort(map: &mut [u8]) -> Result<(), KeyError> {
    let (mut few, mut many) = ([Pair::default(); FEW], Vec::new());
    let mut len = 0;
    let mut at = 0;
    while at < map.len() {
        let pair = pair_at(map, at).ok_or_else(|| KeyError::new("a map that ends in the middle of a value"))?;
        at = pair.end;
        match few.get_mut(len) {
            Some(room) => *room = pair,
            None => many.push(pair),
        }
        len += 1;
    }
    let pairs = if many.is_empty() {
        &mut few[..len]
    } else {
        many.splice(0..0, few);
        &mut many[..]
    };
    pairs.sort_by(|a, b| map[a.key..a.value].cmp(&map[b.key..b.value]));
    let (mut inline, mut heap) = ([0; INLINE], Vec::new());
    let unsorted = match inline.get_mut(..map.len()) {
        Some(room) => room,
        None => {
            heap.resize(map.len(), 0);
            &mut heap[..]
        }
    };
    unsorted.copy_from_slice(map);
    let mut room = map;
    for pair in pairs {
        let pair = &unsorted[pair.key..pair.end];
        let (here, behind) = room.split_at_mut(pair.len());
        here.copy_from_slice(pair);
        room = behind;
    }
    Ok(())
}

fn pair_at(map: &[u8], key: usize) -> Option<Pair> {
    let value = map.len() - skip(map.get(key..)?)?.len();
    let end = map.len() - skip(&map[value..])?.len();
    Some(Pair { key, value, end })
}

impl ser::SerializeMap for SortedMap<'_, '_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), KeyError> {
        self.expect(Turn::Key)?;
        self.pair(|writer| key.serialize(writer))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
        self.expect(Turn::Value)?;
        self.value(value)
    }

    fn end(mut self) -> Result<(), KeyError> {
        self.expect(Turn::Key)?;
        self.finish()
    }
}

/// What comes next in a map.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Turn {
    Key,
    Value,
}

impl SortedMap<'_, '_> {
    /// Refuses a hand-written `Serialize` whose keys and values do not take turns: two such maps could be one key.
    fn expect(&mut self, turn: Turn) -> Result<(), KeyError> {
        let now = match self.last {
            Some(pair) if pair.end == pair.value => Turn::Value,
            _ => Turn::Key,
        };
        let expected = if now == turn { Ok(()) } else { Err(KeyError::new("a map whose keys and values do not pair")) };
        self.key.note(expected)
    }
}

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for SortedMap<'_, '_> {
            type Ok = ();
            type Error = KeyError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), KeyError> {
                self.pair(|writer| writer.tagged_text(tag::STRING, name))?;
                self.value(value)
            }

            fn end(self) -> Result<(), KeyError> {
                self.finish()
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);
