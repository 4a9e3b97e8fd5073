//! Times the claims that were seen out elsewhere: one that nobody uses for longer than a lease has lost its owner.
//!
//! memcached does not time a claim on a stale value, so those who meet it do. A node that restarts gives its numbers again,
//! but not its generations: the claim of another life is another claim.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::backend::Token;
use crate::clock::Tick;
use crate::generation::GenerationDigest;
use crate::key::Key;
use crate::plan::ClaimAge;

/// Claims that are timed at once; past it, those that are over are forgotten, then all.
const TIMED: usize = 4096;

/// When each claim was first seen.
#[derive(Debug, Default)]
pub(crate) struct Overdue {
    seen: Mutex<HashMap<Claimed, Tick>>,
}

/// A claim, as others see it: the key, the token, and the generations that came with it.
pub(crate) type Claimed = (Key, Token, GenerationDigest);

impl Overdue {
    /// For how long the claim has been out, as far as this process has seen.
    pub(crate) fn age(&self, claim: Claimed, throttle: Duration, lease: Duration, now: Tick) -> ClaimAge {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= TIMED {
            // A claim that was overdue for a whole lease has been taken over by somebody, or its record has ended.
            seen.retain(|_, first| now.since(*first) < 2 * lease);
            if seen.len() >= TIMED {
                seen.clear();
            }
        }
        let first = *seen.entry(claim).or_insert(now);
        match now.since(first) {
            out if out >= lease => ClaimAge::Ownerless,
            out if out >= throttle && !throttle.is_zero() => ClaimAge::Slow,
            _ => ClaimAge::New,
        }
    }

    /// The claim was taken over, or its slot changed.
    pub(crate) fn forget(&self, claim: &Claimed) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyWriter;

    #[test]
    fn a_claim_is_overdue_once_it_was_out_for_a_lease() {
        let lease = Duration::from_secs(30);
        let overdue = Overdue::default();
        let key = KeyWriter::key_of("ns", &1).expect("a number is a key");
        let claim = |token, life| (key.clone(), Token(token), GenerationDigest(life));
        let start = Tick::ZERO.after(lease);
        let age = |claim, now| overdue.age(claim, lease / 10, lease, now);
        assert_eq!(age(claim(1, 7), start), ClaimAge::New);
        assert_eq!(age(claim(1, 7), start.after(lease / 11)), ClaimAge::New);
        assert_eq!(age(claim(1, 7), start.after(lease / 10)), ClaimAge::Slow);
        assert_eq!(age(claim(1, 7), start.after(lease)), ClaimAge::Ownerless);
        assert_eq!(age(claim(2, 7), start.after(lease)), ClaimAge::New, "another claim has its own time");
        assert_eq!(age(claim(1, 8), start.after(lease)), ClaimAge::New, "and so has one of a restarted node");
        overdue.forget(&claim(1, 7));
        assert_eq!(age(claim(1, 7), start.after(lease)), ClaimAge::New, "a forgotten one begins anew");
    }

    #[test]
    fn the_table_is_bounded() {
        let lease = Duration::from_secs(30);
        let overdue = Overdue::default();
        let key = KeyWriter::key_of("ns", &1).expect("a number is a key");
        for token in 0..3 * TIMED as u64 {
            overdue.age((key.clone(), Token(token), GenerationDigest(7)), lease, lease, Tick::ZERO);
        }
        assert!(overdue.seen.lock().expect("no panic").len() <= TIMED);
    }
}
