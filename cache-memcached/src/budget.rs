//! The time that an operation has.

use std::time::{Duration, Instant};

/// When an operation began, and when it must have ended, whatever has to be waited for meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
}

/// An operation, by the name that its spans have, and the time that it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Errand {
    pub(crate) verb: &'static str,
    pub(crate) budget: Budget,
}

impl Errand {
    /// The same, for what is said now and not when the operation began.
    pub(crate) fn continued(self) -> Self {
        Errand { budget: Budget { started: Instant::now(), ..self.budget }, ..self }
    }
}

impl Budget {
    /// From now on, so long.
    pub(crate) fn of(time: Duration) -> Self {
        let started = Instant::now();
        Budget { started, deadline: started + time }
    }

    /// No more than so long, and no longer than this.
    pub(crate) fn at_most(self, time: Duration) -> Self {
        let within = Budget::of(time);
        Budget { deadline: self.deadline.min(within.deadline), ..within }
    }

    /// Whether nothing is left. What is not sent for that reason is not held against the node.
    pub(crate) fn is_spent(self) -> bool {
        self.left(Instant::now()).is_zero()
    }

    /// Whether more than half of it is over. That a node does not answer within the rest says little about it.
    pub(crate) fn is_mostly_spent(self, now: Instant) -> bool {
        self.left(now) < self.left(self.started) / 2
    }

    /// What is left of it.
    pub(crate) fn left(self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}
