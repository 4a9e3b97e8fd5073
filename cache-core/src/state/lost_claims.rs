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
use crate::clock::{Clock, Tick};
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
    /// When all are forgotten, in nanoseconds; zero if there is nothing to forget, as a rule. Read without the lock.
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

    /// This is what came of a request. Whether it shows the claim that was lost. Then that is settled; so it is if there is no
    /// such claim, or another one by now.
    pub(crate) fn shows(&self, key: impl FnOnce() -> Key, claim: Claim, token: Option<Token>, clock: &Clock) -> bool {
        let until = self.until.load(Ordering::Acquire);
        if until == 0 {
            return false;
        }
        // By the clock, not by the answer's proof, which may be dated back to generations that were remembered.
        let now = clock.now();
        if until <= now.as_nanos() {
            let _ = self.until.compare_exchange(until, 0, Ordering::Release, Ordering::Relaxed);
            return false;
        }
        let (key, mut keys) = (key(), self.keys());
        let Some(suspect) = keys.get_mut(&key) else { return false };
        let claimed = token.filter(|_| claim == Claim::Elsewhere);
        match (claimed, &suspect) {
            (Some(token), None) => {
                *suspect = Some(Suspect { token, since: now });
                false
            }
            (Some(token), Some(first)) if token == first.token && now.since(first.since) < PROBATION => false,
            (claimed, first) => {
                let shows = claimed.is_some() && claimed == first.as_ref().map(|first| first.token);
                keys.remove(&key);
                shows
            }
        }
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
    use crate::clock::ManualClock;
    use crate::key::KeyWriter;

    fn key(number: usize) -> Key {
        KeyWriter::key_of("ns", &number).expect("a number is a key")
    }

    /// Claims that were lost, and the clock by which they are timed.
    struct Lost {
        claims: LostClaims,
        clock: ManualClock,
    }

    impl Lost {
        /// Of these keys, just now.
        fn of(keys: &[usize]) -> Self {
            let lost = Lost { claims: LostClaims::default(), clock: ManualClock::new() };
            keys.iter().for_each(|number| lost.claims.remember(key(*number), lost.clock.now()));
            lost
        }

        /// Whether the lost claim of a key is what is seen so much later: somebody else's claim, with this token.
        fn shows(&self, number: usize, token: u64, later: Duration) -> bool {
            self.sees(number, Claim::Elsewhere, token, later)
        }

        fn sees(&self, number: usize, claim: Claim, token: u64, later: Duration) -> bool {
            self.clock.advance(later);
            self.claims.shows(|| key(number), claim, Some(Token(token)), &Clock::Manual(self.clock.clone()))
        }
    }

    #[test]
    fn a_claim_that_stands_unchanged_is_the_lost_one_once() {
        let (none, lost) = (Duration::ZERO, Lost::of(&[1, 2]));
        assert!(!lost.shows(1, 7, none) && !lost.shows(1, 7, PROBATION / 2), "it may be a load elsewhere");
        assert!(lost.shows(1, 7, PROBATION / 2), "nobody has used it");
        assert!(!lost.shows(1, 7, none), "and that has been made use of");
        assert!(!lost.shows(3, 7, none) && !lost.shows(3, 7, PROBATION), "another key lost nothing");
        assert!(!lost.shows(2, 7, none) && lost.shows(2, 7, PROBATION), "since it was first seen");
    }

    #[test]
    fn another_claim_settles_it_and_so_does_none() {
        for (claim, token) in [(Claim::Elsewhere, 8), (Claim::Won, 7), (Claim::Nobody, 7)] {
            let lost = Lost::of(&[1]);
            assert!(!lost.shows(1, 7, Duration::ZERO));
            assert!(!lost.sees(1, claim, token, PROBATION), "{claim:?}");
            assert!(!lost.shows(1, 7, PROBATION) && !lost.shows(1, 7, 2 * PROBATION), "{claim:?}");
        }
    }

    #[test]
    fn what_was_lost_long_ago_is_forgotten() {
        let lost = Lost::of(&[1]);
        assert!(!lost.shows(1, 7, SUSPECTED) && !lost.shows(1, 7, PROBATION));
        lost.claims.remember(key(2), lost.clock.now());
        assert_eq!(lost.claims.keys().len(), 1);
    }

    #[test]
    fn the_table_is_bounded_and_has_room_for_what_is_lost_next() {
        let lost = LostClaims::default();
        for number in 0..3 * REMEMBERED {
            lost.remember(key(number), Tick::from_nanos(1));
            assert!(lost.keys().len() <= REMEMBERED && lost.keys().contains_key(&key(number)));
        }
    }
}
