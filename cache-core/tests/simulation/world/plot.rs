//! What happens in a run, but for what the seed decides; and what may be left out, to see whether it is missed.

use std::ops::Range;
use std::time::Duration;

pub use cache_core::testkit::{Faults, Loads};
use cache_core::testkit::{OwnReads, Rules};

pub const MILLI: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
/// How long the right to load lasts, and how long anybody waits for somebody else's load.
pub const LEASE: Duration = Duration::from_secs(2);
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Which tiers the region has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiers {
    Near,
    Far,
    Both,
}

pub const SHARED: [Tiers; 2] = [Tiers::Far, Tiers::Both];

/// One way to run.
#[derive(Debug, Clone)]
pub struct Plot {
    pub tiers: Tiers,
    pub processes: u32,
    /// Readers of each process, beside its writer.
    pub readers: usize,
    pub nodes: usize,
    pub keys: u32,
    /// How long each phase lasts.
    pub lasts: Duration,
    /// How long a reader rests at the most, and a writer: a writer that never rests does not write.
    pub read_rest: Duration,
    pub write_rest: Duration,
    /// How long a load takes, at the most.
    pub load: Duration,
    pub ttl: Duration,
    /// How long a value may be served stale, on either policy.
    pub stale: Duration,
    /// How near copies may lag; for a region with both tiers.
    pub max_staleness: Duration,
    /// How long generations are remembered.
    pub remember: Duration,
    pub faults: Faults,
    pub troubles: &'static [Trouble],
    /// How long it is from one trouble to the next, at the most.
    pub every: Duration,
    /// Of a hundred invalidations: how many are of a scope.
    pub scopes: usize,
    /// In how many parts the keys are: an entry has the tag of its part, and one that all have. None: no tags.
    pub parts: u32,
    /// Of a hundred invalidations: how many are of a tag.
    pub tags: usize,
    /// Of a hundred writes: how many set the new value instead.
    pub sets: usize,
    /// Of a hundred reads: how many load in any case.
    pub forced: usize,
    /// Of a hundred reads: how many are of several keys at once.
    pub batches: usize,
    /// Of a hundred reads: how many say themselves how stale a near copy may be.
    pub bounded: usize,
    /// Of a thousand reads: how many hang up midway.
    pub hang_up: usize,
    /// Of a hundred loads: how many fail.
    pub failing: usize,
    pub dropped: Dropped,
    pub nesting: Nesting,
    pub versions: Versions,
    pub phases: &'static [Phase],
    pub loads: Loads,
    pub flaw: Flaw,
}

/// What goes wrong from time to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A node restarts: it is empty, and its CAS numbers begin again.
    Restart,
    /// A node stands still for longer than its clients wait.
    Freeze,
    /// A node cannot be reached for a while.
    Down,
    /// One process cannot reach a node for a while, and the others can.
    Cut,
    Flush,
    /// A node evicts one item.
    Evict,
    /// A node has no room for a while.
    NoRoom,
    /// A process stands still for less than a second, or for five.
    Pause,
    LongPause,
    /// A process is killed, and another one starts.
    Kill,
}

pub const ALL_TROUBLES: &[Trouble] = &[
    Trouble::Restart,
    Trouble::Freeze,
    Trouble::Down,
    Trouble::Cut,
    Trouble::Flush,
    Trouble::Evict,
    Trouble::NoRoom,
    Trouble::Pause,
    Trouble::LongPause,
    Trouble::Kill,
];

/// Whether writers drop their invalidations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    Never,
    /// Each of them where it waits for the so-manieth time.
    AtWait(usize),
    /// Some, at any time.
    Sometimes,
}

/// Whether there is a function that calls another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    None,
    One,
}

/// Whether the processes run the same version of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    Same,
    /// Some keep another type in the slot, some are of a later version.
    Several,
}

/// For how long a list of nodes is in force: all processes end when a phase does, and others start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    pub nodes: &'static [usize],
    pub epoch: u32,
}

pub const ONE_PHASE: &[Phase] = &[Phase { nodes: &[], epoch: 0 }];
/// A node is taken out of the list and comes back with what it held, and the operator raises `epoch`.
pub const OUT_AND_IN: &[Phase] =
    &[Phase { nodes: &[0, 1], epoch: 0 }, Phase { nodes: &[0], epoch: 0 }, Phase { nodes: &[0, 1], epoch: 1 }];

