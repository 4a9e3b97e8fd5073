//! The registry: which regions there are, who opens their backends, and by which clock they live.
//!
//! A program has one of its own ([`Registry::global`]), tests make as many as they like.

mod isolation;
mod layers;
mod scheme;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{BackendUrl, Checked, Environment, On, Settings, told};
use crate::drive;
use crate::error::{Error, Kind, Result};
use crate::observe::{Complaints, Observer, Stats};
use crate::record::Codec;
use crate::state::{Far, Gate, Parts, RegionState, Strictness};

pub use isolation::{Isolated, isolated, isolated_async};
pub(crate) use isolation::{current, is_any};
use layers::Placed;
pub use scheme::{OpenContext, Opened, Scheme};

/// The regions of a program, or of a test. Clones share them.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

/// The program's own, made at its first use.
static GLOBAL: OnceLock<Registry> = OnceLock::new();

struct Shared {
    clock: Clock,
    strictness: Strictness,
    observer: Option<Arc<dyn Observer>>,
    kind: RegistryKind,
    environment: OnceLock<Environment>,
    schemes: RwLock<BTreeMap<String, Arc<dyn Scheme>>>,
    regions: RwLock<HashMap<String, Configured>>,
    /// Why regions that only the environment speaks of are not configured.
    failed: RwLock<HashMap<String, Error>>,
    complaints: Complaints,
}

/// Whether regions are what their settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RegistryKind {
    /// They are.
    AsConfigured,
    /// They are in memory, also those that nobody configured.
    #[cfg_attr(not(feature = "testkit"), expect(dead_code, reason = "made by registries for tests"))]
    InMemory,
}

struct Configured {
    /// All that was said of it, merged; to say that again is no mistake.
    settings: Settings,
    /// The URLs of its backends: the near one, then the far one.
    backends: Vec<String>,
    state: Arc<RegionState>,
}

/// How a registry is made.
#[derive(Debug, Default)]
#[must_use]
pub struct RegistryBuilder {
    clock: Clock,
    strictness: Strictness,
    observer: Option<Arc<dyn Observer>>,
    environment: Option<Environment>,
}

impl RegistryBuilder {
    /// The clock; the system's unless set.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How misuse is answered; with warnings unless set.
    pub fn strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }

    /// Who is told what happens.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The environment, which overrides the settings of every region; none unless set.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// A registry without regions or schemes.
    pub fn build(self) -> Registry {
        self.build_as(RegistryKind::AsConfigured)
    }

    /// A registry in which every region is in memory, whatever tiers its settings name, also one that nobody configured.
    #[cfg(feature = "testkit")]
    pub(crate) fn build_in_memory(self) -> Registry {
        self.build_as(RegistryKind::InMemory)
    }

    fn build_as(self, kind: RegistryKind) -> Registry {
        let RegistryBuilder { clock, strictness, observer, environment } = self;
        Registry {
            shared: Arc::new(Shared {
                clock,
                strictness,
                observer,
                kind,
                environment: environment.map_or_else(OnceLock::new, OnceLock::from),
                schemes: RwLock::default(),
                regions: RwLock::default(),
                failed: RwLock::default(),
                complaints: Complaints::default(),
            }),
        }
    }
}

