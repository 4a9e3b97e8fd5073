//! The ghosts of keys that left the queue unread: a part of the hash and an age, each in the one place it can have.
//!
//! Invariant: there are at most twice as many places as the queue had entries at once; a newer ghost takes the place
//! of an older one, and a ghost is seen once.

/// A ghost is seen while fewer than this share of the entries left after it: one in so many.
const WINDOW: usize = 2;

/// Which keys left lately. It forgets and, rarely, mistakes: both cost a little of the hit ratio, no more.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    /// A power of two of places, or none.
    places: Vec<Ghost>,
    /// How many left, modulo 2^32.
    clock: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Ghost {
    /// Bits of the hash that the place does not tell; 0 is an empty place.
    tag: u32,
    left: u32,
}

impl Ghosts {
    /// Remembers that `hash` left a queue that now has `entries` entries.
    pub(crate) fn remember(&mut self, hash: u64, entries: usize) {
        if self.places.len() < entries.max(1) {
            // Those that are forgotten by this would soon be: the queue has doubled since they left.
            self.places = vec![Ghost::default(); entries.max(1).next_power_of_two()];
        }
        self.clock = self.clock.wrapping_add(1);
        let place = self.place(hash);
        self.places[place] = Ghost { tag: tag(hash), left: self.clock };
    }

    /// Whether `hash` left a queue that has `entries` entries lately; it is forgotten by this.
    pub(crate) fn take(&mut self, hash: u64, entries: usize) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let place = self.place(hash);
        let ghost = &mut self.places[place];
        let since = self.clock.wrapping_sub(ghost.left) as usize;
        let seen = ghost.tag == tag(hash) && since <= entries / WINDOW;
        if seen {
            *ghost = Ghost::default();
        }
        seen
    }

    fn place(&self, hash: u64) -> usize {
        // The index and the shards use other bits of the hash.
        (hash >> 16) as usize & (self.places.len() - 1)
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(i: u64) -> u64 {
        i << 40 | i << 16
    }

    #[test]
    fn a_ghost_is_seen_once() {
        let mut ghosts = Ghosts::default();
        assert!(!ghosts.take(hash(5), 100));
        ghosts.remember(hash(5), 100);
        assert!(!ghosts.take(hash(6), 100));
        assert!(ghosts.take(hash(5), 100));
        assert!(!ghosts.take(hash(5), 100));
    }

    #[test]
    fn a_ghost_is_forgotten_when_half_as_many_as_there_are_entries_left_after_it() {
        let mut ghosts = Ghosts::default();
        (0..=51).for_each(|i| ghosts.remember(hash(i), 100));
        assert!(!ghosts.take(hash(0), 100));
        assert!(ghosts.take(hash(1), 100));
    }

    #[test]
    fn memory_is_bounded_by_the_entries() {
        let mut ghosts = Ghosts::default();
        (0..10_000).for_each(|i| ghosts.remember(hash(i), 100));
        assert_eq!(ghosts.places.len(), 128);
    }
}
