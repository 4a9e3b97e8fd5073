//! What an entry weighs, and how much all of them may weigh together.
//!
//! Invariant: an entry weighs at least 1, so that a bounded weight bounds the number of entries.

/// What an entry takes beside its value and the bytes of its key, in bytes, rounded up: the object's header and stamp,
/// the index's entry and slot, the queue's node and what is remembered of the key once it is gone.
pub const ENTRY_OVERHEAD: u64 = 320;

/// The bound of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capacity {
    /// So many entries, whatever their size.
    Entries(u64),
    /// So many bytes: values, keys and [`ENTRY_OVERHEAD`].
    Bytes(u64),
}

impl Capacity {
    /// The most that all entries may weigh together.
    pub(crate) fn limit(self) -> u64 {
        match self {
            Capacity::Entries(limit) | Capacity::Bytes(limit) => limit,
        }
    }

    /// What an entry with a value of `value` bytes under a key of `key` bytes weighs.
    pub(crate) fn weigh(self, key: usize, value: u64) -> u64 {
        match self {
            Capacity::Entries(_) => 1,
            Capacity::Bytes(_) => value.saturating_add(key as u64).saturating_add(ENTRY_OVERHEAD),
        }
    }

    /// How much room a shard of the queue should have at least, for its shares to be shares and not noise.
    pub(crate) fn least_shard(self) -> u64 {
        match self {
            Capacity::Entries(_) => 1024,
            Capacity::Bytes(_) => 1024 * ENTRY_OVERHEAD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_value_key_and_overhead_and_entries_count_one() {
        assert_eq!(Capacity::Bytes(9).weigh(40, 1000), 1040 + ENTRY_OVERHEAD);
        assert_eq!(Capacity::Entries(9).weigh(40, 1000), 1);
        assert_eq!(Capacity::Bytes(9).weigh(40, u64::MAX), u64::MAX, "a weight that lies is too large, not small");
    }
}
