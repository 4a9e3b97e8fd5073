//! The settings of one region, by method and by name, and the rules that they must keep.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{BackendUrl, parse};
use crate::error::{Error, Kind, Result};
use crate::key::{KeyGenerator, ReadableKeys, Sha1Keys};
use crate::policy::{DEFAULT_PATIENCE, Policy};
use crate::record::{Codec, Compression};

/// How a region is configured. Each setting has a method, and a name under which [`set`](Settings::set) takes it as text.
///
/// ```
/// use cache_core::config::Settings;
/// use std::time::Duration;
///
/// let settings = Settings::new().ttl(Duration::from_secs(600)).near("memory://?capacity=64MiB");
/// let same = Settings::new().set("ttl", "10m")?.set("near", "memory://?capacity=64MiB")?;
/// assert_eq!(settings, same);
/// # Ok::<(), cache_core::error::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Settings {
    ttl: Option<Ttl>,
    near: Option<String>,
    far: Option<String>,
    jitter: Option<f64>,
    patience: Option<Duration>,
    lease: Option<Duration>,
    max_staleness: Option<Duration>,
    prefix: Option<String>,
    epoch: Option<u32>,
    codec: Option<Named<Codec>>,
    keys: Option<Named<Arc<dyn KeyGenerator>>>,
    compress: Option<Compression>,
    max_value: Option<u64>,
    off: bool,
}

/// How long values are fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// For this long.
    For(Duration),
    /// For ever. It must be asked for.
    Never,
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Ttl::For(duration)
    }
}

/// Something that is the same as another if it has the same name.
#[derive(Clone)]
struct Named<T> {
    name: String,
    value: T,
}

impl<T> PartialEq for Named<T> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<T> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The names of all settings.
const KNOWN: [&str; 13] = [
    "ttl",
    "near",
    "far",
    "jitter",
    "patience",
    "lease",
    "max_staleness",
    "prefix",
    "epoch",
    "codec",
    "keys",
    "compress",
    "max_value",
];
/// The default of `max_value`.
const MAX_VALUE: u64 = 64 << 20;
/// The default of `max_staleness` where a near tier stands before a far one.
const MAX_STALENESS: Duration = Duration::from_secs(1);
/// memcached counts whole seconds: nothing shorter can be relied on.
const SHORTEST_FAR: Duration = Duration::from_secs(2);
/// memcached takes a longer time for a date.
const LONGEST_FAR: Duration = Duration::from_secs(30 * 24 * 3600);

impl Settings {
    /// Nothing set: a region needs at least a `ttl` and a tier.
    pub fn new() -> Self {
        Self::default()
    }

    /// The settings of a region that is switched off: calls go straight through.
    pub fn off() -> Self {
        Settings { off: true, ..Self::default() }
    }

    /// How long values are fresh: a [`Duration`], or [`Ttl::Never`]. Required.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// The URL of the near tier, which keeps objects of this process.
    pub fn near(mut self, url: impl Into<String>) -> Self {
        self.near = Some(url.into());
        self
    }

    /// The URL of the far tier, which keeps records that other processes share.
    pub fn far(mut self, url: impl Into<String>) -> Self {
        self.far = Some(url.into());
        self
    }

