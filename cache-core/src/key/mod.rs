//! Keys: a namespace and its arguments in canonical form, hashed once.
//!
//! A key is written on the stack ([`KeyWriter`]), looked up by reference ([`KeyRef`]) and copied to the heap
//! ([`Key`]) only by what keeps it. Two keys are the same if and only if their canonical bytes are; the hash only
//! finds them.

mod decode;
mod encode;
mod generator;
mod hash;
mod shape;
#[cfg(test)]
mod tests;
mod writer;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use twox_hash::XxHash3_64;

pub use decode::{Argument, Arguments, Integer, Values};
pub use encode::KeyArgument;
pub use generator::{FarKey, KeyGenerator, KeyPlace, ReadableKeys, Scope, Sha1Keys, scope_key};
pub use shape::{Kind, Shape};
pub use writer::{KeyBuffer, KeyError, KeyWriter};

/// A key that somebody else keeps: what look-ups take.
#[derive(Clone, Copy)]
pub struct KeyRef<'a> {
    hash: u64,
    bytes: &'a [u8],
}

impl<'a> KeyRef<'a> {
    /// The hash of the canonical bytes, seeded anew in each process: never store or send it.
    #[inline]
    pub fn hash(self) -> u64 {
        self.hash
    }

    /// The canonical bytes: the length of the namespace (four bytes, little-endian), the namespace, the arguments.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The namespace.
    pub fn namespace(self) -> &'a str {
        let (namespace, _) = writer::split(self.bytes);
        namespace
    }

    /// The namespace as bytes, and those of the arguments.
    pub(crate) fn parts(self) -> (&'a [u8], &'a [u8]) {
        writer::parts(self.bytes)
    }

    /// The arguments, which can be walked and rendered as text.
    pub fn arguments(self) -> Arguments<'a> {
        let (_, arguments) = self.parts();
        Arguments::new(arguments)
    }

    /// XXH3-64 of the canonical bytes: the same in every process, and independent of the SHA-1 in the far key.
    ///
    /// It stands in the check of each record, so that a record found under another key's name is not believed.
    pub fn check(self) -> KeyCheck {
        KeyCheck(XxHash3_64::oneshot(self.bytes))
    }

    /// A key with a hash that is not its own, to show what becomes of two keys that share one.
    #[cfg(feature = "testkit")]
    pub(crate) fn with_hash(self, hash: u64) -> KeyRef<'a> {
        KeyRef { hash, ..self }
    }

    /// A copy on the heap.
    pub fn to_key(self) -> Key {
        Key { hash: self.hash, bytes: Arc::from(self.bytes) }
    }
}

impl PartialEq for KeyRef<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }
}

impl Eq for KeyRef<'_> {}

impl fmt::Debug for KeyRef<'_> {
    /// The namespace and the hash: argument values are told to nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:016x}", self.namespace(), self.hash)
    }
}

/// What a record knows its key by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyCheck(pub u64);

/// A key on the heap, shared by its clones.
#[derive(Clone)]
pub struct Key {
    hash: u64,
    bytes: Arc<[u8]>,
}

impl Key {
    /// The key by reference.
    #[inline]
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { hash: self.hash, bytes: &self.bytes }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// What has a key, so that a map of [`Key`]s is asked by reference.
pub(crate) trait HasKey {
    fn key_ref(&self) -> KeyRef<'_>;
}

impl HasKey for Key {
    fn key_ref(&self) -> KeyRef<'_> {
        self.as_ref()
    }
}

impl HasKey for KeyRef<'_> {
    fn key_ref(&self) -> KeyRef<'_> {
        *self
    }
}

impl<'a> Borrow<dyn HasKey + 'a> for Key {
    fn borrow(&self) -> &(dyn HasKey + 'a) {
        self
    }
}

impl PartialEq for dyn HasKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.key_ref() == other.key_ref()
    }
}

impl Eq for dyn HasKey + '_ {}

impl Hash for dyn HasKey + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.key_ref().hash);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}
