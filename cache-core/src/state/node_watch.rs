//! Who is told of the far tier's nodes: the observer, when requests fail, and until they no longer do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::RegionState;
use crate::clock::Tick;

/// How often it is told at most.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct NodeWatch {
    /// A request failed, and since then not all nodes have been in use when they were looked at.
    is_troubled: AtomicBool,
    told: Mutex<Option<Tick>>,
}

impl NodeWatch {
    /// Whether it is time to tell again.
    fn is_due(&self, now: Tick) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_none_or(|told| now.since(told) >= PERIOD);
        if is_due {
            *told = Some(now);
        }
        is_due
    }
}

impl RegionState {
    /// A node answered.
    #[inline]
    pub(crate) fn far_answered(&self) {
        if self.node_watch.is_troubled.load(Ordering::Relaxed) {
            self.tell_of_nodes();
        }
    }

    /// A node did not.
    pub(crate) fn far_failed(&self) {
        if self.observer.is_some() {
            self.node_watch.is_troubled.store(true, Ordering::Relaxed);
            self.tell_of_nodes();
        }
    }

    #[cold]
    fn tell_of_nodes(&self) {
        let (Some(observer), Some(far)) = (&self.observer, &self.far) else { return };
        if !self.node_watch.is_due(self.clock.now()) {
            return;
        }
        let nodes = far.nodes();
        nodes.iter().for_each(|node| observer.observe_node(&self.name, node));
        if nodes.iter().all(|node| node.set_aside_for.is_none()) {
            self.node_watch.is_troubled.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    #[test]
    fn it_is_told_once_a_second() {
        let (clock, watch) = (ManualClock::new(), NodeWatch::default());
        let is_due = || watch.is_due(Clock::Manual(clock.clone()).now());
        assert!(is_due() && !is_due());
        clock.advance(PERIOD - Duration::from_millis(1));
        assert!(!is_due());
        clock.advance(Duration::from_millis(1));
        assert!(is_due() && !is_due());
    }
}
