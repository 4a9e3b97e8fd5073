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
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::quality::RandomState;
use serde::Serialize;
use serde::ser::{self, Serializer};

use super::{Key, KeyRef};
use crate::error::{Error, Kind};

pub(super) mod tag {
    pub(in crate::key) const END: u8 = 0x00;
    pub(in crate::key) const NONE: u8 = 0x01;
    pub(in crate::key) const SOME: u8 = 0x02;
    pub(in crate::key) const FALSE: u8 = 0x03;
    pub(in crate::key) const TRUE: u8 = 0x04;
    pub(in crate::key) const FLOAT: u8 = 0x05;
    pub(in crate::key) const STRING: u8 = 0x06;
    pub(in crate::key) const LIST: u8 = 0x07;
    pub(in crate::key) const MAP: u8 = 0x08;
    pub(in crate::key) const VARIANT: u8 = 0x09;
    pub(in crate::key) const UNIT_VARIANT: u8 = 0x0a;
    pub(in crate::key) const POSITIVE: u8 = 0x10;
    pub(in crate::key) const NEGATIVE: u8 = 0x30;
    pub(in crate::key) const WIDEST_INTEGER: u8 = 16;
}

/// An argument that can be part of a key: whatever serde can serialize.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a cache key",
    label = "this argument is part of the key",
    note = "derive `serde::Serialize` for it, name what identifies it with `key(..)`, or leave it out with `skip(..)`"
)]
pub trait KeyArgument {
    /// Writes the argument in canonical form.
    fn write(&self, key: &mut KeyWriter);
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> KeyArgument for T {
    #[inline]
    fn write(&self, key: &mut KeyWriter) {
        if let Err(error) = self.serialize(&mut *key) {
            key.fail(error);
        }
    }
}

/// An argument cannot be written as part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    message: Box<str>,
}

impl KeyError {
    fn new(message: impl fmt::Display) -> Self {
        KeyError { message: message.to_string().into() }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an argument cannot be part of a cache key: {}", self.message)
    }
}

impl std::error::Error for KeyError {}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        Error::new(Kind::Key, error.to_string())
    }
}

impl ser::Error for KeyError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        KeyError::new(message)
    }
}

/// What fits on the stack: short keys are written without touching the heap.
const INLINE: usize = 152;
/// The widest fixed-size store (a tag and a `u128`), for which there must be room even if it keeps fewer bytes.
const STORE: usize = 17;

/// Writes one key: the namespace, then each argument in order.
#[derive(Debug)]
pub struct KeyWriter {
    /// Bytes written to `inline`; `INLINE` once everything moved to `heap`.
    len: usize,
    inline: [u8; INLINE],
    heap: Vec<u8>,
    arguments_at: usize,
    arity: usize,
    hash: u64,
    error: Option<KeyError>,
}

impl KeyWriter {
    /// A key of `arity` arguments in `namespace`, to be written.
    pub fn new(namespace: &str, arity: usize) -> Self {
        let mut key = Self::blank();
        key.begin(namespace, arity);
        key
    }

    /// Room for a key, to be [begun](KeyWriter::begin) where it stands: moving what is begun would cost more than writing
    /// it.
    #[inline(always)]
    pub const fn blank() -> Self {
        let inline = [0; INLINE];
        KeyWriter { len: 0, inline, heap: Vec::new(), arguments_at: 0, arity: 1, hash: 0, error: None }
    }

    /// Starts a key of `arity` arguments in `namespace`. It must be blank.
    #[inline(always)]
    pub fn begin(&mut self, namespace: &str, arity: usize) {
        self.arity = arity;
        self.store((namespace.len() as u32).to_le_bytes(), 4);
        if namespace.len() > u32::MAX as usize {
            self.fail(KeyError::new("a namespace of 4 GiB or more"));
        }
        self.extend(namespace.as_bytes());
        self.arguments_at = self.written();
        if arity != 1 {
            self.push(tag::LIST);
        }
    }

