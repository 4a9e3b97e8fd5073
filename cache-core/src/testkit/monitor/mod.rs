//! Judges a simulation while it runs, in memory that does not grow with it.
//!
//! What [`History`](super::History) and [`check`](super::check) do for a run that is kept whole, this does for one of millions
//! of invalidations; and it judges loads and waits as well.
//!
//! Invariant: of an invalidation that was called at c and returned `Ok` at r only c is kept once r + `max_staleness` is
//! past, and of those of one key only the latest c: a read that starts from then on must not return a value whose
//! load began before it. A value's number tells when its load began, so that no load is kept but those that run.

mod finding;
mod key;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::history::{LoadEnd, LoadId};
use crate::clock::{ManualClock, Tick};

pub use finding::{Finding, Tally};
use key::{KeyState, Running};

/// Findings that are kept whole. All are counted.
const KEPT: usize = 8;
/// Bits of a value's number that hold its key.
const KEY_BITS: u32 = 16;

/// What a simulation is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How long after an invalidation returned a read may still start that returns what was invalidated.
    pub max_staleness: Duration,
    /// The longest such bound that a read asks for itself, if that is longer.
    pub longest_staleness: Duration,
    /// Whether that also goes for reads of the process that invalidated.
    pub own: OwnReads,
    /// Whether loads that nothing explains are findings.
    pub loads: Loads,
    /// How long a value that was loaded certainly stays.
    pub ttl: Duration,
    /// How long a load may run before another one of its key may begin.
    pub lease: Duration,
    /// How long a request and its reply are under way, at the most, where nothing is wrong.
    pub way: Duration,
    /// How long processes remember generations: for so long after an invalidation each of them may load once under one
    /// that has ended.
    pub memory: Duration,
    /// How many processes there are.
    pub processes: u32,
    /// How long after trouble a load is explained by it.
    pub aftermath: Duration,
    /// The longest that a read may take, in running time of its process.
    pub longest_read: Duration,
    /// The longest that an invalidation may take to answer, in running time of its process.
    pub longest_invalidation: Duration,
}

/// When a process sees what it has invalidated itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnReads {
    /// At once: its reads are judged as if `max_staleness` were zero.
    AtOnce,
    /// As everybody does.
    WithinBound,
}

/// Which loads are findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loads {
    /// Those that run beside another one of their key, or come after one whose value should have served; unless an
    /// invalidation, trouble, or the end of a lease or a `ttl` explains it.
    Once,
    /// None.
    Any,
}

/// Sees what happens, and judges it. Clones are the same one; keys and processes are numbers.
#[derive(Clone)]
pub struct Monitor {
    clock: ManualClock,
    state: Arc<Mutex<State>>,
}

struct State {
    rules: Rules,
    /// The number of the last moment: moments of one instant have an order too.
    order: u64,
    keys: Vec<KeyState>,
    trouble: Option<Tick>,
    /// For how long each process has stood still.
    stood: BTreeMap<u32, Duration>,
    tally: Tally,
    findings: Vec<Finding>,
}

/// A read that has started.
#[derive(Debug)]
#[must_use = "a read that is not ended is not judged"]
pub struct ReadRun {
    key: u32,
    process: u32,
    started: Tick,
    stood: Duration,
    /// Loads that began before this moment had been invalidated.
    must: u64,
}

/// A load that has begun. Dropped before it is ended, it was cancelled.
#[must_use = "a load that is dropped is cancelled"]
pub struct LoadRun {
    monitor: Monitor,
    id: LoadId,
    is_judged: bool,
    has_ended: bool,
}

/// An invalidation that was called. Dropped before it is done, nothing is promised, and it may yet come to pass.
#[must_use = "an invalidation that is dropped promises nothing"]
pub struct InvalidationRun {
    monitor: Monitor,
    keys: Range<u32>,
    process: u32,
    called: u64,
    at: Tick,
    stood: Duration,
    is_done: bool,
}

impl Monitor {
    /// Judges by these rules what happens to so many keys (65,536 at the most) in the time of `clock`.
    pub fn new(clock: ManualClock, keys: u32, rules: Rules) -> Self {
        let keys = (0..keys.min(1 << KEY_BITS)).map(|_| KeyState::default()).collect();
        let state = State {
            rules,
            order: 0,
            keys,
            trouble: None,
            stood: BTreeMap::new(),
            tally: Tally::default(),
            findings: Vec::new(),
        };
        Monitor { clock, state: Arc::new(Mutex::new(state)) }
    }

    /// A read is called.
    pub fn read_starts(&self, process: u32, key: u32) -> ReadRun {
        let bound = self.state().rules.max_staleness;
        self.read_starts_within(process, key, bound)
    }

