//! The policy of a region, or of one call: how long a value is good, and how long anyone waits.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::reach::Reach;

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
    /// How long a failed reload of a stale value keeps others from trying again; and how long another process waits for
    /// a reload of a value that it may serve on error. Default 1 s.
    pub throttle: Duration,
}

/// The default of `patience` and of `lease`.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
/// memcached counts whole seconds: nothing shorter can be relied on.
pub(crate) const SHORTEST_FAR: Duration = Duration::from_secs(2);
/// memcached takes a longer time for a date.
pub(crate) const LONGEST_FAR: Duration = Duration::from_secs(30 * 24 * 3600);

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

    /// Whether there can be such a policy where values are kept in this reach.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`], with the key and the value that cannot be, and the rule.
    pub(crate) fn check(&self, reach: Reach) -> Result<()> {
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(refused("jitter", &self.jitter.to_string(), "`jitter` is a share from 0 to 1"));
        }
        if self.patience.is_zero() {
            return Err(refused(
                "patience",
                "0s",
                "`patience` must be above 0: nobody would ever wait for another's load",
            ));
        }
        let windows =
            [("stale_while_revalidate", self.stale_while_revalidate), ("stale_if_error", self.stale_if_error)];
        if self.ttl.is_none()
            && let Some((window, length)) = windows.into_iter().find(|(_, length)| !length.is_zero())
        {
            let rule = format!("`{window}` needs a `ttl` that ends, and `ttl` is `never`: nothing ever gets stale");
            return Err(refused(window, &shown(length), &rule));
        }
        if reach == Reach::Near {
            return Ok(());
        }
        if self.lease < SHORTEST_FAR {
            let rule = "`lease` must be at least 2s: memcached counts whole seconds";
            return Err(refused("lease", &shown(self.lease), rule));
        }
        let Some(ttl) = self.ttl else { return Ok(()) };
        if ttl < SHORTEST_FAR {
            return Err(refused(
                "ttl",
                &shown(ttl),
                "`ttl` must be at least 2s with a far tier: memcached counts whole seconds",
            ));
        }
        if ttl + self.grace() > LONGEST_FAR {
            let rule = format!(
                "`ttl` and the longer of its stale windows, which is {}, must not exceed 30 days together with a far tier: \
                 memcached would take it for a date",
                shown(self.grace())
            );
            return Err(refused("ttl", &shown(ttl), &rule));
        }
        if self.max_staleness > ttl {
            let rule = format!("`max_staleness` must not exceed `ttl`, which is {}", shown(ttl));
            return Err(refused("max_staleness", &shown(self.max_staleness), &rule));
        }
        Ok(())
    }
}

/// Where a function differs from the policy of its region: what is `None` is the region's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OwnPolicy {
    /// See [`Policy::ttl`].
    pub ttl: Option<Duration>,
    /// See [`Policy::stale_while_revalidate`].
    pub stale_while_revalidate: Option<Duration>,
    /// See [`Policy::stale_if_error`].
    pub stale_if_error: Option<Duration>,
    /// See [`Policy::jitter`].
    pub jitter: Option<f64>,
    /// See [`Policy::patience`].
    pub patience: Option<Duration>,
    /// See [`Policy::lease`].
    pub lease: Option<Duration>,
    /// See [`Policy::max_staleness`].
    pub max_staleness: Option<Duration>,
    /// See [`Policy::throttle`].
    pub throttle: Option<Duration>,
}

impl OwnPolicy {
    /// No difference.
    pub const NONE: OwnPolicy = OwnPolicy {
        ttl: None,
        stale_while_revalidate: None,
        stale_if_error: None,
        jitter: None,
        patience: None,
        lease: None,
        max_staleness: None,
        throttle: None,
    };

    /// The policy of the function in a region of this policy.
    pub fn over(&self, region: &Policy) -> Policy {
        let ttl = self.ttl.or(region.ttl);
        // A bound that only the region sets gives way to a shorter life.
        let staleness = region.max_staleness.min(ttl.unwrap_or(region.max_staleness));
        Policy {
            ttl,
            stale_while_revalidate: self.stale_while_revalidate.unwrap_or(region.stale_while_revalidate),
            stale_if_error: self.stale_if_error.unwrap_or(region.stale_if_error),
            jitter: self.jitter.unwrap_or(region.jitter),
            patience: self.patience.unwrap_or(region.patience),
            lease: self.lease.unwrap_or(region.lease),
            max_staleness: self.max_staleness.unwrap_or(staleness),
            throttle: self.throttle.unwrap_or(region.throttle),
        }
    }
}

fn refused(key: &'static str, value: &str, rule: &str) -> Error {
    Error::new(Kind::Config, rule).with("key", key).with("value", value)
}

fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_does_not_say_is_its_regions() {
        let second = Duration::from_secs(1);
        let region = Policy { max_staleness: 9 * second, lease: 7 * second, ..Policy::with_ttl(60 * second) };
        assert_eq!(OwnPolicy::NONE.over(&region), region);
        let own = OwnPolicy {
            ttl: Some(5 * second),
            stale_while_revalidate: Some(2 * second),
            stale_if_error: Some(3 * second),
            jitter: Some(0.5),
            patience: Some(4 * second),
            lease: Some(6 * second),
            max_staleness: Some(second),
            throttle: Some(8 * second),
        };
        let policy = own.over(&region);
        assert_eq!((policy.ttl, policy.stale_while_revalidate), (Some(5 * second), 2 * second));
        assert_eq!((policy.stale_if_error, policy.jitter, policy.patience), (3 * second, 0.5, 4 * second));
        assert_eq!((policy.lease, policy.max_staleness, policy.throttle), (6 * second, second, 8 * second));
        let shorter = OwnPolicy { ttl: Some(5 * second), ..OwnPolicy::NONE }.over(&region);
        assert_eq!(shorter.max_staleness, 5 * second, "a life is never shorter than what may be stale of it");
    }

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