/// A rule that is left out, to see whether it is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// R3: a fill passes whatever stands there, by a CAS that is read when the load is over.
    Unfenced,
    /// R3: a `set` is a plain write.
    UnfencedSet,
    /// R4: the generations that are told never change.
    Generations,
    /// R4: the generations of tags that are told never change.
    TagGenerations,
    /// R4: records are made under the generations after their load.
    GenerationsAfterLoad,
    /// R2: every verdict says *held*.
    EveryVerdictHeld,
    /// R1: a proof is dated when the reply is handled, not when the request was sent.
    LateProof,
    /// R5: check and put are two steps, so that a put comes a while after its check. It comes after the landing too.
    LatePut,
    /// R5: the near copy is dropped a while before the key is void, and not again.
    DropBeforeVoid,
    /// R5: the near copy is dropped before the far tier is told, and not again.
    DropFirst,
    /// The operator does not raise `epoch` for a node that comes back.
    SameEpoch,
    /// R1: what a call asks for itself is left out of its terms.
    Unbounded,
    /// A load's calls of other functions are read as any call is.
    LaxNesting,
    /// Remembered generations reject.
    MemoryRejects,
    /// R6: whoever meets a dead record takes it.
    EveryTakeWins,
    /// An invalidation that has not reached its node is said to be done.
    PendingIsDone,
    /// Now and then the far tier answers after a minute.
    SlowAnswers,
}

impl Plot {
    /// Two processes, one node, a few keys, delays and no faults.
    pub fn calm(tiers: Tiers) -> Self {
        Plot {
            tiers,
            // What is in memory alone is promised within its process.
            processes: if tiers == Tiers::Near { 1 } else { 2 },
            readers: if tiers == Tiers::Near { 6 } else { 3 },
            nodes: 1,
            keys: 2,
            lasts: 4 * SECOND,
            read_rest: 30 * MILLI,
            write_rest: 250 * MILLI,
            load: 40 * MILLI,
            ttl: 60 * SECOND,
            stale: Duration::ZERO,
            max_staleness: 300 * MILLI,
            remember: Duration::ZERO,
            faults: Faults::delays(),
            troubles: &[],
            every: 250 * MILLI,
            scopes: 15,
            parts: 0,
            tags: 0,
            sets: 0,
            forced: 0,
            batches: 0,
            bounded: 0,
            hang_up: 0,
            failing: 0,
            dropped: Dropped::Never,
            nesting: Nesting::None,
            versions: Versions::Same,
            phases: ONE_PHASE,
            loads: Loads::Once,
            flaw: Flaw::None,
        }
    }

    /// The same with everything that can go wrong: lost and late requests, troubles, callers that hang up, loads that fail.
    pub fn rough(tiers: Tiers) -> Self {
        Plot {
            faults: Faults::losses(),
            troubles: ALL_TROUBLES,
            sets: 10,
            forced: 2,
            hang_up: 50,
            failing: 3,
            dropped: Dropped::Sometimes,
            ..Self::calm(tiers)
        }
    }

    /// The same without this rule.
    pub fn without(&self, flaw: Flaw) -> Self {
        Plot { flaw, ..self.clone() }
    }

    /// What a read asks for itself is at the most this.
    pub fn longest_bound(&self) -> Duration {
        2 * self.max_staleness
    }

    /// The keys of a part.
    pub fn part(&self, part: u32) -> Range<u32> {
        let size = self.keys.div_ceil(self.parts.max(1));
        part * size..((part + 1) * size).min(self.keys)
    }

    /// The tags of a key.
    pub fn tags_of(&self, key: u32) -> Vec<String> {
        let part = (0..self.parts).find(|part| self.part(*part).contains(&key));
        part.map_or_else(Vec::new, |part| vec![format!("part:{part}"), "all".to_owned()])
    }

    fn loses(&self) -> bool {
        let Faults { lose_request, lose_reply, repeat, late, .. } = self.faults;
        lose_request + lose_reply + repeat + late > 0.0
    }

    pub fn rules(&self) -> Rules {
        let Faults { request_delay, reply_delay, pause, io_timeout, late_by, .. } = &self.faults;
        let way = *request_delay.end() + *reply_delay.end() + 4 * *pause + MILLI;
        Rules {
            max_staleness: if self.tiers == Tiers::Both { self.max_staleness } else { Duration::ZERO },
            longest_staleness: if self.tiers == Tiers::Both { self.longest_bound() } else { Duration::ZERO },
            own: OwnReads::AtOnce,
            loads: self.loads,
            // Both tiers count whole seconds, and near copies end a second before their record.
            ttl: self.ttl.saturating_sub(3 * SECOND),
            lease: LEASE.saturating_sub(SECOND),
            way: 2 * way,
            // Where only scopes are invalidated there is a record, and nothing is loaded before its node was asked.
            memory: if self.scopes < 100 { self.remember } else { Duration::ZERO },
            processes: self.processes,
            aftermath: if self.troubles.is_empty() && !self.loses() {
                LEASE
            } else {
                *late_by + *io_timeout + 2 * LEASE
            },
            // A batch may wait for loads here after those elsewhere.
            longest_read: if self.batches > 0 { 2 } else { 1 }
                * if self.troubles.is_empty() && !self.loses() && self.hang_up == 0 {
                    // Two loads, waited for in pauses that are a share of the wait, and some requests.
                    4 * self.load + 24 * way
                } else {
                    // Patience is spent twice, for a load elsewhere and for one here; and each request may time out.
                    2 * PATIENCE + 3 * self.load + 8 * *io_timeout
                },
            // A missing generation is made at most three times.
            longest_invalidation: 4 * *io_timeout + 8 * way,
        }
    }
}
