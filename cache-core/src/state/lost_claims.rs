//! The keys of which this process may have the claim without knowing it.
//!
//! A node carries out a read that claims even if its answer never comes, or comes when the caller has left; and a claim stands
//! until the node has seen what ends it. To everybody else such a claim looks like a load on its way. This process alone can
//! suspect that nobody loads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::Key;

/// Keys that are remembered at once. A claim that is forgotten ends by itself, with its lease.
const REMEMBERED: usize = 4096;

/// Keys whose last request was not answered, if it could give or end a claim.
#[derive(Debug, Default)]
pub(crate) struct LostClaims {
    /// Read without the lock: hardly ever is there any.
    any: AtomicBool,
    keys: Mutex<HashSet<Key>>,
}

impl LostClaims {
    /// No answer came.
    pub(crate) fn remember(&self, key: Key) {
        let mut keys = self.keys();
        if keys.len() < REMEMBERED {
            keys.insert(key);
            self.any.store(true, Ordering::Release);
        }
    }

    /// An answer came. Whether one was lost before: if the key is claimed, then maybe by that.
    pub(crate) fn settle(&self, key: impl FnOnce() -> Key) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut keys = self.keys();
        let was_lost = keys.remove(&key());
        self.any.store(!keys.is_empty(), Ordering::Release);
        was_lost
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyWriter;

    fn key(number: usize) -> Key {
        KeyWriter::key_of("ns", &number).expect("a number is a key")
    }

    #[test]
    fn an_answer_settles_what_was_lost_before_it_once() {
        let lost = LostClaims::default();
        assert!(!lost.settle(|| key(1)));
        lost.remember(key(1));
        lost.remember(key(2));
        assert!(lost.settle(|| key(1)), "its answer was lost");
        assert!(!lost.settle(|| key(1)), "and that has been made use of");
        assert!(!lost.settle(|| key(3)), "another key lost nothing");
        assert!(lost.settle(|| key(2)));
        assert!(!lost.settle(|| unreachable!("nothing is remembered, so nothing is looked up")));
    }

    #[test]
    fn the_table_is_bounded() {
        let lost = LostClaims::default();
        (0..2 * REMEMBERED).for_each(|number| lost.remember(key(number)));
        assert_eq!(lost.keys().len(), REMEMBERED);
    }
}