    /// Writes the next argument.
    #[inline]
    pub fn arg<A: KeyArgument + ?Sized>(&mut self, argument: &A) {
        argument.write(self);
    }

    /// Ends the key, which can then be looked up. Calling it again gives the same key.
    ///
    /// # Errors
    ///
    /// The first error that an argument's `Serialize` returned.
    #[inline(always)]
    pub fn finish(&mut self) -> Result<KeyRef<'_>, &KeyError> {
        if self.arity != 1 {
            self.push(tag::END);
            self.arity = 1;
        }
        if let Some(error) = &self.error {
            return Err(error);
        }
        self.hash = hash(self.bytes());
        Ok(KeyRef { hash: self.hash, bytes: self.bytes() })
    }

    /// The key of a call written as one value: a tuple of the arguments, or a single argument alone.
    ///
    /// # Errors
    ///
    /// What `arguments` returned from its `Serialize`.
    pub fn key_of<A: Serialize + ?Sized>(namespace: &str, arguments: &A) -> Result<Key, KeyError> {
        KeyWriter::call(namespace, arguments).finish().map(KeyRef::to_key).map_err(Clone::clone)
    }

    /// The same, to be [finished](KeyWriter::finish), which tells what `arguments` returned from its `Serialize`.
    pub fn call<A: Serialize + ?Sized>(namespace: &str, arguments: &A) -> Self {
        let mut key = KeyWriter::new(namespace, 1);
        key.arg(arguments);
        if key.error.is_none() {
            key.unwrap_list_of_one();
        }
        key
    }

    /// `(x,)` is written as `x`: once, at the top.
    fn unwrap_list_of_one(&mut self) {
        let at = self.arguments_at;
        let arguments = &self.bytes()[at..];
        let is_list_of_one = arguments.split_first().is_some_and(|(&first, elements)| {
            first == tag::LIST && skip(elements).is_some_and(|rest| rest == [tag::END])
        });
        if is_list_of_one {
            let bytes = self.bytes_mut();
            let end = bytes.len() - 1;
            bytes.copy_within(at + 1..end, at);
            self.truncate(end - 1);
        }
    }

    /// What `written` returned; an error is kept, so that a `Serialize` that ignores it still makes no key.
    #[inline]
    fn note(&mut self, written: Result<(), KeyError>) -> Result<(), KeyError> {
        if let Err(error) = &written {
            self.fail(error.clone());
        }
        written
    }

    #[cold]
    fn fail(&mut self, error: KeyError) {
        self.error.get_or_insert(error);
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        if self.heap.is_empty() { &self.inline[..self.len] } else { &self.heap }
    }

    #[inline]
    fn written(&self) -> usize {
        if self.heap.is_empty() { self.len } else { self.heap.len() }
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    #[inline(always)]
    fn extend(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        // Once the key has spilled, `len` leaves no room.
        match self.inline.get_mut(self.len..end) {
            Some(room) => {
                copy(room, bytes);
                self.len = end;
            }
            None => self.spill(bytes),
        }
    }

    /// Everything to the heap, and `bytes` behind it.
    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.heap.is_empty() {
            self.heap.reserve(2 * INLINE + bytes.len());
            self.heap.extend_from_slice(&self.inline[..self.len]);
            self.len = INLINE;
        }
        self.heap.extend_from_slice(bytes);
    }

    /// A tag that counts the significant bytes of `value`, and those.
    #[inline(always)]
    fn integer(&mut self, tag: u8, value: u64) {
        let significant = 8 - value.leading_zeros() as usize / 8;
        let word = value << 8 | u64::from(tag + significant as u8);
        let [highest, ..] = value.to_be_bytes();
        match self.inline.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut::<9>) {
            Some([room @ .., last]) => {
                (*room, *last) = (word.to_le_bytes(), highest);
                self.len += 1 + significant;
            }
            None => {
                let [first, word @ ..] = (u128::from(value) << 8 | u128::from(tag + significant as u8)).to_le_bytes();
                self.spill(&[first]);
                self.spill(&word[..significant]);
            }
        }
    }

    /// The first `len` bytes of `word`. All of it is stored at once, with no branch on the length, and what is stored
    /// beyond is written over: `word` comes from a register, for bytes that are put together in memory would have to be
    /// waited for.
    #[inline(always)]
    fn store<const N: usize>(&mut self, word: [u8; N], len: usize) {
        match self.inline.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            Some(room) => {
                *room = word;
                self.len += len;
            }
            None => self.spill(&word[..len]),
        }
    }

    #[inline]
    fn wide_integer(&mut self, tag: u8, value: u128) {
        let significant = 16 - value.leading_zeros() as usize / 8;
        let mut word = [0; STORE];
        word[0] = tag + significant as u8;
        word[1..].copy_from_slice(&value.to_le_bytes());
        self.extend(&word[..1 + significant]);
    }

    #[inline(always)]
    fn tagged_text(&mut self, tag: u8, text: &str) -> Result<(), KeyError> {
        let length = u32::from_le_bytes(text_length(text.len())?);
        self.store((u64::from(length) << 8 | u64::from(tag)).to_le_bytes(), 5);
        self.extend(text.as_bytes());
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        if self.heap.is_empty() { self.len = len } else { self.heap.truncate(len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.heap.is_empty() { &mut self.inline[..self.len] } else { &mut self.heap }
    }
}

#[cfg(test)]
impl KeyWriter {
    /// Whether the key needed the heap.
    pub(super) fn spilled(&self) -> bool {
        self.heap.capacity() > 0
    }
}

fn text_length(len: usize) -> Result<[u8; 4], KeyError> {
    match u32::try_from(len) {
        Ok(len) => Ok(len.to_le_bytes()),
        Err(_) => Err(KeyError::new("a string of 4 GiB or more")),
    }
}

/// Copies `from` to `to`, which is as long. Names and texts are short: up to 32 bytes go as two pieces of fixed size that
/// may overlap, which is a few instructions where a call of `memcpy` would be dozens.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    fn overlapping<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<()> {
        let (first, last) = (*from.first_chunk::<N>()?, *from.last_chunk::<N>()?);
        *to.first_chunk_mut()? = first;
        *to.last_chunk_mut()? = last;
        Some(())
    }
    let copied = match from.len() {
        0 => Some(()),
        1 => overlapping::<1>(to, from),
        2..4 => overlapping::<2>(to, from),
        4..8 => overlapping::<4>(to, from),
        8..16 => overlapping::<8>(to, from),
        16..=32 => overlapping::<16>(to, from),
        _ => None,
    };
    if copied.is_none() {
        to.copy_from_slice(from);
    }
}