    /// The same for a read that says itself how stale its value may be: by [`Rules::longest_staleness`] at the most.
    pub fn read_starts_within(&self, process: u32, key: u32, bound: Duration) -> ReadRun {
        let started = self.clock.now();
        let mut state = self.state();
        state.order += 1;
        let Rules { max_staleness, longest_staleness, own, .. } = state.rules;
        let longest = longest_staleness.max(max_staleness);
        let stood = state.stood(process);
        let must = state.key(key).map_or(0, |state| {
            let of_all = state.must_see(started, bound, longest);
            let of_own = if own == OwnReads::AtOnce { state.own(process) } else { 0 };
            of_all.max(of_own)
        });
        ReadRun { key, process, started, stood, must }
    }

    /// The read has returned the value of this load.
    pub fn read_ends(&self, read: ReadRun, value: LoadId) {
        let key = key_of(value);
        self.judge_read(read, value, key);
    }

    /// The read has returned a value that was made of another one, which this load gave: it is as old as that.
    pub fn read_ends_with_part(&self, read: ReadRun, part: LoadId) {
        let key = read.key;
        self.judge_read(read, part, key);
    }

    /// The read has returned an error: only its wait is judged.
    pub fn read_fails(&self, read: ReadRun) {
        self.state().judge_wait(&read, self.clock.now());
    }

    /// A load begins. Call it before the source is asked.
    pub fn load_begins(&self, process: u32, key: u32) -> LoadRun {
        let now = self.clock.now();
        let mut state = self.state();
        state.tally.loads += 1;
        let id = state.next_value(key);
        if state.rules.loads == Loads::Once {
            state.judge_load(key, process, now);
        }
        if let Some(state) = state.key(key) {
            state.running.push(Running { id, process, began: now });
            state.since = state.since.saturating_add(1);
        }
        LoadRun { monitor: self.clone(), id, is_judged: true, has_ended: false }
    }

    /// A value is made to be `set`, or a load that was asked for begins: these may overlap loads.
    pub fn set_begins(&self, key: u32) -> LoadRun {
        let mut state = self.state();
        state.tally.sets += 1;
        let id = state.next_value(key);
        // It makes what is loading void.
        if let Some(state) = state.key(key) {
            state.open += 1;
        }
        LoadRun { monitor: self.clone(), id, is_judged: false, has_ended: false }
    }

    /// What is set under this number counts from now on, and not from when its value was made.
    pub fn set_counts_from_now(&self, value: LoadId) {
        let now = self.clock.now();
        let mut state = self.state();
        state.order += 1;
        let order = state.order;
        let ttl = state.rules.ttl;
        if let Some(state) = state.key(key_of(value)) {
            state.set_counts(value, order, now, ttl);
        }
    }

    /// An invalidation of these keys is called. Call it just before, and after the source was changed.
    pub fn invalidate_called(&self, process: u32, keys: Range<u32>) -> InvalidationRun {
        let at = self.clock.now();
        let mut state = self.state();
        state.order += 1;
        let (called, stood) = (state.order, state.stood(process));
        for key in keys.clone() {
            if let Some(state) = state.key(key) {
                state.open += 1;
            }
        }
        InvalidationRun { monitor: self.clone(), keys, process, called, at, stood, is_done: false }
    }

    /// Something went wrong that may explain loads: a request failed, a node or a process stopped or went away.
    pub fn trouble(&self) {
        self.state().trouble_until(self.clock.now());
    }

    /// From now on the process stands still for so long: it is not the waits' fault.
    pub fn stands_still(&self, process: u32, time: Duration) {
        let until = self.clock.now().after(time);
        let mut state = self.state();
        *state.stood.entry(process).or_default() += time;
        state.trouble_until(until);
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        self.state().tally
    }

    /// The first findings.
    pub fn findings(&self) -> Vec<Finding> {
        self.state().findings.clone()
    }

