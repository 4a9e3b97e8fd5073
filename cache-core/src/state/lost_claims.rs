//! The keys of which this process may have the claim without knowing it.
//!
//! A node carries out a read that claims even if its answer never comes, or comes when the caller has left; and a claim stands
//! until the node has seen what ends it. To everybody else such a claim looks like a load on its way. This process alone can
//! suspect that nobody loads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::backend::Token;
use crate::clock::{Clock, Tick};
use crate::generation::GenerationDigest;
use crate::key::Key;

/// Keys that are remembered at once. A claim that is forgotten ends by itself, with its lease.
const REMEMBERED: usize = 4096;
/// For how long, since the last one was lost. A server that was stopped carries out what it was sent when it goes on, and that
/// may be long after.
const SUSPECTED: Duration = Duration::from_secs(600);
/// For how long after the first answer since: what the node was sent before, it carries out about then, but not always before
/// what came later on another connection.
const AFTERMATH: Duration = Duration::from_secs(1);
/// How long a claim stands until it is taken for the lost one: by then, most loads elsewhere have ended theirs.
const PROBATION: Duration = Duration::from_millis(100);

/// Keys of which requests were not answered that could give or end a claim.
#[derive(Debug, Default)]
pub(crate) struct LostClaims {
    /// When all are forgotten, in nanoseconds; zero if there is nothing to forget, as a rule. Read without the lock.
    until: AtomicU64,
    keys: Mutex<HashMap<Key, Lost>>,
}

/// What an answer shows of the claim on its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Somebody else has it.
    Elsewhere(Standing),
    /// It is the process's own, and known to be.
    Own(Standing),
    /// Nobody has it.
    None,
    /// Nobody waits for one: the record is fresh.
    Fresh,
}

/// A claim, as others see it. A node that restarts gives its numbers again, but not its generations.
pub(crate) type Standing = (Token, GenerationDigest);

/// What is known of one key.
#[derive(Debug, Default)]
struct Lost {
    /// When an answer came first since the last one was lost.
    answered: Option<Tick>,
    /// The claim elsewhere that was seen last, and since when.
    suspect: Option<(Standing, Tick)>,
    /// The claim that this process has won since, and knows of.
    own: Option<Standing>,
}

impl LostClaims {
    /// No answer came.
    pub(crate) fn remember(&self, key: Key, now: Tick) {
        let mut keys = self.keys();
        if keys.len() >= REMEMBERED || self.are_forgotten(now) {
            keys.clear();
        }
        let lost = keys.entry(key).or_default();
        (lost.answered, lost.own) = (None, None);
        self.until.store(now.after(SUSPECTED).as_nanos(), Ordering::Release);
    }

    /// An answer came. Whether the claim that it shows is one that was lost.
    pub(crate) fn are_shown(&self, key: impl FnOnce() -> Key, shown: Shown, clock: &Clock) -> bool {
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
        let Some(lost) = keys.get_mut(&key) else { return false };
        let answered = *lost.answered.get_or_insert(now);
        match (shown, lost.suspect) {
            (Shown::Elsewhere(claim), Some((suspect, since))) if claim == suspect => {
                return now.since(since) >= PROBATION;
            }
            // The same claim after a bump, or one of another life of the node: it is timed anew.
            (Shown::Elsewhere(claim), Some((suspect, _))) if claim.0 == suspect.0 => lost.suspect = Some((claim, now)),
            (Shown::Fresh, _) => self.forget_among(&key, keys),
            _ if now.since(answered) > AFTERMATH => self.forget_among(&key, keys),
            (Shown::Elsewhere(claim), _) if lost.own == Some(claim) => {}
            (Shown::Elsewhere(claim), _) => lost.suspect = Some((claim, now)),
            (Shown::Own(claim), _) => (lost.own, lost.suspect) = (Some(claim), None),
            (Shown::None, _) => lost.suspect = None,
        }
        false
    }

    /// It is settled: the key's record was shown to hold, or its claim was taken over, by this process or another one.
    pub(crate) fn forget(&self, key: impl FnOnce() -> Key) {
        if self.until.load(Ordering::Acquire) != 0 {
            let key = key();
            self.forget_among(&key, self.keys());
        }
    }

    fn forget_among(&self, key: &Key, mut keys: MutexGuard<'_, HashMap<Key, Lost>>) {
        keys.remove(key);
        if keys.is_empty() {
            self.until.store(0, Ordering::Release);
        }
    }