impl Registry {
    /// A registry with the system's clock, without regions or schemes.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// How a registry is made.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// The program's own registry, which regions declared with [`Region::named`](crate::region::Region::named) belong to.
    pub fn global() -> &'static Registry {
        GLOBAL.get_or_init(Registry::new)
    }

    /// The registry in which regions that were declared by name are looked up here.
    pub(crate) fn in_force() -> Registry {
        current().unwrap_or_else(|| Registry::global().clone())
    }

    /// Makes this the program's own registry: one with an observer, strict, or by another clock. It must be done before
    /// anything asks for the program's registry, which would otherwise be a plain one.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if the program has a registry already.
    pub fn make_global(self) -> Result<()> {
        let taken = |_| Error::new(Kind::Config, "the program has a registry already: make this one its own earlier");
        GLOBAL.set(self).map_err(taken)
    }

    /// Lets `scheme://..` be opened by `opener`.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if the scheme has an opener already.
    pub fn register_scheme(&self, scheme: &str, opener: impl Scheme + 'static) -> Result<()> {
        if self.schemes().iter().any(|known| known == scheme) {
            return Err(Error::new(Kind::Config, format!("the scheme `{scheme}` is registered already")));
        }
        self.set_scheme(scheme, Arc::new(opener));
        Ok(())
    }

    /// The schemes that can be opened.
    pub fn schemes(&self) -> Vec<String> {
        self.shared.schemes.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Configures the region `name`. What the registry's environment says of it overrides `settings`. To say the same
    /// twice is to say it once.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if a setting is missing or not allowed, a scheme is not known, a backend refuses its URL, or the
    /// region is configured already and the merged settings are others. It names region, key and value, what is allowed,
    /// and the variable if it was one of the environment.
    pub fn configure(&self, name: &str, settings: Settings) -> Result<()> {
        self.state_for(name, settings).map(|_| ())
    }

    /// The clock that all regions live by.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The statistics of every region, by name.
    pub fn stats(&self) -> BTreeMap<String, Stats> {
        self.states().into_iter().map(|state| (state.name.clone(), state.stats())).collect()
    }

    /// Closes every region, so that calls load through, and waits in this thread, up to `timeout`, for the loads in flight
    /// to end and for the pending invalidations to reach their nodes. Invalidations still go out afterwards.
    pub fn shutdown(&self, timeout: Duration) -> Shutdown {
        let (clock, states) = (&self.shared.clock, self.states());
        states.iter().for_each(|state| state.set_gate(Gate::Paused));
        let left = || Shutdown {
            loads_in_flight: states.iter().map(|state| state.board.census().0).sum(),
            pending_invalidations: states.iter().filter_map(|state| state.far.as_ref()).map(Far::pending).sum(),
        };
        let ends = clock.now().after(timeout);
        while left() != Shutdown::NOTHING && clock.now() < ends {
            drive::pause(clock, SHUTDOWN_LOOKS.min(ends.since(clock.now())));
        }
        left()
    }

    /// The state of the region `name`, if it is configured.
    pub(crate) fn state(&self, name: &str) -> Option<Arc<RegionState>> {
        let regions = self.shared.regions.read().unwrap_or_else(PoisonError::into_inner);
        let state = regions.get(name).map(|configured| configured.state.clone());
        drop(regions);
        match self.shared.kind {
            RegistryKind::AsConfigured => state.or_else(|| self.state_by_environment(name)?.ok()),
            RegistryKind::InMemory => state.or_else(|| self.state_for(name, Settings::new().ttl(TEST_TTL)).ok()),
        }
    }

    /// Says that calls go straight through because nobody configured the region.
    pub(crate) fn complain_unconfigured(&self, region: &str) {
        if let Some(unsaid) = self.shared.complaints.due("unconfigured", region, self.shared.clock.now_or_just_after())
        {
            match self.state_by_environment(region) {
                Some(Err(error)) => tracing::warn!(
                    region,
                    unsaid,
                    "region `{region}` is configured by the environment alone, which does not suffice: its functions run \
                     uncached. {error}"
                ),
                _ => tracing::warn!(region, unsaid, "region `{region}` is not configured: its functions run uncached"),
            }
        }
    }

    /// Warns of `cause` about `subject`, at most once a minute, where no region is there to do so.
    pub(crate) fn complain(&self, cause: &'static str, subject: &str, message: fmt::Arguments<'_>) {
        if let Some(unsaid) = self.shared.complaints.due(cause, subject, self.shared.clock.now_or_just_after()) {
            tracing::warn!(cause, unsaid, "{message}");
        }
    }

    fn state_for(&self, name: &str, settings: Settings) -> Result<Arc<RegionState>> {
        let layer = self.shared.environment.get().map(|environment| environment.layer(name)).transpose()?.flatten();
        let settings = match &layer {
            Some(layer) => layer.over(settings),
            None => settings,
        };
        self.state_of_merged(name, settings.settled()).map_err(|error| told(layer.as_slice(), error))
    }

    fn state_of_merged(&self, name: &str, settings: Settings) -> Result<Arc<RegionState>> {
        let settings = match self.shared.kind {
            RegistryKind::AsConfigured => settings,
            RegistryKind::InMemory => settings.in_memory(),
        };
        let mut regions = self.shared.regions.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = regions.get(name) {
            if known.settings == settings {
                return Ok(known.state.clone());
            }
            let differ = known.settings.difference(&settings);
            let message = format!("the region is configured already, with other settings: {differ}");
            return Err(Error::new(Kind::Config, message).with("region", name));
        }
        let (placed, mut opened) = self.place(name, settings.clone())?;
        let checked = placed.check(name)?;
        let backends = checked.backends();
        let state = Arc::new(self.open(name, checked, &mut opened)?);
        regions.insert(name.to_owned(), Configured { settings, backends, state: state.clone() });
        Ok(state)
    }

    fn open(&self, name: &str, settings: Checked, opened: &mut Placed) -> Result<RegionState> {
        let parts = Parts {
            name: name.to_owned(),
            policy: crate::policy::Policy::never_expiring(),
            near: None,
            far: None,
            clock: self.shared.clock.clone(),
            strictness: self.shared.strictness,
            observer: self.shared.observer.clone(),
            gate: Gate::Off,
        };
        let Checked::On(on) = settings else { return Ok(RegionState::new(parts)) };
        let mut open = |key: &'static str, url: &BackendUrl| match opened.take(key) {
            Some(opened) => Ok(opened),
            None => self.open_backend(name, key, url),
        };
        let near = match &on.tier.near {
            None => None,
            Some(url) => match open("near", url)? {
                Opened::Near(near) => Some(near),
                Opened::Far { .. } => return Err(misplaced(name, "near", url, "far")),
            },
        };
        let far = match &on.tier.far {
            None => None,
            Some(url) => match open("far", url)? {
                Opened::Far { blocking, tasks } => Some(far(name, &on, blocking, tasks)?),
                Opened::Near(_) => return Err(misplaced(name, "far", url, "near")),
            },
        };
        Ok(RegionState::new(Parts { policy: on.policy, near, far, gate: Gate::Open, ..parts }))
    }

    fn open_backend(&self, region: &str, key: &'static str, url: &BackendUrl) -> Result<Opened> {
        let schemes = self.shared.schemes.read().unwrap_or_else(PoisonError::into_inner);
        let opener = schemes.get(url.scheme()).cloned();
        let known: Vec<String> = schemes.keys().map(|scheme| format!("{scheme}://")).collect();
        drop(schemes);
        let of_region = |error: Error| error.with("key", key).with("value", url.to_string()).with("region", region);
        match opener {
            Some(opener) => opener.open(url, &OpenContext::new(region, self.shared.clock.clone())).map_err(of_region),
            None => {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let message = format!("there is no backend `{}://`; known are {known}", url.scheme());
                Err(of_region(Error::new(Kind::Config, message)))
            }
        }
    }

    fn set_scheme(&self, scheme: &str, opener: Arc<dyn Scheme>) {
        self.shared.schemes.write().unwrap_or_else(PoisonError::into_inner).insert(scheme.to_owned(), opener);
        self.shared.failed.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn states(&self) -> Vec<Arc<RegionState>> {
        let regions = self.shared.regions.read().unwrap_or_else(PoisonError::into_inner);
        regions.values().map(|configured| configured.state.clone()).collect()
    }
}

