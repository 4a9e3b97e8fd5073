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
        let is_over = |since: Instant, most| since.checked_add(most).is_some_and(|end| end <= now);
        !is_over(age.used, self.idle_timeout) && !self.max_lifetime.is_some_and(|most| is_over(age.made, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_ends_at_its_time_and_the_longest_never() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let age = Age::since(now);
        let mut life = Life { idle_timeout: second, max_lifetime: Some(second * 3) };
        assert!(life.has(age, now) && life.has(age, now - second), "whoever began before it was made uses it too");
        assert!(!life.has(age, now + second));
        let used = |seconds| Age { used: now + second * seconds, ..age };
        assert!(life.has(used(1), now + second) && life.has(used(2), now + second * 2));
        assert!(!life.has(used(3), now + second * 3));
        life.max_lifetime = None;
        assert!(life.has(used(3), now + second * 3));
        life.idle_timeout = Duration::MAX;
        assert!(life.has(age, now + second * 1000));
    }
}
