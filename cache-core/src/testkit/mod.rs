//! For tests: backend suites for authors, a simulated far tier, fault injection.
//!
//! | for | there is |
//! |---|---|
//! | authors of backends | [`object_suite`], [`bytes_suite`], [`async_bytes_suite`]; [`region_suite`] for what callers see |
//! | authors of cached functions | [`assert_distinct_keys`] |
//! | a near tier in tests | [`MapBackend`] |
//! | a far tier in tests | [`SimFar`] over [`SimNodes`], with [`Faults`] |
//! | simulations of several processes | [`SimExecutor`], [`History`], [`check`]; for long ones [`Monitor`] |
//! | clients of memcached | [`meta::SimServer`], and [`meta::rows`] to ask of a real one |
//! | services over a real memcached | [`Proxy`] before it, which does each [`Fault`] to its replies |
//!
//! ```
//! use std::sync::Arc;
//! use cache_core::clock::ManualClock;
//! use cache_core::testkit::{MapBackend, SimFar, SuiteFar, bytes_suite, object_suite};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! object_suite(|| Arc::new(MapBackend::new(1024 * 1024)))?;
//! let report = bytes_suite(|| SuiteFar::of_sim(&SimFar::one_node(1, ManualClock::new())))?;
//! assert!(report.skipped.is_empty(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: nothing here reads a real clock or draws a number that its seed does not give, but for [`Proxy`], which is
//! for real servers.

mod random;

mod executor;

mod history;

mod checker;

mod monitor;

pub mod meta;

mod sim;

mod keys;

mod map_backend;

mod proxy;

mod registry;

mod suites;

pub use crate::registry::{Isolated, isolated, isolated_async};
pub use checker::{Lost, Overlap, Report, check};
pub use executor::{SimExecutor, Stuck, Task, block_on};
pub use history::{
    Events, History, Invalidation, Load, LoadEnd, LoadGuard, LoadId, Moment, Noted, Origin, ReadOf, Returned,
};
pub use keys::assert_distinct_keys;
pub use map_backend::MapBackend;
pub use monitor::{Finding, InvalidationRun, LoadRun, Loads, Monitor, OwnReads, ReadRun, Rules, Tally};
pub use proxy::{Fault, Proxy};
pub use random::Random;
pub use sim::{Executed, Fate, Faults, SimFar, SimNodes};
pub use suites::{
    AsyncSuiteFar, BlockOn, SuiteFar, SuiteReport, Trouble, async_bytes_suite, bytes_suite, object_suite, region_suite,
};