    fn are_forgotten(&self, now: Tick) -> bool {
        self.until.load(Ordering::Acquire) <= now.as_nanos()
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Key, Lost>> {
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

    fn claim(token: u64) -> Standing {
        (Token(token), GenerationDigest(5))
    }

    /// Claims that were lost, and the clock by which they are timed.
    struct LostOf {
        claims: LostClaims,
        clock: ManualClock,
    }

    impl LostOf {
        /// These keys, just now.
        fn keys(keys: &[usize]) -> Self {
            let lost = LostOf { claims: LostClaims::default(), clock: ManualClock::new() };
            keys.iter().for_each(|number| lost.claims.remember(key(*number), lost.clock.now()));
            lost
        }

        /// Whether a claim elsewhere, with this token, is taken for the lost one of the key so much later.
        fn shows(&self, number: usize, token: u64, later: Duration) -> bool {
            self.sees(number, Shown::Elsewhere(claim(token)), later)
        }

        fn sees(&self, number: usize, shown: Shown, later: Duration) -> bool {
            self.clock.advance(later);
            self.claims.are_shown(|| key(number), shown, &Clock::Manual(self.clock.clone()))
        }
    }

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn a_claim_that_stands_unchanged_is_the_lost_one_until_it_is_taken() {
        let lost = LostOf::keys(&[1, 2]);
        assert!(!lost.shows(1, 7, NONE) && !lost.shows(1, 7, PROBATION / 2), "it may be a load elsewhere");
        assert!(lost.shows(1, 7, PROBATION / 2) && lost.shows(1, 7, 2 * AFTERMATH), "nobody has used it");
        lost.claims.forget(|| key(1));
        assert!(!lost.shows(1, 7, NONE) && !lost.shows(1, 7, PROBATION), "once");
        assert!(!lost.shows(3, 7, NONE) && !lost.shows(3, 7, PROBATION), "another key lost nothing");
        assert!(!lost.shows(2, 7, NONE) && lost.shows(2, 7, PROBATION), "since it was first seen");
        lost.claims.forget(|| key(2));
        assert_eq!(lost.claims.until.load(Ordering::Relaxed), 0, "nothing is left to be looked for");
    }

    #[test]
    fn what_was_sent_before_may_be_carried_out_after_the_first_answer() {
        for first in [Shown::None, Shown::Elsewhere(claim(6)), Shown::Own(claim(6))] {
            let lost = LostOf::keys(&[1]);
            assert!(!lost.sees(1, first, NONE));
            assert!(!lost.shows(1, 7, AFTERMATH) && lost.shows(1, 7, PROBATION), "{first:?}");
        }
    }

    #[test]
    fn a_claim_that_comes_later_is_not_the_lost_one() {
        for first in [Shown::None, Shown::Elsewhere(claim(6)), Shown::Own(claim(6))] {
            let lost = LostOf::keys(&[1]);
            assert!(!lost.sees(1, first, NONE));
            let later = AFTERMATH + Duration::from_nanos(1);
            assert!(!lost.shows(1, 7, later) && !lost.shows(1, 7, PROBATION), "{first:?}");
        }
    }

    #[test]
    fn nor_is_one_that_comes_after_a_fresh_record() {
        let lost = LostOf::keys(&[1]);
        assert!(!lost.sees(1, Shown::Fresh, NONE));
        assert!(!lost.shows(1, 7, NONE) && !lost.shows(1, 7, PROBATION));
    }

    #[test]
    fn nor_is_the_processs_own_until_that_is_lost_too() {
        let lost = LostOf::keys(&[1]);
        assert!(!lost.sees(1, Shown::Own(claim(7)), NONE));
        assert!(!lost.shows(1, 7, NONE) && !lost.shows(1, 7, PROBATION));
        lost.claims.remember(key(1), lost.clock.now());
        assert!(!lost.shows(1, 7, NONE) && lost.shows(1, 7, PROBATION));
    }

    #[test]
    fn a_claim_of_another_life_of_the_node_is_another_one() {
        let lost = LostOf::keys(&[1]);
        assert!(!lost.shows(1, 7, NONE));
        let again = Shown::Elsewhere((Token(7), GenerationDigest(6)));
        assert!(!lost.sees(1, again, PROBATION) && lost.sees(1, again, PROBATION));
        let bumped = Shown::Elsewhere((Token(7), GenerationDigest(8)));
        assert!(!lost.sees(1, bumped, 2 * AFTERMATH) && lost.sees(1, bumped, PROBATION), "or the same after a bump");
    }

    #[test]
    fn what_was_lost_long_ago_is_forgotten() {
        let lost = LostOf::keys(&[1]);
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
