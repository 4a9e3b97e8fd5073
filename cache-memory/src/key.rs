//! Keys as the index keeps them, and the two ways to ask for one.
//!
//! Invariant: the hash only finds an entry; whether it is the one is decided by all bytes of the key, or by the node
//! that stands for it in the queue of its shard.

use std::hash::{BuildHasher, Hash, Hasher};

use cache_core::key::KeyRef;
use papaya::Equivalent;

use crate::queue::NodeId;

/// Keys up to this length lie in the index's entry, where the look-up that finds it has already been.
const INLINE: usize = 62;

/// A key in the index.
pub(crate) struct StoredKey {
    hash: u64,
    node: NodeId,
    bytes: Bytes,
}

enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl StoredKey {
    pub(crate) fn new(wanted: Wanted<'_>, node: NodeId) -> Self {
        let mut inline = [0; INLINE];
        let bytes = match inline.get_mut(..wanted.bytes.len()) {
            Some(room) => {
                room.copy_from_slice(wanted.bytes);
                Bytes::Inline { len: wanted.bytes.len() as u8, bytes: inline }
            }
            None => Bytes::Heap(wanted.bytes.into()),
        };
        StoredKey { hash: wanted.hash, node, bytes }
    }

    /// What stands for this key in the queue.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len).min(INLINE)],
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl Hash for StoredKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for StoredKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes() == other.bytes()
    }
}

impl Eq for StoredKey {}

/// A key that is asked for by its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> From<KeyRef<'a>> for Wanted<'a> {
    #[inline]
    fn from(key: KeyRef<'a>) -> Self {
        Wanted { hash: key.hash(), bytes: key.bytes() }
    }
}

impl Hash for Wanted<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<StoredKey> for Wanted<'_> {
    #[inline]
    fn equivalent(&self, key: &StoredKey) -> bool {
        self.hash == key.hash && self.bytes == key.bytes()
    }
}

/// A key that is asked for by its node in the queue, which so needs no copy of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) hash: u64,
    pub(crate) node: NodeId,
}

impl Hash for Ticket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<StoredKey> for Ticket {
    fn equivalent(&self, key: &StoredKey) -> bool {
        self.hash == key.hash && self.node == key.node
    }
}

/// Keys come hashed: this hands the hash through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HandThrough(u64);

impl BuildHasher for HandThrough {
    type Hasher = HandThrough;

    #[inline]
    fn build_hasher(&self) -> HandThrough {
        HandThrough(0)
    }
}

impl Hasher for HandThrough {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Not used by the keys of this module, which hand over one `u64`.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_around_the_inline_length_are_kept_whole_and_told_apart() {
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 255, 256, 300] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let wanted = Wanted { hash: 7, bytes: &bytes };
            let stored = StoredKey::new(wanted, NodeId::FIRST);
            assert!(wanted.equivalent(&stored), "{len}");
            let longer = [&bytes[..], &[0]].concat();
            assert!(!Wanted { hash: 7, bytes: &longer }.equivalent(&stored), "{len}: a zero more");
            assert!(!Wanted { hash: 8, bytes: &bytes }.equivalent(&stored), "{len}: another hash");
            if let Some((_, shorter)) = bytes.split_last() {
                assert!(!Wanted { hash: 7, bytes: shorter }.equivalent(&stored), "{len}: a byte less");
            }
        }
    }
}
