//! The heart of the function-result cache `cache`. Depend on `cache`, not on this crate.
//!
//! The order of the modules is the order of the layers: a module imports only from those above it.

pub mod error;

pub mod clock;

pub mod key;

pub mod generation;

pub mod policy;

pub mod freshness;

pub mod backend;

pub mod record;

#[cfg(feature = "testkit")]
pub mod testkit;

pub mod outcome;

pub mod site;

#[doc(hidden)]
pub mod rt;
