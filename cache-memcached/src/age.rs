//! For how long a connection is used.

use std::time::{Duration, Instant};

/// What of a connection's life counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Age {
    pub(crate) made: Instant,
    pub(crate) used: Instant,
}

/// When it is over; see [`Config`](crate::config::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) idle_timeout: Duration,
    pub(crate) max_lifetime: Option<Duration>,
}

impl Age {
    /// Of one that was made at this time.
    pub(crate) fn since(made: Instant) -> Self {
        Age { made, used: made }
    }
}

impl Life {
    /// Whether a connection of this age is used at `now`.
    pub(crate) fn has(&self, age: Age, now: Instant) -> bool {
        let (idle, old) = (now.saturating_duration_since(age.used), now.saturating_duration_since(age.made));
        idle < self.idle_timeout && self.max_lifetime.is_none_or(|most| old < most)
    }
}
