//! The keys of which this process may have the claim without knowing it.
//!
//! A node carries out a read that claims even if its answer never comes, or comes when the caller has left; and a claim stands
//! until the node has seen what ends it. To everybody else such a claim looks like a load on its way. This process alone can
//! suspect that nobody loads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Tick;
use crate::key::Key;

/// Keys that are remembered at once. A claim that is forgotten ends by itself, with its lease.
const REMEMBERED: usize = 4096;
/// For how long, since the last one was lost. A server that was stopped carries out what it was sent when it goes on, and that
/// may be long after.
const SUSPECTED: Duration = Duration::from_secs(600);

/// Keys whose last request was not answered, if it could give or end a claim.
#[derive(Debug, Default)]
pub(crate) struct LostClaims {
    /// When all are forgotten, in nanoseconds. Read without the lock: as a rule it has passed.
    until: AtomicU64,
    keys: Mutex<HashSet<Key>>,
}

impl LostClaims {
    /// No answer came.
    pub(crate) fn remember(&self, key: Key, now: Tick) {
        let mut keys = self.keys();
        if keys.len() >= REMEMBERED || self.are_forgotten(now) {
            keys.clear();
        }
        keys.insert(key);
        self.until.store(now.after(SUSPECTED).as_nanos(), Ordering::Release);
    }

    /// An answer came to what was asked `at`. Whether one was lost before: if the key is claimed, then maybe by that.
    pub(crate) fn settle(&self, key: impl FnOnce() -> Key, at: Tick) -> bool {
        !self.are_forgotten(at) && self.keys().remove(&key())
    }

    fn are_forgotten(&self, now: Tick) -> bool {
        self.until.load(Ordering::Acquire) <= now.as_nanos()
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyWriter;

    const NOW: Tick = Tick::from_nanos(1 << 40);

    fn key(number: usize) -> Key {
        KeyWriter::key_of("ns", &number).expect("a number is a key")
    }

    #[test]
    fn an_answer_settles_what_was_lost_before_it_once() {
        let lost = LostClaims::default();
        assert!(!lost.settle(|| unreachable!("nothing is remembered, so nothing is looked up"), NOW));
        lost.remember(key(1), NOW);
        lost.remember(key(2), NOW);
        assert!(lost.settle(|| key(1), NOW), "its answer was lost");
        assert!(!lost.settle(|| key(1), NOW), "and that has been made use of");
        assert!(!lost.settle(|| key(3), NOW), "another key lost nothing");
        assert!(lost.settle(|| key(2), NOW));
    }

    #[test]
    fn what_was_lost_long_ago_is_forgotten() {
        let lost = LostClaims::default();
        lost.remember(key(1), NOW);
        let later = NOW.after(SUSPECTED);
        assert!(!lost.settle(|| unreachable!("it is over"), later));
        lost.remember(key(2), later);
        assert!(!lost.settle(|| key(1), later) && lost.settle(|| key(2), later));
    }

    #[test]
    fn the_table_is_bounded_and_has_room_for_what_is_lost_next() {
        let lost = LostClaims::default();
        for number in 0..3 * REMEMBERED {
            lost.remember(key(number), NOW);
            assert!(lost.keys().len() <= REMEMBERED && lost.keys().contains(&key(number)));
        }
    }
}
