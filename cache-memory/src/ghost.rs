//! The ghosts of keys that left the queue too early: hashes alone, each in the one place that it can have.
//!
//! Invariant: there are at most twice as many places as the queue had entries at once; a newer ghost takes the place
//! of an older one, and a ghost is seen once.

/// Which keys left lately. It forgets and, once in 2^64, mistakes: both cost a little of the hit ratio, no more.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    /// A power of two of places, or none. Zero is an empty place.
    places: Vec<u64>,
}

impl Ghosts {
    /// Remembers that `hash` left a queue that now has `entries` entries.
    pub(crate) fn remember(&mut self, hash: u64, entries: usize) {
        if self.places.len() < entries.max(1) {
            self.grow(entries.max(1).next_power_of_two());
        }
        let place = self.place(hash);
        self.places[place] = hash;
    }

    /// Whether `hash` left lately; it is forgotten by this.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let place = self.place(hash);
        let seen = hash != 0 && self.places[place] == hash;
        if seen {
            self.places[place] = 0;
        }
        seen
    }

    fn place(&self, hash: u64) -> usize {
        // The index and the shards use other bits of the hash.
        (hash >> 16) as usize & (self.places.len() - 1)
    }

    fn grow(&mut self, places: usize) {
        let old = std::mem::replace(&mut self.places, vec![0; places]);
        for hash in old.into_iter().filter(|hash| *hash != 0) {
            let place = self.place(hash);
            self.places[place] = hash;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_seen_once_and_survives_growth() {
        let mut ghosts = Ghosts::default();
        assert!(!ghosts.take(5 << 16));
        ghosts.remember(5 << 16, 1);
        ghosts.remember(6 << 16, 64);
        assert!(ghosts.take(5 << 16));
        assert!(!ghosts.take(5 << 16));
        assert!(!ghosts.take(7 << 16));
        assert!(ghosts.take(6 << 16));
    }

    #[test]
    fn memory_is_bounded_by_the_entries() {
        let mut ghosts = Ghosts::default();
        (1..10_000_u64).for_each(|i| ghosts.remember(i << 16, 100));
        assert_eq!(ghosts.places.len(), 128);
    }
}
