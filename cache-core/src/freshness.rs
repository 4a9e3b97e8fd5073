//! Freshness: whether a value may be served, served while somebody reloads, or not served at all.

use std::time::Duration;

use crate::clock::Tick;
use crate::policy::Policy;

/// What may be done with a value, judged by its age alone. Invalidation is another matter: see [`proof`](Tick).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// It may be served.
    Fresh,
    /// Its `ttl` has passed: it may be served under `stale_while_revalidate` while one caller reloads.
    Stale,
    /// It may be served only when the reload fails, under `stale_if_error`.
    StaleIfError,
    /// It may not be served.
    Dead,
}

/// The deadlines of a value, in the clock of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Until then it is fresh.
    pub fresh: Tick,
    /// Until then it may be served while somebody reloads.
    pub revalidate: Tick,
    /// Until then it may be served when a reload fails.
    pub error: Tick,
}

impl Deadlines {
    /// The deadlines of a value that is fresh for `ttl` (`None`: for ever) from `start` on.
    pub fn starting(start: Tick, ttl: Option<Duration>, policy: &Policy) -> Self {
        let fresh = ttl.map_or(Tick::NEVER, |ttl| start.after(ttl));
        Deadlines {
            fresh,
            revalidate: fresh.after(policy.stale_while_revalidate),
            error: fresh.after(policy.stale_if_error),
        }
    }

    /// The instant after which nothing may be done with the value any more.
    pub fn dead(&self) -> Tick {
        self.fresh.max(self.revalidate).max(self.error)
    }

    /// What may be done with the value at `now`. A deadline counts as passed at its own instant.
    pub fn judge(&self, now: Tick) -> Freshness {
        if now < self.fresh {
            Freshness::Fresh
        } else if now < self.revalidate {
            Freshness::Stale
        } else if now < self.error {
            Freshness::StaleIfError
        } else {
            Freshness::Dead
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_fresh_then_stale_then_dead_and_each_deadline_counts_as_passed() {
        let second = Duration::from_secs(1);
        let policy =
            Policy { stale_while_revalidate: 2 * second, stale_if_error: 5 * second, ..Policy::with_ttl(10 * second) };
        let start = Tick::ZERO.after(100 * second);
        let deadlines = Deadlines::starting(start, policy.ttl, &policy);
        let at = |seconds: u32| deadlines.judge(start.after(seconds * second));
        assert_eq!(at(0), Freshness::Fresh);
        assert_eq!(deadlines.judge(deadlines.fresh.before(Duration::from_nanos(1))), Freshness::Fresh);
        assert_eq!(at(10), Freshness::Stale);
        assert_eq!(at(12), Freshness::StaleIfError);
        assert_eq!(at(15), Freshness::Dead);
        assert_eq!(deadlines.dead(), start.after(15 * second));
    }

    #[test]
    fn what_never_expires_is_always_fresh() {
        let policy = Policy::never_expiring();
        let deadlines = Deadlines::starting(Tick::ZERO, policy.ttl, &policy);
        assert_eq!(deadlines.judge(Tick::from_nanos(u64::MAX - 1)), Freshness::Fresh);
        assert_eq!(deadlines.dead(), Tick::NEVER);
    }
}
