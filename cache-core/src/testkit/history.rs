//! What happened in a simulation: loads, invalidations and reads, each with the moments of its begin and end.
//!
//! Invariant: moments are numbered in the order in which they were noted, so two that fall into one instant of the
//! clock still have an order.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{ManualClock, Tick};

/// A place in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The clock's instant.
    pub tick: Tick,
    /// The number of the moment: it grows with every one that is noted.
    pub order: u64,
}

/// Identifies a load. A simulated source that returns it as the value lets every read tell whose value it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A load under the region's rules: one key has one at a time.
    Load,
    /// A `set`, or a refresh that was asked for: these may overlap loads.
    Set,
}

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadEnd {
    /// With a value.
    Loaded,
    /// With an error.
    Failed,
    /// Its caller was cancelled or killed.
    Cancelled,
}

/// One load, or one `set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Its key.
    pub key: String,
    /// The process that it ran in.
    pub process: u32,
    /// Whether it is a load or a `set`.
    pub origin: Origin,
    /// Before the source was asked, or `set` was entered.
    pub began: Moment,
    /// After the source answered; `None` while it runs.
    pub ended: Option<(Moment, LoadEnd)>,
}

/// How an invalidation returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// `Ok`: the promise holds from here on.
    Done,
    /// With an error: pending, and nothing is promised.
    Pending,
}

/// One hard invalidation of one or more keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidation {
    /// The keys that it covers: one, or all of a scope.
    pub keys: Vec<String>,
    /// The process that called it.
    pub process: u32,
    /// Before it was called.
    pub called: Moment,
    /// After it returned; `None` if it has not, or was dropped.
    pub returned: Option<(Moment, Returned)>,
}

/// One read that returned a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOf {
    /// Its key.
    pub key: String,
    /// The process that read.
    pub process: u32,
    /// Before it was called.
    pub started: Moment,
    /// After it returned; `None` while it runs.
    pub ended: Option<Moment>,
    /// The load whose value it returned; `None` if it returned an error, or runs.
    pub value: Option<LoadId>,
}

/// All that happened, in the order in which it began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// The loads; [`LoadId`] is the place.
    pub loads: Vec<Load>,
    /// The invalidations.
    pub invalidations: Vec<Invalidation>,
    /// The reads.
    pub reads: Vec<ReadOf>,
}

/// Notes what happens. Clones write one history; threads may share it.
#[derive(Clone)]
pub struct History {
    clock: ManualClock,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    order: u64,
    events: Events,
}

/// An invalidation or a read that was begun: the place of its note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted(usize);

impl History {
    /// An empty history in the time of `clock`.
    pub fn new(clock: ManualClock) -> Self {
        History { clock, notes: Arc::default() }
    }

    /// A load begins. Call it before the source is asked.
    pub fn load_begins(&self, process: u32, key: impl Into<String>) -> LoadId {
        self.begin(process, key.into(), Origin::Load)
    }

    /// A `set` or an asked-for refresh begins. Call it before the value is made.
    pub fn set_begins(&self, process: u32, key: impl Into<String>) -> LoadId {
        self.begin(process, key.into(), Origin::Set)
    }

    /// A load has ended.
    pub fn load_ends(&self, load: LoadId, end: LoadEnd) {
        let mut notes = self.notes();
        let moment = notes.moment(&self.clock);
        if let Some(load) = notes.events.loads.get_mut(load.0 as usize) {
            load.ended = Some((moment, end));
        }
    }

    /// A guard that ends the load as cancelled unless it is ended otherwise before it is dropped.
    pub fn load_guard(&self, load: LoadId) -> LoadGuard {
        LoadGuard { history: self.clone(), load }
    }

    /// An invalidation is called. Call it just before, and after the source was changed.
    pub fn invalidate_called<K: Into<String>>(&self, process: u32, keys: impl IntoIterator<Item = K>) -> Noted {
        let keys = keys.into_iter().map(Into::into).collect();
        let mut notes = self.notes();
        let called = notes.moment(&self.clock);
        notes.events.invalidations.push(Invalidation { keys, process, called, returned: None });
        Noted(notes.events.invalidations.len() - 1)
    }

    /// The invalidation has returned.
    pub fn invalidate_returned(&self, invalidation: Noted, returned: Returned) {
        let mut notes = self.notes();
        let moment = notes.moment(&self.clock);
        if let Some(invalidation) = notes.events.invalidations.get_mut(invalidation.0) {
            invalidation.returned = Some((moment, returned));
        }
    }

    /// A read is called.
    pub fn read_starts(&self, process: u32, key: impl Into<String>) -> Noted {
        let key = key.into();
        let mut notes = self.notes();
        let started = notes.moment(&self.clock);
        notes.events.reads.push(ReadOf { key, process, started, ended: None, value: None });
        Noted(notes.events.reads.len() - 1)
    }

    /// The read has returned the value of this load, or `None`: an error.
    pub fn read_ends(&self, read: Noted, value: Option<LoadId>) {
        let mut notes = self.notes();
        let moment = notes.moment(&self.clock);
        if let Some(read) = notes.events.reads.get_mut(read.0) {
            read.ended = Some(moment);
            read.value = value;
        }
    }

    /// What was noted so far.
    pub fn events(&self) -> Events {
        self.notes().events.clone()
    }

    fn begin(&self, process: u32, key: String, origin: Origin) -> LoadId {
        let mut notes = self.notes();
        let began = notes.moment(&self.clock);
        notes.events.loads.push(Load { key, process, origin, began, ended: None });
        LoadId(notes.events.loads.len() as u64 - 1)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn moment(&mut self, clock: &ManualClock) -> Moment {
        self.order += 1;
        Moment { tick: clock.now(), order: self.order }
    }
}

/// See [`History::load_guard`].
#[derive(Debug)]
pub struct LoadGuard {
    history: History,
    load: LoadId,
}

impl LoadGuard {
    /// The load.
    pub fn id(&self) -> LoadId {
        self.load
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        let mut notes = self.history.notes();
        let moment = notes.moment(&self.history.clock);
        if let Some(load) = notes.events.loads.get_mut(self.load.0 as usize) {
            load.ended.get_or_insert((moment, LoadEnd::Cancelled));
        }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let notes = self.notes();
        let Events { loads, invalidations, reads } = &notes.events;
        write!(f, "History({} loads, {} invalidations, {} reads)", loads.len(), invalidations.len(), reads.len())
    }
}