    /// By what share of itself a `ttl` may be shortened at random, 0 to 1. Default 0.05.
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = Some(share);
        self
    }

    /// How long a caller waits for somebody else's load before it acts itself. Default 30 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// How long the right to load one key lasts among processes; at least 2 s. Default 30 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// How long after an invalidation elsewhere returned a near copy may still be served. Default 1 s where a near tier
    /// stands before a far one; without a far tier it is always 0.
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = Some(max_staleness);
        self
    }

    /// What stands before each far key: keeps staging apart from production. Default none.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// A number that, when raised, makes everything in the far tier start cold. Default 0.
    pub fn epoch(mut self, epoch: u32) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// How values become bytes. Default bincode, where it is compiled in.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(Named { name: codec.name().to_owned(), value: codec });
        self
    }

    /// What names entries in the far tier. Default [`Sha1Keys`].
    pub fn keys(mut self, generator: impl KeyGenerator + 'static) -> Self {
        self.keys = Some(Named { name: format!("{generator:?}"), value: Arc::new(generator) });
        self
    }

    /// Whether and how records are compressed. Default zstd, level 3, from 1024 bytes on, where it is compiled in.
    pub fn compress(mut self, compression: Compression) -> Self {
        self.compress = Some(compression);
        self
    }

    /// The largest encoded value that is stored far, in bytes. Default 64 MiB.
    pub fn max_value(mut self, bytes: u64) -> Self {
        self.max_value = Some(bytes);
        self
    }

    /// Sets one setting from text: durations and sizes with their units.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`], naming the key and the value, with what is known or allowed.
    pub fn set(self, key: &str, value: &str) -> Result<Self> {
        let allowed = |allowed: String| {
            Error::new(Kind::Config, format!("`{key}` takes {allowed}")).with("key", key).with("value", value)
        };
        Ok(match key {
            "ttl" if value.trim() == "never" => self.ttl(Ttl::Never),
            "ttl" => self.ttl(parse::duration(value).map_err(|form| allowed(format!("{form}, or `never`")))?),
            "near" => self.near(value),
            "far" => self.far(value),
            "jitter" => self.jitter(parse::share(value).map_err(allowed)?),
            "patience" => self.patience(parse::duration(value).map_err(allowed)?),
            "lease" => self.lease(parse::duration(value).map_err(allowed)?),
            "max_staleness" => self.max_staleness(parse::duration(value).map_err(allowed)?),
            "prefix" => self.prefix(value),
            "epoch" => self.epoch(value.trim().parse().map_err(|_| allowed("a whole number from 0 on".to_owned()))?),
            "codec" => self.codec(value.parse()?),
            "keys" => match value {
                "sha1" => self.keys(Sha1Keys),
                "readable" => self.keys(ReadableKeys),
                _ => return Err(allowed("`sha1` or `readable`".to_owned())),
            },
            "compress" => self.compress(value.parse()?),
            "max_value" => self.max_value(parse::size(value).map_err(allowed)?),
            _ => {
                let message = format!("there is no setting `{key}`; known are {}", KNOWN.join(", "));
                return Err(Error::new(Kind::Config, message).with("key", key).with("value", value));
            }
        })
    }

    /// The same, with a near tier in memory and no far one. What only makes sense with a far tier is left out.
    pub(crate) fn in_memory(self) -> Self {
        Settings { near: Some("memory://".to_owned()), far: None, max_staleness: None, ..self }
    }

    /// How `other` differs, for people.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let (mine, theirs) = (self.listed(), other.listed());
        let differ = mine.iter().zip(&theirs).filter(|(mine, theirs)| mine != theirs);
        let told = |(name, value): &(&str, String)| format!("`{name}` was {value}");
        let told: Vec<String> = differ.map(|(mine, (_, theirs))| format!("{}, is now {theirs}", told(mine))).collect();
        told.join("; ")
    }

    fn listed(&self) -> Vec<(&'static str, String)> {
        let Settings { ttl, near, far, jitter, patience, lease, max_staleness, prefix, epoch, codec, keys, .. } = self;
        vec![
            ("ttl", shown_or_unset(ttl)),
            ("near", shown_or_unset(near)),
            ("far", shown_or_unset(far)),
            ("jitter", shown_or_unset(jitter)),
            ("patience", shown_or_unset(patience)),
            ("lease", shown_or_unset(lease)),
            ("max_staleness", shown_or_unset(max_staleness)),
            ("prefix", shown_or_unset(prefix)),
            ("epoch", shown_or_unset(epoch)),
            ("codec", shown_or_unset(codec)),
            ("keys", shown_or_unset(keys)),
            ("compress", shown_or_unset(&self.compress)),
            ("max_value", shown_or_unset(&self.max_value)),
            ("off", self.off.to_string()),
        ]
    }

    /// Checks the settings as a whole, for the region `name`.
    pub(crate) fn check(&self, name: &str) -> Result<Checked> {
        self.check_all().map_err(|error| error.with("region", name))
    }

    fn check_all(&self) -> Result<Checked> {
        if self.off {
            return Ok(Checked::Off);
        }
        let near = self.near.as_deref().map(BackendUrl::parse).transpose()?;
        let far = self.far.as_deref().map(BackendUrl::parse).transpose()?;
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
            jitter: self.jitter.unwrap_or(Policy::never_expiring().jitter),
            patience: self.patience.unwrap_or(DEFAULT_PATIENCE),
            lease: self.lease.unwrap_or(DEFAULT_PATIENCE),
            max_staleness: self.max_staleness.unwrap_or(staleness.min(ttl.unwrap_or(staleness))),
            ..Policy::never_expiring()
        };
        check_policy(&policy, is_far)?;
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

