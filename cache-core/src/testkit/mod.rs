//! For tests: backend suites for authors, a simulated far tier, fault injection.
//!
//! Invariant: nothing here reads a real clock or draws a number that its seed does not give.

mod random;

pub mod meta;

pub use random::Random;
