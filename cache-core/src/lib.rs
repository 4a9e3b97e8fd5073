//! The heart of the function-result cache `cache`. Depend on `cache`, not on this crate.
//!
//! The order of the modules is the order of the layers: a module imports only from those above it.

// Words: what everything else speaks of.

pub mod error;

pub mod clock;

mod sync;

pub mod key;

pub mod generation;

pub mod reach;

pub mod policy;

pub mod freshness;

pub mod outcome;

// Doors: what the author of a backend implements, and who is told what happens.

pub mod backend;

pub mod observe;

// The road of bytes.

pub mod record;

// Mind: no I/O, no clock, no executor.

pub mod board;

pub mod plan;

// Hands: one region's parts, and the drivers that perform a plan with them.

#[doc(hidden)]
pub mod state;

#[doc(hidden)]
pub mod wire;

#[doc(hidden)]
pub mod terms;

mod drive;

// House: what a user configures and holds.

pub mod config;

pub mod registry;

pub mod region;

// Porch: what the attribute may touch.

#[doc(hidden)]
pub mod site;

mod serve;

pub mod direct;

#[doc(hidden)]
pub mod rt;

#[cfg(feature = "testkit")]
pub mod testkit;