    fn judge_read(&self, read: ReadRun, value: LoadId, key: u32) {
        let now = self.clock.now();
        let mut state = self.state();
        state.tally.reads += 1;
        state.judge_wait(&read, now);
        let ReadRun { key: asked, process, started, must, .. } = read;
        let began = state.key(key_of(value)).map_or(0, |state| state.began(value));
        if key != asked || began == 0 || began > state.order {
            state.find(Finding::Unknown { key: asked, process, value });
        } else if began < must {
            state.find(Finding::Stale { key: asked, process, started, now, load_began: began, invalidated: must });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn key(&mut self, key: u32) -> Option<&mut KeyState> {
        self.keys.get_mut(key as usize)
    }

    fn stood(&self, process: u32) -> Duration {
        self.stood.get(&process).copied().unwrap_or_default()
    }

    /// What is over soon does not end what lasts.
    fn trouble_until(&mut self, until: Tick) {
        self.trouble = self.trouble.max(Some(until));
    }

    /// A number that tells the moment and the key.
    fn next_value(&mut self, key: u32) -> LoadId {
        self.order += 1;
        LoadId(self.order << KEY_BITS | u64::from(key))
    }

    fn judge_wait(&mut self, read: &ReadRun, now: Tick) {
        let ReadRun { key, process, started, stood, .. } = *read;
        let took = now.since(started).saturating_sub(self.stood(process).saturating_sub(stood));
        self.tally.longest_read = self.tally.longest_read.max(took);
        if took > self.rules.longest_read {
            self.find(Finding::LongRead { key, process, started, took });
        }
    }

    fn judge_load(&mut self, key: u32, process: u32, now: Tick) {
        let Rules { lease, ttl, way, memory, processes, aftermath, .. } = self.rules;
        let trouble_until = self.trouble.map(|trouble| trouble.after(aftermath));
        let Some(state) = self.keys.get(key as usize) else { return };
        // Nothing is known to have revoked the right to load, or the value, of one that began then.
        let stands = |began: Tick| {
            // More than one for each process is what no memory explains.
            let memory = if state.since <= processes { memory } else { Duration::ZERO };
            let touched = state.touched.map(|touched| touched.after(way + memory));
            let revoked = state.open > 0 || touched.is_some_and(|touched| touched >= began);
            !revoked && trouble_until.is_none_or(|until| until < began)
        };
        let beside = state.running.iter().find(|first| stands(first.began) && now.since(first.began) < lease);
        let finding = match (beside, state.loaded) {
            (Some(first), _) => Finding::Beside { key, process, now, other: first.process, other_began: first.began },
            (None, Some((loaded, by))) if stands(loaded) && now.since(loaded) < ttl => {
                Finding::Again { key, process, now, other: by, other_began: loaded }
            }
            (None, _) => return,
        };
        self.find(finding);
    }

    fn find(&mut self, finding: Finding) {
        match finding {
            Finding::Stale { .. } => self.tally.stale += 1,
            Finding::Beside { .. } | Finding::Again { .. } => self.tally.double_loads += 1,
            Finding::LongRead { .. } | Finding::LongInvalidation { .. } => self.tally.unbounded_waits += 1,
            Finding::Unknown { .. } => self.tally.unknown += 1,
        }
        if self.findings.len() < KEPT {
            self.findings.push(finding);
        }
    }
}

impl LoadRun {
    /// The number of its value.
    pub fn id(&self) -> LoadId {
        self.id
    }

    /// The source has answered.
    pub fn ends(mut self, end: LoadEnd) -> LoadId {
        self.end(end);
        self.id
    }

    fn end(&mut self, end: LoadEnd) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let now = self.monitor.clock.now();
        let mut state = self.monitor.state();
        if !self.is_judged {
            let until = if end == LoadEnd::Cancelled { now.after(state.rules.aftermath) } else { now };
            if let Some(state) = state.key(key_of(self.id)) {
                state.given_up(until);
            }
            return;
        }
        if end == LoadEnd::Cancelled {
            state.trouble_until(now);
        }
        if let Some(state) = state.key(key_of(self.id)) {
            state.load_ends(self.id, end);
        }
    }
}

impl Drop for LoadRun {
    fn drop(&mut self) {
        self.end(LoadEnd::Cancelled);
    }
}

impl InvalidationRun {
    /// Its future has ended, with whatever answer.
    pub fn answered(&self) {
        let now = self.monitor.clock.now();
        let mut state = self.monitor.state();
        let stood = state.stood(self.process).saturating_sub(self.stood);
        let took = now.since(self.at).saturating_sub(stood);
        if took > state.rules.longest_invalidation {
            state.find(Finding::LongInvalidation {
                key: self.keys.start,
                process: self.process,
                called: self.at,
                took,
            });
        }
    }

    /// It has returned `Ok`, or what was pending of it is known to be done: the promise holds from here on.
    pub fn is_done(mut self) {
        self.is_done = true;
        let now = self.monitor.clock.now();
        let mut state = self.monitor.state();
        state.tally.invalidations += 1;
        for key in self.keys.clone() {
            if let Some(state) = state.key(key) {
                state.invalidated(self.process, self.called, now);
            }
        }
    }
}

impl Drop for InvalidationRun {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut state = self.monitor.state();
        let until = self.monitor.clock.now().after(state.rules.aftermath);
        for key in self.keys.clone() {
            if let Some(state) = state.key(key) {
                state.given_up(until);
            }
        }
    }
}

/// The key of a value.
fn key_of(value: LoadId) -> u32 {
    (value.0 & ((1 << KEY_BITS) - 1)) as u32
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Monitor({})", self.tally())
    }
}

impl fmt::Debug for LoadRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoadRun({:?})", self.id)
    }
}

impl fmt::Debug for InvalidationRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidationRun({:?} at {:?})", self.keys, self.at)
    }
}
