//! For tests: backend suites for authors, a simulated far tier, fault injection.
//!
//! Invariant: nothing here reads a real clock or draws a number that its seed does not give.

mod random;

mod executor;

mod history;

mod checker;

pub mod meta;

mod sim;

mod map_backend;

mod registry;

mod suites;

pub use crate::registry::{Isolated, isolated, isolated_async};
pub use checker::{Lost, Overlap, Report, check};
pub use executor::{SimExecutor, Stuck, Task, block_on};
pub use history::{
    Events, History, Invalidation, Load, LoadEnd, LoadGuard, LoadId, Moment, Noted, Origin, ReadOf, Returned,
};
pub use map_backend::MapBackend;
pub use random::Random;
pub use sim::{Executed, Fate, Faults, SimFar, SimNodes};
pub use suites::{
    AsyncSuiteFar, BlockOn, SuiteFar, SuiteReport, Trouble, async_bytes_suite, bytes_suite, object_suite,
};
