//! The buffer that a key is written to: on the stack while it is short, hashed once it is whole.
//!
//! Invariant: what is written is canonical bytes as [`encode`](super::encode) lays them down, and a key that could not be
//! written whole gives an error and never bytes.

use serde::Serialize;
use serde::ser;
use std::fmt;

use super::hash::KeyHash;
use super::{Key, KeyArgument, KeyRef};
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

/// An argument cannot be written as part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    message: Box<str>,
}

impl KeyError {
    pub(super) fn new(message: impl fmt::Display) -> Self {
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
pub(super) const INLINE: usize = 152;
/// The widest fixed-size store (a tag and a `u128`), for which there must be room even if it keeps fewer bytes.
const STORE: usize = 17;

/// Where a key is written, for one call: on the stack while it is short.
///
/// It is apart from the [`KeyWriter`], so that whoever is handed the bytes, or drops them, is not told where the length
/// stands: it is kept in a register.
#[derive(Debug)]
pub struct KeyBuffer {
    inline: [u8; INLINE],
    /// All bytes of a key that is too long for `inline`.
    heap: Vec<u8>,
    error: Option<KeyError>,
}

impl KeyBuffer {
    /// An empty buffer.
    #[inline(always)]
    pub const fn new() -> Self {
        KeyBuffer { inline: [0; INLINE], heap: Vec::new(), error: None }
    }

    /// Starts a key of `arity` arguments in `namespace`.
    #[inline(always)]
    pub fn begin(&mut self, namespace: &str, arity: usize) -> KeyWriter<'_> {
        let hash = KeyHash::begin(namespace);
        let mut key = KeyWriter { buffer: self, len: 0, hash, arguments_at: 0, arity };
        key.buffer.heap.clear();
        key.buffer.error = None;
        match u32::try_from(namespace.len()) {
            Ok(len) => key.store(len.to_le_bytes(), 4),
            Err(_) => key.fail(KeyError::new("a namespace of 4 GiB or more")),
        }
        key.extend(namespace.as_bytes());
        key.arguments_at = key.written();
        if arity != 1 {
            key.tag(tag::LIST);
        }
        key
    }

    /// The key of a call written as one value: a tuple of the arguments, or a single argument alone. What `arguments`
    /// returned from its `Serialize` is told by [`finish`](KeyWriter::finish).
    pub fn call<A: Serialize + ?Sized>(&mut self, namespace: &str, arguments: &A) -> KeyWriter<'_> {
        let mut key = self.begin(namespace, 1);
        key.arg(arguments);
        if key.buffer.error.is_none() {
            key.unwrap_list_of_one();
        }
        key
    }

    /// `bytes` behind what is written, of which `len` bytes are inline: all of it is on the heap from now on.
    #[cold]
    #[inline(never)]
    fn spill(&mut self, len: usize, bytes: &[u8]) {
        self.heap.reserve(2 * INLINE + bytes.len());
        if self.heap.is_empty() {
            self.heap.extend_from_slice(&self.inline[..len]);
        }
        self.heap.extend_from_slice(bytes);
    }
}

impl Default for KeyBuffer {
    fn default() -> Self {
        KeyBuffer::new()
    }
}

/// Writes one key: the namespace, then each argument in order.
#[derive(Debug)]
pub struct KeyWriter<'b> {
    buffer: &'b mut KeyBuffer,
    /// Bytes written to `inline`; `INLINE` once everything moved to the heap.
    len: usize,
    hash: KeyHash,
    arguments_at: usize,
    arity: usize,
}