/// Hashes canonical bytes, seeded anew in each process: keys that an attacker chose do not collide on purpose.
#[inline]
fn hash(bytes: &[u8]) -> u64 {
    static SEED: OnceLock<RandomState> = OnceLock::new();
    let mut hasher = SEED.get_or_init(RandomState::default).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// Splits a key into its namespace and its arguments.
pub(super) fn split(key: &[u8]) -> (&str, &[u8]) {
    let parts =
        key.split_first_chunk::<4>().and_then(|(len, rest)| rest.split_at_checked(u32::from_le_bytes(*len) as usize));
    match parts {
        Some((namespace, arguments)) => (std::str::from_utf8(namespace).unwrap_or_default(), arguments),
        None => ("", &[]),
    }
}

/// What follows the first value of `bytes`; `None` if that is not canonical. It does not recurse: garbage may nest
/// deeper than any stack.
pub(super) fn skip(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    let mut open = 0_usize;
    let mut owed = false;
    loop {
        let (&first, after) = rest.split_first()?;
        rest = match first {
            tag::SOME | tag::VARIANT => {
                rest = if first == tag::SOME { after } else { skip_text(after)? };
                owed = true;
                continue;
            }
            tag::END if owed => return None,
            tag::END => {
                open = open.checked_sub(1)?;
                after
            }
            tag::LIST | tag::MAP => {
                open += 1;
                after
            }
            tag::NONE | tag::FALSE | tag::TRUE => after,
            tag::FLOAT => after.get(8..)?,
            tag::STRING | tag::UNIT_VARIANT => skip_text(after)?,
            _ => after.get(significant_bytes(first)?..)?,
        };
        owed = false;
        if open == 0 {
            return Some(rest);
        }
    }
}

/// How many bytes follow the tag of an integer; `None` if it is the tag of something else.
pub(super) fn significant_bytes(tag: u8) -> Option<usize> {
    let base = if tag < tag::NEGATIVE { tag::POSITIVE } else { tag::NEGATIVE };
    let significant = tag.checked_sub(base)?;
    (significant <= tag::WIDEST_INTEGER).then_some(usize::from(significant))
}

fn skip_text(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(u32::from_le_bytes(*len) as usize..)
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

impl<'a> Serializer for &'a mut KeyWriter {
    type Ok = ();
    type Error = KeyError;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = SortedMap<'a>;
    type SerializeStruct = SortedMap<'a>;
    type SerializeStructVariant = SortedMap<'a>;

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
        self.push(if value { tag::TRUE } else { tag::FALSE });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), KeyError> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), KeyError> {
        // Adding a positive zero turns -0.0 into 0.0 and changes nothing else.
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
        self.push(tag::FLOAT);
        self.extend(&bits.to_le_bytes());
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
        self.push(tag::LIST);
        value.iter().for_each(|byte| self.integer(tag::POSITIVE, (*byte).into()));
        self.push(tag::END);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), KeyError> {
        self.push(tag::NONE);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), KeyError> {
        self.push(tag::SOME);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), KeyError> {
        self.extend(&[tag::LIST, tag::END]);
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

    fn serialize_seq(self, _len: Option<usize>) -> Result<List<'a>, KeyError> {
        self.push(tag::LIST);
        Ok(List { key: self })
    }

    fn serialize_tuple(self, _len: usize) -> Result<List<'a>, KeyError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<List<'a>, KeyError> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<List<'a>, KeyError> {
        self.tagged_text(tag::VARIANT, variant)?;
        self.serialize_seq(None)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<SortedMap<'a>, KeyError> {
        self.push(tag::MAP);
        Ok(SortedMap { start: self.written(), key: self, last: None, order: Order::Sorted })
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<SortedMap<'a>, KeyError> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<SortedMap<'a>, KeyError> {
        self.tagged_text(tag::VARIANT, variant)?;
        self.serialize_map(None)
    }

    /// Written in place, its length filled in afterwards: `Uuid`, `IpAddr` and dates allocate nothing.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), KeyError> {
        self.extend(&[tag::STRING, 0, 0, 0, 0]);
        let start = self.written();
        write!(Text(self), "{value}").map_err(|_| KeyError::new("its `Display` returned an error"))?;
        let length = text_length(self.written() - start)?;
        self.bytes_mut()[start - 4..start].copy_from_slice(&length);
        Ok(())
    }
}

struct Text<'a>(&'a mut KeyWriter);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.as_bytes());
        Ok(())
    }
}

/// A list that is being written.
#[derive(Debug)]
pub struct List<'a> {
    key: &'a mut KeyWriter,
}

impl List<'_> {
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
        let written = value.serialize(&mut *self.key);
        self.key.note(written)
    }

    #[inline]
    fn finish(self) -> Result<(), KeyError> {
        self.key.push(tag::END);
        Ok(())
    }
}

macro_rules! list {
    ($($trait:ident: $method:ident),*) => {$(
        impl ser::$trait for List<'_> {
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
pub struct SortedMap<'a> {
    key: &'a mut KeyWriter,
    start: usize,
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

impl SortedMap<'_> {
    #[inline]
    fn pair(&mut self, write_key: impl FnOnce(&mut KeyWriter) -> Result<(), KeyError>) -> Result<(), KeyError> {
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
        }
        self.key.push(tag::END);
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

impl ser::SerializeMap for SortedMap<'_> {
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

impl SortedMap<'_> {
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
        impl ser::$trait for SortedMap<'_> {
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