/// How often a shutdown looks whether there is anything left to wait for.
const SHUTDOWN_LOOKS: Duration = Duration::from_millis(5);
/// The `ttl` of a region that nobody configured, in a registry for tests.
const TEST_TTL: Duration = Duration::from_secs(3600);

/// What a shutdown left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Loads that had not ended in time.
    pub loads_in_flight: usize,
    /// Invalidations that had not reached their nodes in time. Those of a node that several regions share count for each
    /// of them.
    pub pending_invalidations: usize,
}

impl Shutdown {
    const NOTHING: Self = Shutdown { loads_in_flight: 0, pending_invalidations: 0 };
}

fn far(
    name: &str,
    on: &On,
    blocking: Option<Arc<dyn crate::backend::BytesBackend>>,
    tasks: Option<Arc<dyn crate::backend::AsyncBytesBackend>>,
) -> Result<Far> {
    let codec = on.codec.clone().or_else(Codec::default_codec);
    let none = || {
        let message =
            "a far tier needs a codec: build with the feature `bincode`, `postcard` or `json`, or set `codec`";
        Error::new(Kind::Config, message).with("region", name)
    };
    Ok(Far {
        blocking,
        tasks,
        generator: on.keys.clone(),
        prefix: on.prefix.clone(),
        epoch: on.epoch,
        codec: codec.ok_or_else(none)?,
        compression: on.compression,
        max_value: on.max_value,
    })
}

fn misplaced(region: &str, key: &'static str, url: &BackendUrl, other: &str) -> Error {
    let message = format!("`{}://` is a {other} backend and cannot be the {key} tier", url.scheme());
    Error::new(Kind::Config, message).with("key", key).with("value", url.to_string()).with("region", region)
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regions = self.shared.regions.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<&String> = regions.keys().collect();
        names.sort();
        f.debug_struct("Registry").field("clock", &self.shared.clock).field("regions", &names).finish_non_exhaustive()
    }
}
