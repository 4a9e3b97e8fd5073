//! The keys of which this process may have the claim without knowing it.
//!
//! A node carries out a read that claims even if its answer never comes, or comes when the caller has left; and a claim stands
//! until the node has seen what ends it. To everybody else such a claim looks like a load on its way. This process alone can
//! suspect that nobody loads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::backend::{Claim, Token};
use crate::clock::Tick;
use crate::key::Key;

/// Keys that are remembered at once. A claim that is forgotten ends by itself, with its lease.
const REMEMBERED: usize = 4096;
/// For how long, since the last one was lost. A server that was stopped carries out what it was sent when it goes on, and that
/// may be long after.
const SUSPECTED: Duration = Duration::from_secs(600);
/// How long a claim stands until it is taken for the lost one: by then, most loads elsewhere have ended theirs.
const PROBATION: Duration = Duration::from_millis(100);

/// Keys whose last request was not answered, if it could give or end a claim.
#[derive(Debug, Default)]
pub(crate) struct LostClaims {
    /// When all are forgotten, in nanoseconds. Read without the lock: as a rule it has passed.
    until: AtomicU64,
    keys: Mutex<HashMap<Key, Option<Suspect>>>,
}

/// The first claim that was seen since, and when.
#[derive(Debug)]
struct Suspect {
    token: Token,
    since: Tick,
}

impl LostClaims {
    /// No answer came.
    pub(crate) fn remember(&self, key: Key, now: Tick) {
        let mut keys = self.keys();
        if keys.len() >= REMEMBERED || self.are_forgotten(now) {
            keys.clear();
        }
        keys.insert(key, None);
        self.until.store(now.after(SUSPECTED).as_nanos(), Ordering::Release);
    }

    /// This is what came of a request that was made at `now`. Whether it shows the claim that was lost. Then that is settled;
    /// so it is if there is no such claim, or another one by now.
    pub(crate) fn shows(&self, key: impl FnOnce() -> Key, claim: Claim, token: Option<Token>, now: Tick) -> bool {
        if self.are_forgotten(now) {
            return false;
        }
        let (key, mut keys) = (key(), self.keys());
        let Some(suspect) = keys.get_mut(&key) else { return false };
        let shows = match (claim, token, &suspect) {
            (Claim::Elsewhere, Some(token), None) => {
                *suspect = Some(Suspect { token, since: now });
                return false;
            }
            (Claim::Elsewhere, token, Some(suspect)) if token == Some(suspect.token) => {
                if now.since(suspect.since) < PROBATION {
                    return false;
                }
                true
            }
            _ => false,
        };
        keys.remove(&key);
        shows
    }

    fn are_forgotten(&self, now: Tick) -> bool {
        self.until.load(Ordering::Acquire) <= now.as_nanos()
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Key, Option<Suspect>>> {
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

    /// Whether the lost claim of a key is what is seen: somebody else's claim, with this token.
    fn shows(lost: &LostClaims, number: usize, token: u64, after: Duration) -> bool {
        lost.shows(|| key(number), Claim::Elsewhere, Some(Token(token)), NOW.after(after))
    }

    #[test]
    fn a_claim_that_stands_unchanged_is_the_lost_one_once() {
        let lost = LostClaims::default();
        lost.remember(key(1), NOW);
        lost.remember(key(2), NOW);
        assert!(
            !shows(&lost, 1, 7, Duration::ZERO) && !shows(&lost, 1, 7, PROBATION / 2),
            "it may be a load elsewhere"
        );
        assert!(shows(&lost, 1, 7, PROBATION), "nobody has used it");
        assert!(!shows(&lost, 1, 7, PROBATION), "and that has been made use of");
        assert!(!shows(&lost, 3, 7, PROBATION) && !shows(&lost, 3, 7, 2 * PROBATION), "another key lost nothing");
        assert!(!shows(&lost, 2, 7, 5 * PROBATION) && shows(&lost, 2, 7, 6 * PROBATION), "since it was first seen");
    }

    #[test]
    fn another_claim_settles_it_and_so_does_none() {
        for (claim, token) in [(Claim::Elsewhere, 8), (Claim::Won, 7), (Claim::Nobody, 7)] {
            let lost = LostClaims::default();
            lost.remember(key(1), NOW);
            assert!(!shows(&lost, 1, 7, Duration::ZERO));
            assert!(!lost.shows(|| key(1), claim, Some(Token(token)), NOW.after(PROBATION)), "{claim:?}");
            assert!(!shows(&lost, 1, 7, 2 * PROBATION) && !shows(&lost, 1, 7, 4 * PROBATION), "{claim:?}");
        }
    }

    #[test]
    fn what_was_lost_long_ago_is_forgotten() {
        let lost = LostClaims::default();
        let unasked = || unreachable!("nothing is remembered, so nothing is looked up");
        assert!(!lost.shows(unasked, Claim::Elsewhere, Some(Token(7)), NOW));
        lost.remember(key(1), NOW);
        assert!(!lost.shows(unasked, Claim::Elsewhere, Some(Token(7)), NOW.after(SUSPECTED)));
        lost.remember(key(2), NOW.after(SUSPECTED));
        assert_eq!(lost.keys().len(), 1);
    }

    #[test]
    fn the_table_is_bounded_and_has_room_for_what_is_lost_next() {
        let lost = LostClaims::default();
        for number in 0..3 * REMEMBERED {
            lost.remember(key(number), NOW);
            assert!(lost.keys().len() <= REMEMBERED && lost.keys().contains_key(&key(number)));
        }
    }
}
