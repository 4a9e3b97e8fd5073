//! Whether a node is asked, or set aside because it did not answer.
//!
//! A node that refuses connections is set aside at once, and one that times out at the third time running. While it is
//! aside, one caller per `blacklist` asks it, whoever comes first; all others are told at once. Its keys stay its own:
//! moved to a neighbour, they would come back old when it does. A name that several servers answer to is asked by nobody
//! for longer: each of them would answer, and that proves nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::random::random;
use crate::trouble::Trouble;

/// How many timeouts in a row are too many. One may be the caller's own machine; each costs its caller an `io_timeout`.
const TIMEOUTS: u32 = 3;
/// For how long nobody asks a name that several servers have answered to.
const SEVERAL: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(crate) struct Health {
    timeouts: AtomicU32,
    /// Read before the lock is taken, which is hardly ever necessary.
    is_aside: AtomicBool,
    aside: Mutex<Option<Aside>>,
    /// When the last timeout that counts was.
    timed_out: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Aside {
    since: Instant,
    probe_at: Instant,
    /// Until when it stays aside whatever it answers.
    until: Instant,
    why: String,
}

/// What changed by an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// It is asked no more, for this reason.
    SetAside(String),
    /// It is asked again, after so long.
    Back(Duration),
}

impl Health {
    /// Whether the node may be asked at `now`. While it is aside, that is for one caller per `blacklist`.
    pub(crate) fn admit(&self, now: Instant, blacklist: Duration) -> Result<(), Trouble> {
        if !self.is_aside.load(Ordering::Acquire) {
            return Ok(());
        }
        match &mut *self.aside() {
            Some(aside) if now < aside.probe_at => Err(Trouble::SetAside(aside.why.clone())),
            Some(aside) => {
                aside.probe_at = now + jittered(blacklist);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The node answered. The clock is read only if that changes anything.
    pub(crate) fn answered(&self, now: impl FnOnce() -> Instant) -> Change {
        if self.timeouts.load(Ordering::Relaxed) != 0 {
            self.timeouts.store(0, Ordering::Relaxed);
        }
        if !self.is_aside.load(Ordering::Acquire) {
            return Change::Nothing;
        }
        let (now, mut aside) = (now(), self.aside());
        let Some(ended) = aside.take_if(|aside| aside.until <= now) else { return Change::Nothing };
        self.is_aside.store(false, Ordering::Release);
        Change::Back(now.saturating_duration_since(ended.since))
    }

    /// The node was asked, and this came of it.
    pub(crate) fn failed(&self, trouble: &Trouble, now: Instant, blacklist: Duration) -> Change {
        let is_out = match trouble {
            Trouble::Connect(_) | Trouble::TooOld(_) | Trouble::SeveralServers => true,
            Trouble::TimedOut(after) | Trouble::Unreached(after) => self.timed_out(now, *after),
            _ => false,
        };
        if !is_out {
            return Change::Nothing;
        }
        let until = if *trouble == Trouble::SeveralServers { now + SEVERAL } else { now };
        let (why, mut aside) = (trouble.to_string(), self.aside());
        if let Some(aside) = &mut *aside {
            // The probe failed, or one that was sent before.
            if aside.until <= until {
                (aside.until, aside.probe_at, aside.why) = (until, aside.probe_at.max(until), why);
            }
            return Change::Nothing;
        }
        *aside = Some(Aside { since: now, probe_at: until.max(now + jittered(blacklist)), until, why: why.clone() });
        self.is_aside.store(true, Ordering::Release);
        Change::SetAside(why)
    }

    /// A request was not answered for so long; whether that is too often. Those that wait at the same time are told of one
    /// silence, and count once.
    fn timed_out(&self, now: Instant, after: Duration) -> bool {
        let mut last = self.timed_out.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.saturating_duration_since(last) < after) {
            return false;
        }
        *last = Some(now);
        self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS
    }

    /// For how long it has been aside.
    pub(crate) fn aside_for(&self, now: Instant) -> Option<Duration> {
        self.aside().as_ref().map(|aside| now.saturating_duration_since(aside.since))
    }

    fn aside(&self) -> MutexGuard<'_, Option<Aside>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From nine tenths of it to eleven: so that the processes of a service do not all come back at once.
pub(crate) fn jittered(duration: Duration) -> Duration {
    let random = random() as f64 / u64::MAX as f64;
    duration.mul_f64(0.9 + 0.2 * random)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BLACKLIST: Duration = Duration::from_secs(4);

    fn timed_out() -> Trouble {
        Trouble::TimedOut(Duration::from_millis(100))
    }

    #[test]
    fn a_refusal_sets_a_node_aside_and_one_caller_probes_it() {
        let (health, now) = (Health::default(), Instant::now());
        assert!(health.admit(now, BLACKLIST).is_ok());
        let refused = Trouble::Connect("refused".to_owned());
        assert!(matches!(health.failed(&refused, now, BLACKLIST), Change::SetAside(why) if why.contains("refused")));
        assert_eq!(health.failed(&refused, now, BLACKLIST), Change::Nothing, "it is said once");
        let told = health.admit(now + BLACKLIST.mul_f64(0.89), BLACKLIST).unwrap_err().to_string();
        assert!(told.contains("set aside") && told.contains("refused"), "{told}");
        let later = now + BLACKLIST.mul_f64(1.11);
        assert!(health.admit(later, BLACKLIST).is_ok());
        assert!(health.admit(later, BLACKLIST).is_err(), "one is enough");
        assert_eq!(health.aside_for(later), Some(BLACKLIST.mul_f64(1.11)));
        assert_eq!(health.answered(|| later), Change::Back(BLACKLIST.mul_f64(1.11)));
        assert!(health.admit(later, BLACKLIST).is_ok() && health.aside_for(later).is_none());
        assert_eq!(health.answered(|| later), Change::Nothing);
    }

    #[test]
    fn three_timeouts_running_set_a_node_aside() {
        let (health, now) = (Health::default(), Instant::now());
        let at = |tenths: u32| now + tenths * Duration::from_millis(100);
        for round in 0..2 {
            assert_eq!(health.failed(&timed_out(), at(3 * round), BLACKLIST), Change::Nothing);
            assert_eq!(health.failed(&timed_out(), at(3 * round + 1), BLACKLIST), Change::Nothing);
            assert_eq!(health.answered(|| now), Change::Nothing, "an answer in between: not running");
        }
        for tenths in [10, 11] {
            assert_eq!(health.failed(&timed_out(), at(tenths), BLACKLIST), Change::Nothing);
        }
        assert!(matches!(health.failed(&timed_out(), at(12), BLACKLIST), Change::SetAside(_)));
    }

    #[test]
    fn those_who_waited_at_the_same_time_met_one_timeout() {
        let (health, now) = (Health::default(), Instant::now());
        for caller in 0..64 {
            let told = now + caller * Duration::from_millis(1);
            assert_eq!(health.failed(&timed_out(), told, BLACKLIST), Change::Nothing, "caller {caller}");
        }
        assert_eq!(health.failed(&timed_out(), now + Duration::from_millis(100), BLACKLIST), Change::Nothing);
        let third = health.failed(&timed_out(), now + Duration::from_millis(200), BLACKLIST);
        assert!(matches!(third, Change::SetAside(_)));
    }

    #[test]
    fn no_answer_brings_a_name_back_that_several_servers_have() {
        let (health, now) = (Health::default(), Instant::now());
        for trouble in [timed_out(), timed_out(), Trouble::Connect("refused".to_owned()), Trouble::SeveralServers] {
            health.failed(&trouble, now, BLACKLIST);
        }
        let later = now + SEVERAL / 2;
        assert_eq!(health.answered(|| later), Change::Nothing, "one of them has answered");
        health.failed(&Trouble::Connect("refused".to_owned()), later, BLACKLIST);
        let told = health.admit(later, BLACKLIST).unwrap_err().to_string();
        assert!(told.contains("several servers"), "{told}");
        assert!(health.admit(now + SEVERAL, BLACKLIST).is_ok());
        assert_eq!(health.answered(|| now + SEVERAL), Change::Back(SEVERAL));
    }

    #[test]
    fn what_is_not_the_nodes_fault_is_not_held_against_it() {
        let (health, now) = (Health::default(), Instant::now());
        for trouble in [Trouble::Busy(BLACKLIST), Trouble::Late, Trouble::NoGenerations, Trouble::closed(true)] {
            (0..10).for_each(|_| assert_eq!(health.failed(&trouble, now, BLACKLIST), Change::Nothing));
        }
    }

    #[test]
    fn the_jitter_is_a_tenth() {
        for _ in 0..1000 {
            let jittered = jittered(BLACKLIST);
            assert!(jittered >= BLACKLIST.mul_f64(0.9) && jittered <= BLACKLIST.mul_f64(1.1), "{jittered:?}");
        }
    }
}