fn check_policy(policy: &Policy, is_far: bool) -> Result<()> {
    if !(0.0..=1.0).contains(&policy.jitter) {
        return Err(refused("jitter", &policy.jitter.to_string(), "`jitter` is a share from 0 to 1"));
    }
    if policy.patience.is_zero() {
        return Err(refused("patience", "0s", "`patience` must be above 0: nobody would ever wait for another's load"));
    }
    if !is_far {
        return Ok(());
    }
    if policy.lease < SHORTEST_FAR {
        let rule = "`lease` must be at least 2s: memcached counts whole seconds";
        return Err(refused("lease", &shown(policy.lease), rule));
    }
    let Some(ttl) = policy.ttl else { return Ok(()) };
    if ttl < SHORTEST_FAR {
        return Err(refused(
            "ttl",
            &shown(ttl),
            "`ttl` must be at least 2s with a far tier: memcached counts whole seconds",
        ));
    }
    if ttl + policy.grace() > LONGEST_FAR {
        let rule =
            "`ttl` with its stale windows must not exceed 30 days with a far tier: memcached would take it for a date";
        return Err(refused("ttl", &shown(ttl), rule));
    }
    if policy.max_staleness > ttl {
        let rule = format!("`max_staleness` must not exceed `ttl`, which is {}", shown(ttl));
        return Err(refused("max_staleness", &shown(policy.max_staleness), &rule));
    }
    Ok(())
}

fn refused(key: &'static str, value: &str, rule: &str) -> Error {
    Error::new(Kind::Config, rule).with("key", key).with("value", value)
}

fn shown_or_unset<T: fmt::Debug>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "not set".to_owned(), |value| format!("{value:?}"))
}

fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn every_setting_can_be_set_by_its_name() {
        let values: [&str; KNOWN.len()] = [
            "1h",
            "memory://",
            "memcached://a",
            "10%",
            "5s",
            "20s",
            "2s",
            "staging:",
            "3",
            codec(),
            "readable",
            "none",
            "1MiB",
        ];
        for (key, value) in KNOWN.into_iter().zip(values) {
            let set = Settings::new().set(key, value).unwrap_or_else(|error| panic!("{key}: {error}"));
            assert_ne!(set, Settings::new(), "{key} changes something");
        }
        fn codec() -> &'static str {
            ["bincode", "postcard", "json"].into_iter().find(|name| name.parse::<Codec>().is_ok()).unwrap_or_default()
        }
    }

    #[test]
    fn what_is_not_known_is_told_with_what_is() {
        let error = Settings::new().set("tll", "1h").expect_err("unknown");
        assert_eq!(error.kind(), Kind::Config);
        let text = error.to_string();
        assert!(text.contains("`tll`") && text.contains("ttl, near, far") && text.contains("value: 1h"), "{text}");
        for (key, value, allowed) in [
            ("ttl", "10", "`never`"),
            ("patience", "long", "250ms"),
            ("jitter", "2", "from 0 to 1"),
            ("epoch", "-1", "whole number"),
            ("keys", "md5", "`sha1` or `readable`"),
            ("max_value", "big", "64MiB"),
        ] {
            let text = Settings::new().set(key, value).expect_err(key).to_string();
            assert!(text.contains(allowed) && text.contains(&format!("value: {value}")), "{text}");
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