impl KeyWriter<'_> {
    /// Writes the next argument.
    #[inline]
    pub fn arg<A: KeyArgument + ?Sized>(&mut self, argument: &A) {
        argument.write(self);
    }

    /// Writes a text as the next argument, as [`arg`](KeyWriter::arg) would. Serde's way to it is a function of its own, for
    /// which the writer would have to leave the processor's registers.
    #[inline(always)]
    pub fn text(&mut self, text: &str) {
        if let Err(error) = self.tagged_text(tag::STRING, text) {
            self.fail(error);
        }
    }

    /// Ends the key, which can then be looked up. Calling it again gives the same key.
    ///
    /// # Errors
    ///
    /// The first error that an argument's `Serialize` returned.
    #[inline(always)]
    pub fn finish(&mut self) -> Result<KeyRef<'_>, KeyError> {
        if self.arity != 1 {
            self.tag(tag::END);
            self.arity = 1;
        }
        match &self.buffer.error {
            None => {
                debug_assert_eq!(
                    self.hash.finish(),
                    KeyHash::of(self.bytes()).finish(),
                    "it is a function of the bytes"
                );
                Ok(KeyRef { hash: self.hash.finish(), bytes: self.bytes() })
            }
            Some(error) => Err(error.clone()),
        }
    }

    /// The key of a call written as one value, as [`KeyBuffer::call`] writes it, on the heap.
    ///
    /// # Errors
    ///
    /// What `arguments` returned from its `Serialize`.
    pub fn key_of<A: Serialize + ?Sized>(namespace: &str, arguments: &A) -> Result<Key, KeyError> {
        KeyBuffer::new().call(namespace, arguments).finish().map(KeyRef::to_key)
    }

    /// `(x,)` is written as `x`: once, at the top.
    pub(super) fn unwrap_list_of_one(&mut self) {
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
            self.hash = KeyHash::of(self.bytes());
        }
    }

    /// What `written` returned; an error is kept, so that a `Serialize` that ignores it still makes no key.
    #[inline]
    pub(super) fn note(&mut self, written: Result<(), KeyError>) -> Result<(), KeyError> {
        if let Err(error) = &written {
            self.fail(error.clone());
        }
        written
    }

    #[inline]
    pub(super) fn fail(&mut self, error: KeyError) {
        self.buffer.error.get_or_insert(error);
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        if self.buffer.heap.is_empty() { &self.buffer.inline[..self.len] } else { &self.buffer.heap }
    }

    #[inline]
    pub(super) fn written(&self) -> usize {
        if self.buffer.heap.is_empty() { self.len } else { self.buffer.heap.len() }
    }

    /// A tag that says all.
    #[inline]
    pub(super) fn tag(&mut self, tag: u8) {
        self.hash.tag(tag);
        self.extend(&[tag]);
    }

    #[inline(always)]
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        // Once the key has spilled, `len` leaves no room.
        match self.buffer.inline.get_mut(self.len..end) {
            Some(room) => {
                copy(room, bytes);
                self.len = end;
            }
            None => self.spill(bytes),
        }
    }

    #[inline(always)]
    pub(super) fn spill(&mut self, bytes: &[u8]) {
        self.buffer.spill(self.len, bytes);
        self.len = INLINE;
    }

    /// A tag that counts the significant bytes of `value`, and those.
    #[inline(always)]
    pub(super) fn integer(&mut self, tag: u8, value: u64) {
        self.hash.number(tag, value);
        let significant = 8 - value.leading_zeros() as usize / 8;
        let word = value << 8 | u64::from(tag + significant as u8);
        let [highest, ..] = value.to_be_bytes();
        match self.buffer.inline.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut::<9>) {
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
    pub(super) fn store<const N: usize>(&mut self, word: [u8; N], len: usize) {
        match self.buffer.inline.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            Some(room) => {
                *room = word;
                self.len += len;
            }
            None => self.spill(&word[..len]),
        }
    }

    #[inline]
    pub(super) fn wide_integer(&mut self, tag: u8, value: u128) {
        if let Ok(value) = u64::try_from(value) {
            return self.integer(tag, value);
        }
        self.hash.wide_number(tag, value);
        let significant = 16 - value.leading_zeros() as usize / 8;
        let mut word = [0; STORE];
        word[0] = tag + significant as u8;
        word[1..].copy_from_slice(&value.to_le_bytes());
        self.extend(&word[..1 + significant]);
    }

    #[inline(always)]
    pub(super) fn tagged_text(&mut self, tag: u8, text: &str) -> Result<(), KeyError> {
        let length = u32::from_le_bytes(text_length(text.len())?);
        self.hash.text(tag, text.as_bytes());
        self.store((u64::from(length) << 8 | u64::from(tag)).to_le_bytes(), 5);
        self.extend(text.as_bytes());
        Ok(())
    }

    pub(super) fn float(&mut self, bits: u64) {
        self.hash.number(tag::FLOAT, bits);
        self.extend(&[tag::FLOAT]);
        self.extend(&bits.to_le_bytes());
    }

    /// A text that is written by pieces, and its length when it is whole.
    pub(super) fn pieced_text(
        &mut self,
        pieces: impl FnOnce(&mut Self) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let (hashed, start) = (self.hashed(), self.written());
        self.extend(&[tag::STRING, 0, 0, 0, 0]);
        let text = self.written();
        pieces(self)?;
        let length = text_length(self.written() - text)?;
        self.bytes_mut()[text - 4..text].copy_from_slice(&length);
        self.rehash(hashed, start);
        Ok(())
    }

    /// What was hashed so far.
    pub(super) fn hashed(&self) -> KeyHash {
        self.hash.clone()
    }

    /// The bytes from `start` on were changed; up to there, `hashed` was hashed.
    pub(super) fn rehash(&mut self, mut hashed: KeyHash, start: usize) {
        hashed.read(&self.bytes()[start..]);
        self.hash = hashed;
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if self.buffer.heap.is_empty() { self.len = len } else { self.buffer.heap.truncate(len) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        if self.buffer.heap.is_empty() { &mut self.buffer.inline[..self.len] } else { &mut self.buffer.heap }
    }
}

