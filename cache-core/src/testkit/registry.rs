//! A registry for tests.

use std::sync::Arc;

use super::MapBackend;
use crate::clock::{Clock, ManualClock};
use crate::config::BackendUrl;
use crate::error::Result;
use crate::registry::{OpenContext, Opened, Registry};
use crate::state::Strictness;

impl Registry {
    /// A registry for tests: strict, by a clock that stands still until it is moved, and with every region in memory:
    /// whatever tiers the settings name, and also regions that nobody configured (with a `ttl` of an hour).
    ///
    /// Its scheme `memory` evicts nothing. Put it in force with [`isolated`](super::isolated), or take its regions with
    /// [`Registry::region`].
    pub fn for_tests() -> Self {
        let clock = Clock::Manual(ManualClock::new());
        let registry = Registry::builder().clock(clock).strictness(Strictness::Strict).build_in_memory();
        let open = |_: &BackendUrl, _: &OpenContext| -> Result<Opened> {
            Ok(Opened::Near(Arc::new(MapBackend::new(u64::MAX))))
        };
        // A new registry has no scheme yet, so that this one is not taken.
        let _ = registry.register_scheme("memory", open);
        registry
    }
}
