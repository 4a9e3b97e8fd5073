//! How large the recent values of each namespace were: what is asked for next will be about as large.

use std::sync::atomic::{AtomicU32, Ordering};

use twox_hash::XxHash3_64;

/// From here on a value is large, in bytes: measured, see docs/decisions/0010-large-values-beside-small-ones.md.
const LARGE: u32 = 64 << 10;

/// Namespaces that share a place are taken for one: then a small value travels with large ones, or the other way round.
const PLACES: usize = 256;

#[derive(Debug)]
pub(crate) struct Sizes([AtomicU32; PLACES]);

impl Sizes {
    pub(crate) fn new() -> Self {
        Sizes([const { AtomicU32::new(0) }; PLACES])
    }

    /// A value of this namespace had so many bytes. Of two notes at once, one may be lost.
    pub(crate) fn note(&self, key: &[u8], size: usize) {
        let place = self.place(key);
        let (before, size) = (place.load(Ordering::Relaxed), u32::try_from(size).unwrap_or(u32::MAX));
        let mean = (u64::from(before) * 3 + u64::from(size)) / 4;
        // The first is all that is known.
        let now = if before == 0 { size } else { mean as u32 };
        // Nothing is written as long as values stay as large as they are: what is written, other threads have to fetch.
        if now != before {
            place.store(now, Ordering::Relaxed);
        }
    }

    /// Whether the recent values of this namespace were large.
    pub(crate) fn are_large(&self, key: &[u8]) -> bool {
        self.place(key).load(Ordering::Relaxed) >= LARGE
    }

    /// A key is its region and namespace, and behind the last colon its arguments.
    fn place(&self, key: &[u8]) -> &AtomicU32 {
        let namespace = key.iter().rposition(|byte| *byte == b':').map_or(key, |end| &key[..end]);
        &self.0[XxHash3_64::oneshot(namespace) as usize % PLACES]
    }
}

/// Whether this one is large.
pub(crate) fn is_large(size: usize) -> bool {
    size >= LARGE as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_as_large_as_its_recent_values() {
        let (sizes, large) = (Sizes::new(), LARGE as usize);
        assert!(!sizes.are_large(b"r:images:1"), "nothing is known");
        sizes.note(b"r:images:1", large * 2);
        assert!(sizes.are_large(b"r:images:2") && !sizes.are_large(b"r:users:1"));
        sizes.note(b"r:images:3", 10);
        assert!(sizes.are_large(b"r:images:2"), "a small one among large ones");
        (0..5).for_each(|_| sizes.note(b"r:images:3", 10));
        assert!(!sizes.are_large(b"r:images:2"));
        sizes.note(b"r:images:3", usize::MAX);
        assert!(sizes.are_large(b"r:images:2"));
    }
}
