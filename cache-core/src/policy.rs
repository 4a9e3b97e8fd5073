//! The policy of a region, or of one call: how long a value is good, and how long anyone waits.

use std::time::Duration;

/// How long values are fresh, how stale they may be served, and what bounds each wait.
///
/// The words are those of RFC 9111 and RFC 5861.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// How long a value is fresh; `None`, which must be asked for, is for ever.
    pub ttl: Option<Duration>,
    /// How long past its `ttl` a value may be served while one caller reloads it. Default 0.
    pub stale_while_revalidate: Duration,
    /// How long past its `ttl` a value may be served when its reload fails. Default 0.
    pub stale_if_error: Duration,
    /// By what fraction of itself a `ttl` may be shortened at random, 0 to 1. Default 0.05.
    pub jitter: f64,
    /// How long a caller waits for somebody else's load before it acts itself. Default 30 s.
    pub patience: Duration,
    /// How long the right to load one key lasts among processes. Default 30 s, whole seconds.
    pub lease: Duration,
    /// How long after an invalidation elsewhere returned a near copy may still be served. Default 1 s where a near tier
    /// stands before a far one, else 0.
    pub max_staleness: Duration,
    /// How long a failed reload of a stale value keeps others from trying again. Default 1 s.
    pub throttle: Duration,
}

/// The default of `patience` and of `lease`.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

impl Policy {
    /// The defaults, with this `ttl`.
    pub const fn with_ttl(ttl: Duration) -> Self {
        let mut policy = Self::never_expiring();
        policy.ttl = Some(ttl);
        policy
    }

    /// The defaults, for values that never expire.
    pub const fn never_expiring() -> Self {
        Policy {
            ttl: None,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            jitter: 0.05,
            patience: DEFAULT_PATIENCE,
            lease: DEFAULT_PATIENCE,
            max_staleness: Duration::ZERO,
            throttle: Duration::from_secs(1),
        }
    }

    /// How long past its `ttl` a value may be of any use: the time that a far tier keeps it longer.
    pub fn grace(&self) -> Duration {
        self.stale_while_revalidate.max(self.stale_if_error)
    }

    /// `ttl` shortened by the share `random` (0 to 1) of the jitter. Jitter only ever shortens.
    pub fn jittered(&self, ttl: Duration, random: f64) -> Duration {
        ttl.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens_and_by_no_more_than_its_fraction() {
        let policy = Policy { jitter: 0.1, ..Policy::with_ttl(Duration::from_secs(100)) };
        assert_eq!(policy.jittered(Duration::from_secs(100), 0.0), Duration::from_secs(100));
        assert_eq!(policy.jittered(Duration::from_secs(100), 1.0), Duration::from_secs(90));
        assert_eq!(policy.jittered(Duration::from_secs(100), 7.0), Duration::from_secs(90));
    }

    #[test]
    fn grace_is_the_longer_of_the_two_stale_windows() {
        let second = Duration::from_secs(1);
        let mut policy = Policy { stale_while_revalidate: second, ..Policy::with_ttl(second) };
        assert_eq!(policy.grace(), second);
        policy.stale_if_error = 9 * second;
        assert_eq!(policy.grace(), 9 * second);
    }
}
