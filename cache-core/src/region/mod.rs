//! The face of a region: declared in code, configured at run time, used directly or by the attribute.

mod bound;
mod entry;
mod flush;
mod invalidate;
mod operation;

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Kind, Result};
use crate::observe::Stats;
use crate::registry::{self, Registry};
use crate::state::{Gate, RegionState};

pub(crate) use bound::{Bound, BoundKeys, BoundScope, Whole};
pub(crate) use entry::EntryTerms;
pub use entry::{Entry, WholeEntry};
pub use flush::FlushPending;
pub use invalidate::{Invalidate, Reached};
pub use operation::{Get, Set};

pub use crate::drive::{NotStored, SetOutcome};

/// A named cache.
///
/// Declared in a `static`, it belongs to the program's registry ([`Registry::global`]), or to the one that a test put in
/// force; it may be used before it is configured, and calls then go straight through.
///
/// ```
/// use cache_core::region::Region;
///
/// static LONG_TERM: Region = Region::named("long_term");
/// assert_eq!(LONG_TERM.name(), "long_term");
/// ```
pub struct Region {
    name: &'static str,
    place: Place,
}

enum Place {
    /// Looked up by name; remembered once it is configured in the program's registry.
    Named(OnceLock<Arc<RegionState>>),
    /// Of a certain registry.
    Of { registry: Registry, name: Arc<str>, slot: OnceLock<Arc<RegionState>> },
    /// Nowhere: calls go straight through.
    Disabled,
}

/// The state of a region, as it was found.
pub(crate) enum StateRef<'a> {
    /// Remembered by the region.
    Remembered(&'a Arc<RegionState>),
    /// Looked up just now.
    Found(Arc<RegionState>),
}

impl StateRef<'_> {
    #[inline]
    pub(crate) fn as_arc(&self) -> &Arc<RegionState> {
        match self {
            StateRef::Remembered(state) => state,
            StateRef::Found(state) => state,
        }
    }
}

impl Region {
    /// The region `name` of whichever registry is in force.
    pub const fn named(name: &'static str) -> Self {
        Region { name, place: Place::Named(OnceLock::new()) }
    }

    /// A region that is switched off: calls go straight through, and there is nothing to invalidate.
    pub const fn disabled() -> Self {
        Region { name: "disabled", place: Place::Disabled }
    }

    /// The region's name.
    pub fn name(&self) -> &str {
        match &self.place {
            Place::Of { name, .. } => name,
            Place::Named(_) | Place::Disabled => self.name,
        }
    }

    /// Calls load through from now on, and store nothing; invalidations still go out.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`].
    pub fn pause(&self) -> Result<()> {
        self.configured()?.map_or(Ok(()), |state| {
            state.set_gate(Gate::Paused);
            Ok(())
        })
    }

    /// Ends a [`pause`](Region::pause). What was stored before it is served again.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`].
    pub fn resume(&self) -> Result<()> {
        self.configured()?.map_or(Ok(()), |state| {
            state.set_gate(Gate::Open);
            Ok(())
        })
    }

    /// Removes entries from the near tier that are of no use any more, and says how many there were.
    ///
    /// Each new entry removes a few anyhow; this empties a region that has become idle.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`].
    pub fn sweep(&self) -> Result<usize> {
        let state = self.configured()?;
        Ok(state.and_then(|state| state.near.as_ref().map(|near| near.sweep(state.clock.now()))).unwrap_or(0))
    }

    /// What the region holds and did; `None` if it is not configured.
    pub fn stats(&self) -> Option<Stats> {
        self.state().map(|state| state.as_arc().stats())
    }

    /// The state that is in force here, if it was found before.
    #[inline]
    pub(crate) fn remembered(&self) -> Option<&Arc<RegionState>> {
        match &self.place {
            Place::Named(slot) if !registry::is_any() => slot.get(),
            Place::Of { slot, .. } => slot.get(),
            _ => None,
        }
    }

    /// The state that is in force here, if the region is configured.
    pub(crate) fn state(&self) -> Option<StateRef<'_>> {
        if let Some(state) = self.remembered() {
            return Some(StateRef::Remembered(state));
        }
        match &self.place {
            Place::Named(slot) if !registry::is_any() => self.look_up(slot),
            Place::Of { slot, .. } => self.look_up(slot),
            place => self.find(place),
        }
    }

    /// The state, or `None` for a region that is switched off.
    pub(crate) fn configured(&self) -> Result<Option<Arc<RegionState>>> {
        if matches!(self.place, Place::Disabled) {
            return Ok(None);
        }
        match self.state() {
            Some(state) if state.as_arc().gate() == Gate::Off => Ok(None),
            Some(state) => Ok(Some(state.as_arc().clone())),
            None => {
                let message = "configure it in the registry in force, or switch it off with `Settings::off()`";
                let error = Error::new(Kind::Unconfigured, message).with("region", self.name());
                // What the environment says of it, if that does not suffice.
                let why = self.registry().and_then(|registry| registry.state_by_environment(self.name())?.err());
                Err(why.into_iter().fold(error, Error::caused_by))
            }
        }
    }

    /// Says that a call went straight through because the region is not configured.
    #[cold]
    pub(crate) fn complain_unconfigured(&self) {
        if let Some(registry) = self.registry() {
            registry.complain_unconfigured(self.name());
        }
    }

    /// The registry in which the region is looked up here.
    fn registry(&self) -> Option<Registry> {
        match &self.place {
            Place::Disabled => None,
            Place::Of { registry, .. } => Some(registry.clone()),
            Place::Named(_) => Some(Registry::in_force()),
        }
    }

    /// Not remembered until it is found: configuring later takes effect.
    #[cold]
    fn look_up<'a>(&self, slot: &'a OnceLock<Arc<RegionState>>) -> Option<StateRef<'a>> {
        let state = match &self.place {
            Place::Of { registry, name, .. } => registry.state(name)?,
            Place::Named(_) | Place::Disabled => Registry::global().state(self.name)?,
        };
        Some(StateRef::Remembered(slot.get_or_init(|| state)))
    }

    /// Somebody is isolated, here or on another thread.
    #[cold]
    fn find<'a>(&self, place: &'a Place) -> Option<StateRef<'a>> {
        match (place, registry::current()) {
            (Place::Disabled, _) => None,
            (_, Some(registry)) => registry.state(self.name).map(StateRef::Found),
            (Place::Named(slot) | Place::Of { slot, .. }, None) => {
                slot.get().map(StateRef::Remembered).or_else(|| self.look_up(slot))
            }
        }
    }
}

impl Registry {
    /// A handle of the region `name` of this registry, whatever registry is in force where it is used.
    pub fn region(&self, name: &str) -> Region {
        Region { name: "", place: Place::Of { registry: self.clone(), name: Arc::from(name), slot: OnceLock::new() } }
    }
}

impl AsRef<Region> for Region {
    fn as_ref(&self) -> &Region {
        self
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({})", self.name())
    }
}