#[cfg(test)]
impl KeyWriter<'_> {
    /// Whether the key needed the heap.
    pub(super) fn spilled(&self) -> bool {
        !self.buffer.heap.is_empty()
    }
}

pub(super) fn text_length(len: usize) -> Result<[u8; 4], KeyError> {
    match u32::try_from(len) {
        Ok(len) => Ok(len.to_le_bytes()),
        Err(_) => Err(too_long()),
    }
}

#[cold]
#[inline(never)]
fn too_long() -> KeyError {
    KeyError::new("a string of 4 GiB or more")
}

/// Copies `from` to `to`, which is as long. Names and texts are short: up to 32 bytes go as two pieces of fixed size that
/// may overlap, which is a few instructions where a call of `memcpy` would be dozens.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    #[inline(always)]
    fn overlapping<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<()> {
        let (first, last) = (*from.first_chunk::<N>()?, *from.last_chunk::<N>()?);
        *to.first_chunk_mut()? = first;
        *to.last_chunk_mut()? = last;
        Some(())
    }
    let len = from.len();
    let copied = if len > 32 {
        None
    } else if len >= 16 {
        overlapping::<16>(to, from)
    } else if len >= 8 {
        overlapping::<8>(to, from)
    } else if len >= 4 {
        overlapping::<4>(to, from)
    } else if len >= 2 {
        overlapping::<2>(to, from)
    } else {
        overlapping::<1>(to, from).or(Some(()))
    };
    if copied.is_none() {
        to.copy_from_slice(from);
    }
}

/// Splits a key into its namespace and its arguments.
pub(super) fn split(key: &[u8]) -> (&str, &[u8]) {
    let (namespace, arguments) = parts(key);
    (std::str::from_utf8(namespace).unwrap_or_default(), arguments)
}

pub(super) fn parts(key: &[u8]) -> (&[u8], &[u8]) {
    text(key).unwrap_or_default()
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
    text(bytes).map(|(_, rest)| rest)
}

/// A text behind its length, and what follows.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}
