//! A simulated far tier: [`SimNodes`] behind a network, and one [`SimFar`] per process that uses them.
//!
//! Invariant: with equal seeds and equal calls everything happens again exactly as before. Time is that of a
//! [`ManualClock`](crate::clock::ManualClock); nothing waits but on it.

mod blocking;
mod client;
mod faults;
mod nodes;
mod operations;
mod pending;
mod pipeline;
mod tasks;

pub use client::SimFar;
pub use faults::{Fate, Faults};
pub use nodes::{Executed, SimNodes};

#[cfg(test)]
mod runs;
#[cfg(test)]
mod tests;
