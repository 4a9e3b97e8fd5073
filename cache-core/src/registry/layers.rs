//! A registry and what is said of its regions outside of the code: files and the environment.
//!
//! The environment is taken once, before any region is configured, and is over everything else.

use std::sync::{Arc, PoisonError};

use super::{Opened, Registry};
use crate::config::{BackendUrl, Configuration, Environment, Settings, told};
use crate::error::{Error, Kind, Result};
use crate::state::RegionState;

/// Backends that were opened to see which tier they are.
#[derive(Debug, Default)]
pub(super) struct Placed {
    near: Option<Opened>,
    far: Option<Opened>,
}

impl Placed {
    /// The backend of the tier, if it is open already.
    pub(super) fn take(&mut self, key: &str) -> Option<Opened> {
        if key == "near" { self.near.take() } else { self.far.take() }
    }
}

impl Registry {
    /// Configures every region of `configuration`, and what the registry's environment says of each overrides it.
    ///
    /// Variables that look as if they spoke of a region, but of none that is configured by now, are warned about.
    ///
    /// # Errors
    ///
    /// As [`Registry::configure`], also with the file and the line where the setting stands. Regions that were configured
    /// before the one that is refused stay so.
    pub fn configure_all(&self, configuration: &Configuration) -> Result<()> {
        for (name, settings, files) in configuration.merged() {
            self.configure(name, settings).map_err(|error| told(&files, error))?;
        }
        for variable in self.unclaimed_variables() {
            tracing::warn!(variable, "`{variable}` speaks of no region that is configured");
        }
        Ok(())
    }

    /// Configures every region of a TOML file: [`Registry::configure_all`] with [`Configuration::file`].
    ///
    /// # Errors
    ///
    /// As these.
    #[cfg(feature = "toml")]
    pub fn configure_from_file(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        self.configure_all(&Configuration::new().file(path)?)
    }

    /// Lets `environment` override the settings of every region from now on. A region of which only the environment
    /// speaks is configured when it is first used.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if the registry has an environment, or a region that it would come too late for.
    pub fn take_environment(&self, environment: Environment) -> Result<()> {
        let regions = self.shared.regions.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(region) = regions.keys().next() {
            let message = "a region is configured already: take the environment before";
            return Err(Error::new(Kind::Config, message).with("region", region));
        }
        let taken = |_| Error::new(Kind::Config, "the registry has an environment already");
        self.shared.environment.set(environment).map_err(taken)
    }

    /// The variables of the registry's environment that look as if they spoke of a region, but of none that is configured
    /// by now: `CACHE_<..>__<..>`, and `CACHE_<..>` with `off` or a URL. One of these may be misspelt.
    pub fn unclaimed_variables(&self) -> Vec<String> {
        let regions = self.shared.regions.read().unwrap_or_else(PoisonError::into_inner);
        let environment = self.shared.environment.get();
        environment.map(|environment| environment.unclaimed(regions.keys().map(String::as_str))).unwrap_or_default()
    }

    /// The URLs of the backends of a region, the near one first: where it is after all that was said of it. `None` if it is
    /// not configured; none in it if the region is switched off.
    pub fn backends(&self, region: &str) -> Option<Vec<String>> {
        self.state(region)?;
        let regions = self.shared.regions.read().unwrap_or_else(PoisonError::into_inner);
        regions.get(region).map(|configured| configured.backends.clone())
    }

    /// The state of a region that nobody configured but the environment; `None` if that does not speak of it either.
    ///
    /// What failed is remembered, so that calls of such a region do not open backends in vain again and again. Only another
    /// scheme can change the outcome.
    pub(crate) fn state_by_environment(&self, name: &str) -> Option<Result<Arc<RegionState>>> {
        let environment = self.shared.environment.get()?;
        let failed = self.shared.failed.read().unwrap_or_else(PoisonError::into_inner).get(name).map(Error::again);
        if let Some(error) = failed {
            return Some(Err(error));
        }
        let state = match environment.layer(name) {
            Ok(None) => return None,
            Ok(Some(_)) => self.state_for(name, Settings::new()),
            Err(error) => Err(error),
        };
        if let Err(error) = &state {
            let mut failed = self.shared.failed.write().unwrap_or_else(PoisonError::into_inner);
            failed.insert(name.to_owned(), error.again());
        }
        Some(state)
    }

    /// Opens the backends whose tier is not known yet, and puts each where it belongs.
    pub(super) fn place(&self, region: &str, mut settings: Settings) -> Result<(Settings, Placed)> {
        let mut placed = Placed::default();
        for text in settings.take_backends() {
            let url = BackendUrl::parse(&text).map_err(|error| error.with("region", region))?;
            let opened = self.open_backend(region, "backends", &url)?;
            let (tier, slot) = match &opened {
                Opened::Near(_) => ("near", &mut placed.near),
                Opened::Far { .. } => ("far", &mut placed.far),
            };
            if slot.replace(opened).is_some() {
                let message = format!("two {tier} backends: a region has at most one near and one far");
                return Err(Error::new(Kind::Config, message)
                    .with("key", tier)
                    .with("value", text)
                    .with("region", region));
            }
            settings = if tier == "near" { settings.near(text) } else { settings.far(text) };
        }
        Ok((settings, placed))
    }
}
