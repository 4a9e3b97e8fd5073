//! Observation: what happened, counted, told to whoever asks, and logged where it is trouble.
//!
//! Invariant: no argument and no value is ever told; a key shows as its namespace and its hash.

mod cells;
mod complaints;
mod counters;
mod stats;

use std::fmt;

use crate::backend::NodeStats;

pub(crate) use complaints::Complaints;
pub(crate) use counters::Counters;
pub use counters::{Count, Counts};
pub use stats::Stats;

/// Is told what happens in the regions of a registry, as it happens. Near hits are only counted.
///
/// Implementations are called on the caller's path, sometimes under a lock of the framework: they must be quick, must
/// not panic, and must not call back into the cache.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);

    /// What is known of a node of a region's far tier. It is told when a request fails, and again at the look-ups that
    /// follow until all nodes are in use, at most once a second for each region; at other times
    /// [`Stats::nodes`] has it.
    fn observe_node(&self, region: &str, node: &NodeStats) {
        let _nobody_asks = (region, node);
    }
}

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event<'a> {
    /// What happened.
    pub what: Count,
    /// In which region.
    pub region: &'a str,
    /// In which namespace; empty where the whole region is meant.
    pub namespace: &'a str,
    /// More about it, such as the reason or an error; it names no argument.
    pub detail: Option<fmt::Arguments<'a>>,
}
