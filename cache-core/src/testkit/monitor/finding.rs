//! What a monitor finds, and what it counts.

use std::fmt;
use std::time::Duration;

use super::super::history::LoadId;
use crate::clock::Tick;

/// One thing that must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// A read returned what had been invalidated.
    Stale {
        /// The key.
        key: u32,
        /// The process that read.
        process: u32,
        /// When the read was called.
        started: Tick,
        /// When it returned.
        now: Tick,
        /// The number of the moment at which the load of its value began.
        load_began: u64,
        /// The number of the later moment at which the invalidation was called.
        invalidated: u64,
    },
    /// A load began beside another one whose right nobody had revoked.
    Beside {
        /// The key.
        key: u32,
        /// The process that loads.
        process: u32,
        /// When it began.
        now: Tick,
        /// The process whose load ran.
        other: u32,
        /// Since when.
        other_began: Tick,
    },
    /// A load began though an earlier one had given a value that nobody had invalidated.
    Again {
        /// The key.
        key: u32,
        /// The process that loads.
        process: u32,
        /// When it began.
        now: Tick,
        /// The process that had loaded.
        other: u32,
        /// When that load had begun.
        other_began: Tick,
    },
    /// A read took longer than it may.
    LongRead {
        /// The key.
        key: u32,
        /// The process that read.
        process: u32,
        /// When the read was called.
        started: Tick,
        /// How long it took.
        took: Duration,
    },
    /// An invalidation took longer than it may.
    LongInvalidation {
        /// The key, or the first of its keys.
        key: u32,
        /// The process that invalidated.
        process: u32,
        /// When it was called.
        called: Tick,
        /// How long it took.
        took: Duration,
    },
    /// A read returned a value that no load of its key gave.
    Unknown {
        /// The key.
        key: u32,
        /// The process that read.
        process: u32,
        /// The value.
        value: LoadId,
    },
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Reads that returned.
    pub reads: u64,
    /// Loads, without those that were asked for.
    pub loads: u64,
    /// Values that were set, and loads that were asked for.
    pub sets: u64,
    /// Invalidations that are done; that of a scope counts once.
    pub invalidations: u64,
    /// Reads that returned what had been invalidated.
    pub stale: u64,
    /// Loads that nothing explains.
    pub double_loads: u64,
    /// Waits beyond their bound.
    pub unbounded_waits: u64,
    /// Values that nobody loaded.
    pub unknown: u64,
    /// The longest time that a read took, in running time of its process.
    pub longest_read: Duration,
}

impl Tally {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        (self.stale, self.double_loads, self.unbounded_waits, self.unknown) == (0, 0, 0, 0)
    }

    /// Counts what another one has counted.
    pub fn add(&mut self, other: &Tally) {
        let Tally { reads, loads, sets, invalidations, stale, double_loads, unbounded_waits, unknown, longest_read } =
            other;
        self.reads += reads;
        self.loads += loads;
        self.sets += sets;
        self.invalidations += invalidations;
        self.stale += stale;
        self.double_loads += double_loads;
        self.unbounded_waits += unbounded_waits;
        self.unknown += unknown;
        self.longest_read = self.longest_read.max(*longest_read);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { reads, loads, sets, invalidations, stale, double_loads, unbounded_waits, unknown, longest_read } =
            self;
        write!(f, "invalidations={invalidations} reads={reads} loads={loads} sets={sets} stale={stale} ")?;
        write!(f, "double_loads={double_loads} unbounded_waits={unbounded_waits} unknown={unknown} ")?;
        write!(f, "longest_read={longest_read:?}")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Stale { key, process, started, now, load_began, invalidated } => write!(
                f,
                "stale: key {key} read by process {process} from {started:?} to {now:?} returned a load that began at \
                 moment {load_began}, before the invalidation that was called at moment {invalidated}"
            ),
            Finding::Beside { key, process, now, other, other_began } => write!(
                f,
                "double load: key {key} loaded by process {process} at {now:?} while a load of process {other} ran \
                 since {other_began:?}"
            ),
            Finding::Again { key, process, now, other, other_began } => write!(
                f,
                "needless load: key {key} loaded by process {process} at {now:?}, though process {other} had loaded it \
                 since {other_began:?} and nobody had invalidated it"
            ),
            Finding::LongRead { key, process, started, took } => {
                write!(f, "long wait: key {key} read by process {process} at {started:?} took {took:?}")
            }
            Finding::LongInvalidation { key, process, called, took } => {
                write!(f, "long wait: the invalidation of key {key} by process {process} at {called:?} took {took:?}")
            }
            Finding::Unknown { key, process, value } => {
                write!(f, "unknown value: key {key} read by process {process} returned {value:?}")
            }
        }
    }
}
