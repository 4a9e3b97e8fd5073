//! Entries as the index keeps them, and the two ways to ask for one.
//!
//! Invariants: the hash only finds an entry; whether it is the one is decided by all bytes of the key, or by the node
//! that stands for it in the queue of its shard. An entry is on the account from its making to its drop.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use cache_core::backend::Object;
use cache_core::key::KeyRef;
use papaya::Equivalent;

use crate::ledger::Ledger;
use crate::queue::NodeId;
use crate::sync::{AtomicU32, Ordering};

/// Keys up to this length lie in the entry, where the look-up that finds it has already been.
const INLINE: usize = 38;

/// A key, its value, and whether it was read: one block of memory, in which what a read needs stands together.
#[repr(C)]
pub(crate) struct Entry {
    ledger: Arc<Ledger>,
    hash: ShortHash,
    /// The number of its node, and beside it the mark of a read.
    node: AtomicU32,
    object: Arc<Object>,
    bytes: Bytes,
}

/// The bit of [`Entry::node`] that marks a read.
const READ: u32 = 1 << 31;
const _: () = assert!(NodeId::MOST < READ);

/// What is kept of a key's hash: enough to find it, for whether it is the one is decided by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShortHash(u32);

impl ShortHash {
    #[inline]
    pub(crate) fn of(hash: u64) -> Self {
        ShortHash((hash >> 32) as u32)
    }

    /// The same bits for those who take the low ones and for those who take the high ones.
    #[inline]
    pub(crate) fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Entry {
    /// The entry, charged to `ledger`.
    pub(crate) fn new(wanted: Wanted<'_>, node: NodeId, object: Arc<Object>, ledger: &Arc<Ledger>) -> Self {
        let mut inline = [0; INLINE];
        let bytes = match inline.get_mut(..wanted.bytes.len()) {
            Some(room) => {
                room.copy_from_slice(wanted.bytes);
                Bytes::Inline { len: wanted.bytes.len() as u8, bytes: inline }
            }
            None => Bytes::Heap(wanted.bytes.into()),
        };
        let node = AtomicU32::new(node.number());
        let entry = Entry { hash: wanted.hash, object, node, bytes, ledger: ledger.clone() };
        ledger.charge(entry.weight());
        entry
    }

    #[inline]
    pub(crate) fn object(&self) -> &Arc<Object> {
        &self.object
    }

    #[cfg(test)]
    pub(crate) fn hash(&self) -> ShortHash {
        self.hash
    }

    /// What stands for this entry in the queue.
    pub(crate) fn node(&self) -> NodeId {
        NodeId::of(self.node.load(Ordering::Relaxed) & !READ)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.ledger.capacity.weigh(self.bytes().len(), self.object.weight())
    }

    /// Notes that the entry was read. Entries that are marked already, which are the hot ones, are not written to.
    #[inline]
    pub(crate) fn mark(&self) {
        if !self.is_marked() {
            self.node.fetch_or(READ, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.node.load(Ordering::Relaxed) & READ != 0
    }

    /// Takes off the mark, and says whether there was one.
    pub(crate) fn unmark(&self) -> bool {
        self.is_marked() && self.node.fetch_and(!READ, Ordering::Relaxed) & READ != 0
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len).min(INLINE)],
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.ledger.credit(self.weight());
    }
}

impl Hash for Entry {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash.spread());
    }
}

impl PartialEq for Entry {
    /// The same key, whatever the value.
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes() == other.bytes()
    }
}

impl Eq for Entry {}

/// A key that is asked for by its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) hash: ShortHash,
    pub(crate) bytes: &'a [u8],
}

impl<'a> From<KeyRef<'a>> for Wanted<'a> {
    #[inline]
    fn from(key: KeyRef<'a>) -> Self {
        Wanted { hash: ShortHash::of(key.hash()), bytes: key.bytes() }
    }
}

impl Hash for Wanted<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash.spread());
    }
}

