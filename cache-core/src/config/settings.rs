//! The settings of one region, by method and by name.
//!
//! Whether they may stand together is not judged here: settings come from several places and are checked when merged.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::parse;
use crate::error::{Error, Kind, Result};
use crate::key::{KeyGenerator, ReadableKeys, Sha1Keys};
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
    pub(super) ttl: Option<Ttl>,
    pub(super) near: Option<String>,
    pub(super) far: Option<String>,
    pub(super) stale_while_revalidate: Option<Duration>,
    pub(super) stale_if_error: Option<Duration>,
    pub(super) throttle: Option<Duration>,
    pub(super) jitter: Option<f64>,
    pub(super) patience: Option<Duration>,
    pub(super) lease: Option<Duration>,
    pub(super) max_staleness: Option<Duration>,
    pub(super) prefix: Option<String>,
    pub(super) epoch: Option<u32>,
    pub(super) codec: Option<Named<Codec>>,
    pub(super) keys: Option<Named<Arc<dyn KeyGenerator>>>,
    pub(super) compress: Option<Compression>,
    pub(super) max_value: Option<u64>,
    /// Backends whose tier is not known before they are opened. They take the place of `near` and `far`.
    pub(super) backends: Vec<String>,
    pub(super) off: Option<bool>,
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
pub(super) struct Named<T> {
    pub(super) name: String,
    pub(super) value: T,
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
pub(super) const KNOWN: [&str; 17] = [
    "ttl",
    "near",
    "far",
    "stale_while_revalidate",
    "stale_if_error",
    "throttle",
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
    "off",
];

impl Settings {
    /// Nothing set: a region needs at least a `ttl` and a tier.
    pub fn new() -> Self {
        Self::default()
    }

    /// The settings of a region that is switched off: calls go straight through.
    pub fn off() -> Self {
        Settings { off: Some(true), ..Self::default() }
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

    /// How long past its `ttl` a value may be served while one caller, of all processes, reloads it. Default 0: callers wait
    /// for the reload. It needs a `ttl` that ends; with a far tier whole seconds count, rounded up.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = Some(window);
        self
    }

    /// How long past its `ttl` a value may be served when its reload fails. Default 0: the failure is the answer. It needs a
    /// `ttl` that ends; with a far tier whole seconds count, rounded up.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = Some(window);
        self
    }

    /// How long a failed reload of a stale value keeps others from trying again: so a source that fails is not hammered.
    /// And how long another process waits for a reload of a value that it may serve on error. Default 1 s.
    pub fn throttle(mut self, throttle: Duration) -> Self {
        self.throttle = Some(throttle);
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
        let told = |error: Error| error.with("key", key).with("value", value);
        Ok(match key {
            "ttl" if value.trim() == "never" => self.ttl(Ttl::Never),
            "ttl" => self.ttl(parse::duration(value).map_err(|form| allowed(format!("{form}, or `never`")))?),
            "near" => self.near(value),
            "far" => self.far(value),
            "stale_while_revalidate" => self.stale_while_revalidate(parse::duration(value).map_err(allowed)?),
            "stale_if_error" => self.stale_if_error(parse::duration(value).map_err(allowed)?),
            "throttle" => self.throttle(parse::duration(value).map_err(allowed)?),
            "jitter" => self.jitter(parse::share(value).map_err(allowed)?),
            "patience" => self.patience(parse::duration(value).map_err(allowed)?),
            "lease" => self.lease(parse::duration(value).map_err(allowed)?),
            "max_staleness" => self.max_staleness(parse::duration(value).map_err(allowed)?),
            "prefix" => self.prefix(value),
            "epoch" => self.epoch(value.trim().parse().map_err(|_| allowed("a whole number from 0 on".to_owned()))?),
            "codec" => self.codec(value.parse().map_err(told)?),
            "keys" => match value {
                "sha1" => self.keys(Sha1Keys),
                "readable" => self.keys(ReadableKeys),
                _ => return Err(allowed("`sha1` or `readable`".to_owned())),
            },
            "compress" => self.compress(value.parse().map_err(told)?),
            "max_value" => self.max_value(parse::size(value).map_err(allowed)?),
            "off" => match value.trim() {
                "true" => Settings { off: Some(true), ..self },
                "false" => Settings { off: Some(false), ..self },
                _ => return Err(allowed("`true` or `false`".to_owned())),
            },
            _ => {
                let message = format!("there is no setting `{key}`; known are {}", KNOWN.join(", "));
                return Err(Error::new(Kind::Config, message).with("key", key).with("value", value));
            }
        })
    }

    /// The same, with a near tier in memory and no far one. What only makes sense with a far tier is left out.
    pub(crate) fn in_memory(self) -> Self {
        Settings { near: Some("memory://".to_owned()), far: None, backends: Vec::new(), max_staleness: None, ..self }
    }

    /// What these settings say, and where they are silent what `lower` says.
    pub(crate) fn over(self, lower: Self) -> Self {
        Settings {
            ttl: self.ttl.or(lower.ttl),
            near: self.near.or(lower.near),
            far: self.far.or(lower.far),
            stale_while_revalidate: self.stale_while_revalidate.or(lower.stale_while_revalidate),
            stale_if_error: self.stale_if_error.or(lower.stale_if_error),
            throttle: self.throttle.or(lower.throttle),
            jitter: self.jitter.or(lower.jitter),
            patience: self.patience.or(lower.patience),
            lease: self.lease.or(lower.lease),
            max_staleness: self.max_staleness.or(lower.max_staleness),
            prefix: self.prefix.or(lower.prefix),
            epoch: self.epoch.or(lower.epoch),
            codec: self.codec.or(lower.codec),
            keys: self.keys.or(lower.keys),
            compress: self.compress.or(lower.compress),
            max_value: self.max_value.or(lower.max_value),
            backends: if self.backends.is_empty() { lower.backends } else { self.backends },
            off: self.off.or(lower.off),
        }
    }

    /// The form in which settings are compared: of a region that is off, nothing else matters.
    pub(crate) fn settled(self) -> Self {
        if self.off == Some(true) { Self::off() } else { Settings { off: None, ..self } }
    }

    /// Takes out the backends whose tier is not known yet.
    pub(crate) fn take_backends(&mut self) -> Vec<String> {
        std::mem::take(&mut self.backends)
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
            ("stale_while_revalidate", shown_or_unset(&self.stale_while_revalidate)),
            ("stale_if_error", shown_or_unset(&self.stale_if_error)),
            ("throttle", shown_or_unset(&self.throttle)),
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
            ("backends", format!("{:?}", self.backends)),
            ("off", self.off.unwrap_or_default().to_string()),
        ]
    }
}

fn shown_or_unset<T: fmt::Debug>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "not set".to_owned(), |value| format!("{value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_set_by_its_name() {
        let values: [&str; KNOWN.len()] = [
            "1h",
            "memory://",
            "memcached://a",
            "30s",
            "5m",
            "2s",
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
            "true",
        ];
        // A build may have no codec that could be named.
        for (key, value) in KNOWN.into_iter().zip(values).filter(|(_, value)| !value.is_empty()) {
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
            ("off", "yes", "`true` or `false`"),
            ("codec", "xml", "this build has"),
            ("compress", "gzip", "none, zstd"),
        ] {
            let text = Settings::new().set(key, value).expect_err(key).to_string();
            assert!(text.contains(allowed) && text.contains(&format!("value: {value}")), "{text}");
        }
    }
}
