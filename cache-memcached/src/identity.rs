//! Whether one server answers to a name, or several do.
//!
//! Behind a balanced name an invalidation would reach one server and readers use another. What gives them away is the
//! region's generation: it is a random number that changes and never comes back. A request that was begun when the newer
//! one was known, and is told the older one, was answered by another server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cache_core::clock::Tick;
use cache_core::generation::Generation;
use cache_core::key::FarKey;
use twox_hash::XxHash3_64;

/// Scopes that share a place look at the table behind it more often.
const PLACES: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// The generation seen last, by a hash of the scope: nearly always it is the same again.
    last: [AtomicU64; PLACES],
    known: Mutex<BTreeMap<FarKey, Known>>,
}

#[derive(Debug)]
struct Known {
    current: Generation,
    since: Tick,
    before: Option<Generation>,
}

impl Identity {
    /// A request that was begun at `asked` was told this generation, which is noted at `now`. Whether that proves
    /// several servers.
    pub(crate) fn proves_several(
        &self,
        scope: &FarKey,
        generation: Generation,
        asked: Tick,
        now: impl FnOnce() -> Tick,
    ) -> bool {
        let last = &self.last[XxHash3_64::oneshot(scope.as_str().as_bytes()) as usize % PLACES];
        if last.load(Ordering::Relaxed) == generation.0 {
            return false;
        }
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = all.get_mut(scope) else {
            all.insert(scope.clone(), Known { current: generation, since: now(), before: None });
            return false;
        };
        if known.before == Some(generation) {
            // A reply that was under way while the generation changed proves nothing.
            return asked > known.since;
        }
        if known.current != generation {
            *known = Known { current: generation, since: now(), before: Some(known.current) };
        }
        last.store(generation.0, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use cache_core::clock::{Clock, ManualClock};

    use super::*;

    #[test]
    fn a_generation_that_comes_back_is_another_servers() {
        let (clock, identity) = (ManualClock::new(), Identity::default());
        let now = || {
            clock.advance(Duration::from_millis(1));
            Clock::Manual(clock.clone()).now()
        };
        let (region, other) = (FarKey::new("r").unwrap(), FarKey::new("o").unwrap());
        let saw =
            |scope: &FarKey, generation, asked| identity.proves_several(scope, Generation(generation), asked, now);
        let early = now();
        for generation in [1, 1, 2, 2] {
            assert!(!saw(&region, generation, now()), "it changes");
        }
        assert!(!saw(&other, 1, now()), "another region's");
        assert!(!saw(&region, 1, early), "asked before it changed");
        assert!(!saw(&region, 2, now()));
        assert!(saw(&region, 1, now()), "asked after it changed");
        assert!(saw(&region, 1, now()), "and again");
        assert!(!saw(&region, 3, now()));
    }
}