impl Equivalent<Entry> for Wanted<'_> {
    #[inline]
    fn equivalent(&self, entry: &Entry) -> bool {
        self.hash == entry.hash && self.bytes == entry.bytes()
    }
}

/// A key that is asked for by its node in the queue, which so needs no copy of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) hash: ShortHash,
    pub(crate) node: NodeId,
}

impl Hash for Ticket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash.spread());
    }
}

impl Equivalent<Entry> for Ticket {
    fn equivalent(&self, entry: &Entry) -> bool {
        self.hash == entry.hash && self.node == entry.node()
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
    use cache_core::backend::Stamp;
    use cache_core::clock::Tick;
    use cache_core::freshness::Deadlines;
    use cache_core::generation::GenerationDigest;
    use cache_core::policy::Policy;

    use super::*;
    use crate::queue::Queue;
    use crate::weigh::{Capacity, ENTRY_OVERHEAD};

    fn object() -> Arc<Object> {
        let deadlines = Deadlines::starting(Tick::ZERO, None, &Policy::never_expiring());
        let generations = GenerationDigest::default();
        let stamp = Stamp { deadlines, proved: Tick::ZERO, proved_until: Tick::NEVER, token: None, generations };
        Arc::new(Object::new((), stamp, cache_core::generation::Born::now(&Arc::default()), 1000))
    }

    #[test]
    fn an_entry_is_charged_while_it_is_in_memory() {
        let ledger = Arc::new(Ledger::new(Capacity::Bytes(1 << 20)));
        let key = Wanted { hash: ShortHash::of(1 << 32), bytes: &[1; 40] };
        let entries = [0, 1].map(|_| Entry::new(key, NodeId::FIRST, object(), &ledger));
        assert_eq!(ledger.held(), 2 * (1040 + ENTRY_OVERHEAD));
        drop(entries);
        assert_eq!(ledger.held(), 0);
    }

    #[test]
    fn the_overhead_covers_what_an_entry_takes_beside_key_and_value() {
        // What an object has beside itself if it comes from a far tier, and no tags.
        const MORE: usize = 32;
        // Three blocks of memory with the header that an allocator adds to each; a key on the heap has a fourth.
        let blocks = size_of::<Entry>() - INLINE + size_of::<Object<()>>() + 2 * size_of::<usize>() + MORE + 4 * 16;
        // At its emptiest, the index has eight places of a pointer and a byte per entry; then nodes and ghosts, doubled.
        let tables = 8 * 9 + 2 * Queue::BYTES_PER_ENTRY;
        assert!((blocks + tables) as u64 <= ENTRY_OVERHEAD, "{blocks} + {tables}");
    }

    #[test]
    fn it_is_small() {
        assert_eq!((size_of::<Entry>(), Queue::BYTES_PER_ENTRY), (72, 20 + size_of::<u64>()));
    }

    #[test]
    fn keys_around_the_inline_length_are_kept_whole_and_told_apart() {
        let ledger = Arc::new(Ledger::new(Capacity::Bytes(1)));
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 255, 256, 300] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let wanted = Wanted { hash: ShortHash::of(7 << 32), bytes: &bytes };
            let stored = Entry::new(wanted, NodeId::FIRST, object(), &ledger);
            assert!(wanted.equivalent(&stored), "{len}");
            let longer = [&bytes[..], &[0]].concat();
            assert!(!Wanted { hash: ShortHash::of(7 << 32), bytes: &longer }.equivalent(&stored), "{len}: a zero more");
            assert!(!Wanted { hash: ShortHash::of(8 << 32), bytes: &bytes }.equivalent(&stored), "{len}: another hash");
            if let Some((_, shorter)) = bytes.split_last() {
                assert!(
                    !Wanted { hash: ShortHash::of(7 << 32), bytes: shorter }.equivalent(&stored),
                    "{len}: a byte less"
                );
            }
        }
    }
}
