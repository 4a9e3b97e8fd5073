//! Says a cause once a minute, with how often it was left unsaid meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Tick;

/// How long one cause stays unsaid after it was said.
const PERIOD: Duration = Duration::from_secs(60);
/// Causes that are remembered; past it, those whose period is over are forgotten.
const REMEMBERED: usize = 1024;

/// What was complained of lately.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    said: Mutex<HashMap<(&'static str, String), Said>>,
}

#[derive(Debug)]
struct Said {
    at: Tick,
    unsaid: u64,
}

impl Complaints {
    /// `Some(how often it was left unsaid)` if `cause` about `subject` is to be said now.
    pub(crate) fn due(&self, cause: &'static str, subject: &str, now: Tick) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= REMEMBERED {
            said.retain(|_, said| now.since(said.at) < PERIOD);
        }
        match said.get_mut(&(cause, subject.to_owned())) {
            Some(said) if now.since(said.at) < PERIOD => {
                said.unsaid += 1;
                None
            }
            Some(said) => {
                said.at = now;
                Some(std::mem::take(&mut said.unsaid))
            }
            None => {
                said.insert((cause, subject.to_owned()), Said { at: now, unsaid: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once_a_period_with_what_was_left_unsaid() {
        let complaints = Complaints::default();
        let start = Tick::ZERO.after(PERIOD);
        assert_eq!(complaints.due("far_error", "node a", start), Some(0));
        assert_eq!(complaints.due("far_error", "node a", start.after(PERIOD / 2)), None);
        assert_eq!(complaints.due("far_error", "node b", start.after(PERIOD / 2)), Some(0), "another subject");
        assert_eq!(complaints.due("far_error", "node a", start.after(PERIOD)), Some(1));
        assert_eq!(complaints.due("far_error", "node a", start.after(2 * PERIOD)), Some(0));
    }
}
