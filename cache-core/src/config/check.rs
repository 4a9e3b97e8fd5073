//! The rules that the settings of a region must keep as a whole, and what a region is made of that keeps them.

use std::sync::Arc;
use std::time::Duration;

use super::{BackendUrl, Settings, Ttl};
use crate::error::{Error, Kind, Result};
use crate::key::{KeyGenerator, Sha1Keys};
use crate::policy::{DEFAULT_PATIENCE, Policy};
use crate::reach::Reach;
use crate::record::{Codec, Compression};

/// The default of `max_value`.
const MAX_VALUE: u64 = 64 << 20;
/// The default of `max_staleness` where a near tier stands before a far one.
const MAX_STALENESS: Duration = Duration::from_secs(1);

impl Settings {
    /// Checks the settings as a whole, for the region `name`.
    pub(crate) fn check(&self, name: &str) -> Result<Checked> {
        self.check_all().map_err(|error| error.with("region", name))
    }

    fn check_all(&self) -> Result<Checked> {
        if self.off == Some(true) {
            return Ok(Checked::Off);
        }
        let near = url("near", self.near.as_deref())?;
        let far = url("far", self.far.as_deref())?;
        let tier = match (near, far) {
            (None, None) => {
                return Err(refused("near", "none", "a region needs `near`, `far` or both, or to be switched off"));
            }
            (near, far) => Tier { near, far },
        };
        let ttl = match self.ttl {
            None => return Err(refused("ttl", "none", "a region needs a `ttl`: a duration above 0, or `never`")),
            Some(Ttl::For(Duration::ZERO)) => {
                return Err(refused("ttl", "0s", "`ttl` must be above 0; `never` is for ever"));
            }
            Some(Ttl::For(ttl)) => Some(ttl),
            Some(Ttl::Never) => None,
        };
        let is_far = tier.far.is_some();
        let staleness = if is_far && tier.near.is_some() { MAX_STALENESS } else { Duration::ZERO };
        let policy = Policy {
            ttl,
            stale_while_revalidate: self.stale_while_revalidate.unwrap_or_default(),
            stale_if_error: self.stale_if_error.unwrap_or_default(),
            throttle: self.throttle.unwrap_or(Policy::never_expiring().throttle),
            jitter: self.jitter.unwrap_or(Policy::never_expiring().jitter),
            patience: self.patience.unwrap_or(DEFAULT_PATIENCE),
            lease: self.lease.unwrap_or(DEFAULT_PATIENCE),
            max_staleness: self.max_staleness.unwrap_or(staleness.min(ttl.unwrap_or(staleness))),
        };
        policy.check(if is_far { Reach::Everywhere } else { Reach::Near })?;
        if self.max_staleness.is_some_and(|staleness| !staleness.is_zero()) && (tier.near.is_none() || !is_far) {
            let value = shown(policy.max_staleness);
            return Err(refused(
                "max_staleness",
                &value,
                "only a region with a near tier before a far one can be stale",
            ));
        }
        let max_value = self.max_value.unwrap_or(MAX_VALUE);
        if max_value == 0 {
            return Err(refused("max_value", "0", "`max_value` must be above 0"));
        }
        Ok(Checked::On(Box::new(On {
            policy,
            tier,
            prefix: self.prefix.clone().unwrap_or_default(),
            epoch: self.epoch.unwrap_or_default(),
            codec: self.codec.as_ref().map(|codec| codec.value.clone()),
            keys: self.keys.as_ref().map_or_else(|| Arc::new(Sha1Keys) as _, |keys| keys.value.clone()),
            compression: self.compress.unwrap_or_default(),
            max_value: usize::try_from(max_value).unwrap_or(usize::MAX),
        })))
    }
}

/// Settings that passed.
#[derive(Debug)]
pub(crate) enum Checked {
    /// The region is switched off.
    Off,
    /// It is not.
    On(Box<On>),
}

impl Checked {
    /// The URLs of the backends as text: the near one, then the far one.
    pub(crate) fn backends(&self) -> Vec<String> {
        match self {
            Checked::Off => Vec::new(),
            Checked::On(on) => [&on.tier.near, &on.tier.far].into_iter().flatten().map(|url| url.to_string()).collect(),
        }
    }
}

/// What a region that is on is made of.
#[derive(Debug)]
pub(crate) struct On {
    pub(crate) policy: Policy,
    pub(crate) tier: Tier,
    pub(crate) prefix: String,
    pub(crate) epoch: u32,
    pub(crate) codec: Option<Codec>,
    pub(crate) keys: Arc<dyn KeyGenerator>,
    pub(crate) compression: Compression,
    pub(crate) max_value: usize,
}

/// Where a region's entries are kept: near, far or both.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) near: Option<BackendUrl>,
    pub(crate) far: Option<BackendUrl>,
}

fn refused(key: &'static str, value: &str, rule: &str) -> Error {
    Error::new(Kind::Config, rule).with("key", key).with("value", value)
}

fn url(key: &'static str, text: Option<&str>) -> Result<Option<BackendUrl>> {
    text.map(BackendUrl::parse).transpose().map_err(|error| error.with("key", key))
}

fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{LONGEST_FAR, SHORTEST_FAR};

    fn refusal(settings: Settings) -> String {
        match settings.check("users") {
            Err(error) if error.kind() == Kind::Config => error.to_string(),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    fn near() -> Settings {
        Settings::new().near("memory://").ttl(Duration::from_secs(60))
    }

    fn far() -> Settings {
        near().far("memcached://a")
    }

    fn policy(settings: Settings) -> Policy {
        match settings.check("users") {
            Ok(Checked::On(on)) => on.policy,
            other => panic!("expected a policy, got {other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_region_key_and_value() {
        for (settings, key, value) in [
            (Settings::new().ttl(Duration::from_secs(1)), "near", "none"),
            (Settings::new().near("memory://"), "ttl", "none"),
            (near().ttl(Duration::ZERO), "ttl", "0s"),
            (near().jitter(1.5), "jitter", "1.5"),
            (near().patience(Duration::ZERO), "patience", "0s"),
            (near().max_value(0), "max_value", "0"),
            (near().max_staleness(Duration::from_secs(1)), "max_staleness", "1s"),
            (far().lease(Duration::from_secs(1)), "lease", "1s"),
            (far().ttl(Duration::from_millis(1500)), "ttl", "1s 500ms"),
            (far().ttl(LONGEST_FAR + Duration::from_secs(1)), "ttl", "30days 1s"),
            (far().max_staleness(Duration::from_secs(61)), "max_staleness", "1m 1s"),
            (near().ttl(Ttl::Never).stale_if_error(Duration::from_secs(5)), "stale_if_error", "5s"),
            (far().ttl(LONGEST_FAR).stale_while_revalidate(Duration::from_secs(1)), "ttl", "30days"),
        ] {
            let text = refusal(settings);
            assert!(text.contains(&format!("key: {key}, value: {value}, region: users")), "{text}");
        }
        assert!(refusal(near().near("memory")).contains("region: users"));
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let defaults = policy(far());
        assert_eq!(defaults.max_staleness, Duration::from_secs(1));
        assert_eq!((defaults.patience, defaults.lease), (Duration::from_secs(30), Duration::from_secs(30)));
        assert_eq!(policy(near()).max_staleness, Duration::ZERO);
        assert_eq!(policy(near().ttl(Ttl::Never)).ttl, None);
        assert_eq!(policy(far().lease(SHORTEST_FAR).ttl(LONGEST_FAR)).lease, SHORTEST_FAR, "the bounds are allowed");
        assert!(matches!(Settings::off().check("users"), Ok(Checked::Off)));
    }
}
