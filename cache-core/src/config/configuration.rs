//! The regions of a program from code and from files, collected before any of them is configured.

#[cfg(feature = "toml")]
use super::toml;
use super::{Layer, Settings};
#[cfg(feature = "toml")]
use crate::error::{Error, Kind, Result};

/// Regions with their settings from code and from files, whatever order they are told in: a file overrides code, a later
/// file an earlier one, setting by setting. [`Registry::configure_all`](crate::registry::Registry::configure_all) puts
/// them in force, and there the environment overrides both.
///
/// A table that names `near` or `far` says where the region is: backends from below it are gone.
///
/// ```
/// # #[cfg(feature = "toml")]
/// # fn main() -> Result<(), cache_core::error::Error> {
/// use cache_core::config::{Configuration, Settings};
/// use std::time::Duration;
///
/// let configuration = Configuration::new()
///     .region("long_term", Settings::new().ttl(Duration::from_secs(3600)).near("memory://"))
///     .toml("cache.toml", "[regions.long_term]\nttl = '10m'")?;
/// # let _ = configuration;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "toml"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a configuration is in force when a registry has it: `Registry::configure_all`"]
pub struct Configuration {
    code: Vec<(String, Settings)>,
    files: Vec<(String, Layer)>,
}

impl Configuration {
    /// No regions.
    pub fn new() -> Self {
        Self::default()
    }

    /// The region `name` with settings from code.
    pub fn region(mut self, name: impl Into<String>, settings: Settings) -> Self {
        self.code.push((name.into(), settings));
        self
    }

    /// The tables `[regions.NAME]` of `text`, which is TOML. Errors call it `name`.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if it is not TOML, has anything but such tables, or a setting in them is unknown or has a value
    /// that is not allowed. It names region, key and value, what is allowed, and the line.
    #[cfg(feature = "toml")]
    pub fn toml(mut self, name: &str, text: &str) -> Result<Self> {
        self.files.extend(toml::read(name, text)?);
        Ok(self)
    }

    /// The tables `[regions.NAME]` of a file, which is TOML in UTF-8.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if the file cannot be read, and as [`Configuration::toml`].
    #[cfg(feature = "toml")]
    pub fn file(self, path: impl AsRef<std::path::Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::new(Kind::Config, format!("the file cannot be read: {error}")).with("file", &*name).caused_by(error)
        })?;
        self.toml(&name, &text)
    }

    /// Each region with its settings, and the layers from files that are in them.
    pub(crate) fn merged(&self) -> Vec<(&str, Settings, Vec<Layer>)> {
        let in_code = |name: &str| self.code.iter().any(|(known, _)| known == name);
        let mut only_in_files: Vec<&str> = Vec::new();
        for (name, _) in &self.files {
            if !in_code(name) && !only_in_files.contains(&name.as_str()) {
                only_in_files.push(name);
            }
        }
        let code = self.code.iter().map(|(name, settings)| (name.as_str(), settings.clone()));
        let all = code.chain(only_in_files.into_iter().map(|name| (name, Settings::new())));
        let merge = |(name, settings)| {
            let layers: Vec<Layer> =
                self.files.iter().filter(|(of, _)| of == name).map(|(_, layer)| layer.clone()).collect();
            (name, layers.iter().fold(settings, |lower, layer| layer.over(lower)), layers)
        };
        all.map(merge).collect()
    }
}

#[cfg(all(test, feature = "toml"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    #[test]
    fn later_files_override_earlier_ones_and_all_override_code() {
        let minute = || Settings::new().ttl(Duration::from_secs(60));
        let all = Configuration::new()
            .toml("one.toml", "[regions.a]\nttl = '2m'\nnear = 'memory://?entries=1'\n[regions.b]\nttl = '5m'")
            .unwrap()
            .region("a", minute().far("memcached://a").jitter(0.2))
            .toml("two.toml", "[regions.a]\nttl = '3m'")
            .unwrap();
        let merged: Vec<_> = all.merged().into_iter().map(|(name, settings, _)| (name, settings)).collect();
        let a = Settings::new().ttl(Duration::from_secs(180)).near("memory://?entries=1").jitter(0.2);
        assert_eq!(merged, [("a", a), ("b", Settings::new().ttl(Duration::from_secs(300)))]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Configuration::new().file("/no/such/cache.toml").unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().ends_with("(file: /no/such/cache.toml)"), "{error}");
    }
}
