//! For tests: backend suites for authors, a simulated far tier, fault injection.
//!
//! Invariant: nothing here reads a real clock or draws a number that its seed does not give.

mod random;

pub mod meta;
mod sim;

pub use random::Random;
pub use sim::{Executed, Fate, Faults, SimFar, SimNodes};
