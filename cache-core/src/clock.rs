//! The monotonic clocks: a precise one, a coarse one for hits, and one that tests set by hand.
//!
//! Invariant: nothing in the framework reads a wall clock, and no two hosts' clocks are ever compared.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// An instant of a [`Clock`]: nanoseconds since an arbitrary start, the same for every thread of the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(u64);

impl Tick {
    /// Before every other instant.
    pub const ZERO: Tick = Tick(0);
    /// After every other instant: what never happens, happens then.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// The instant this many nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Tick(nanos)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This much later; [`Tick::NEVER`] stays, and so does what would lie beyond it.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Tick(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// This much earlier, but not before the clock's start.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Tick(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this instant, or zero if `earlier` is the later one.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Tick::NEVER => f.write_str("never"),
            Tick(nanos) => write!(f, "{:?}", Duration::from_nanos(nanos)),
        }
    }
}

/// Where a registry takes the time from.
#[derive(Clone, Default)]
pub enum Clock {
    /// The system's monotonic clock (`CLOCK_MONOTONIC` on Linux, [`std::time::Instant`] elsewhere).
    #[default]
    System,
    /// A clock that stands still until a test moves it.
    Manual(ManualClock),
}

impl Clock {
    /// Now, precisely. It costs more than a look-up (tens of nanoseconds): never on the path of a near hit.
    pub fn now(&self) -> Tick {
        match self {
            Clock::System => system::now(),
            Clock::Manual(clock) => clock.now(),
        }
    }

    /// An instant just after now (by one to two kernel ticks of 1 to 10 ms), for a few nanoseconds.
    ///
    /// A deadline that is compared with it may be taken as passed a little early, not late: it is rounded *against*
    /// the entry. The kernel moves its coarse clock at each timer interrupt, so only a host that holds that interrupt
    /// back for more than a whole tick while it lets the program run can make this instant lie before now.
    #[inline]
    pub fn now_or_just_after(&self) -> Tick {
        match self {
            Clock::System => system::now_or_just_after(),
            Clock::Manual(clock) => clock.now(),
        }
    }

    /// The hand-set clock, if this is one.
    pub fn manual(&self) -> Option<&ManualClock> {
        match self {
            Clock::System => None,
            Clock::Manual(clock) => Some(clock),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clock::System => f.write_str("System"),
            Clock::Manual(clock) => write!(f, "Manual({:?})", clock.now()),
        }
    }
}

/// A clock that moves only when it is told to, and wakes who waited for the instants it passes.
///
/// Clones share one hand.
#[derive(Clone)]
pub struct ManualClock {
    face: Arc<Mutex<Face>>,
}

struct Face {
    now: Tick,
    next_id: u64,
    sleepers: BTreeMap<(Tick, u64), Waker>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock that shows one hour after its start, so that tests can speak of earlier instants.
    pub fn new() -> Self {
        let now = Tick::ZERO.after(Duration::from_secs(3600));
        ManualClock { face: Arc::new(Mutex::new(Face { now, next_id: 0, sleepers: BTreeMap::new() })) }
    }

    /// What the clock shows.
    pub fn now(&self) -> Tick {
        self.face().now
    }

    /// Moves the clock forward and wakes every sleeper whose instant has come.
    pub fn advance(&self, by: Duration) {
        let mut face = self.face();
        let now = face.now.after(by);
        face.now = now;
        let later = face.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut face.sleepers, later);
        drop(face);
        due.into_values().for_each(Waker::wake);
    }

    /// The earliest instant that somebody sleeps for.
    pub fn next_wake(&self) -> Option<Tick> {
        self.face().sleepers.keys().next().map(|(tick, _)| *tick)
    }

    /// Resolves when the clock shows `until` or more.
    pub fn sleep_until(&self, until: Tick) -> ManualSleep {
        ManualSleep { clock: self.clone(), until, id: None }
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({:?})", self.now())
    }
}

/// The future of [`ManualClock::sleep_until`].
#[derive(Debug)]
pub struct ManualSleep {
    clock: ManualClock,
    until: Tick,
    id: Option<u64>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let mut face = self.clock.face();
        if face.now >= until {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or(face.next_id);
        face.next_id = face.next_id.max(id + 1);
        face.sleepers.insert((until, id), cx.waker().clone());
        drop(face);
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.clock.face().sleepers.remove(&(self.until, id));
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::Tick;
    use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
    use std::sync::OnceLock;

    pub(super) fn now() -> Tick {
        tick(clock_gettime(ClockId::Monotonic))
    }

    /// The kernel's coarse clock shows the last timer tick: now is at most one period later, plus however late that
    /// interrupt comes, for which the second period is.
    #[inline]
    pub(super) fn now_or_just_after() -> Tick {
        static PERIOD: OnceLock<u64> = OnceLock::new();
        let period = *PERIOD.get_or_init(|| tick(clock_getres(ClockId::MonotonicCoarse)).as_nanos());
        Tick::from_nanos(tick(clock_gettime(ClockId::MonotonicCoarse)).as_nanos() + 2 * period)
    }

    #[inline]
    fn tick(time: Timespec) -> Tick {
        // Monotonic time is never negative; a u64 of nanoseconds lasts for five centuries of uptime.
        Tick::from_nanos((time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Tick;
    use std::sync::OnceLock;
    use std::time::Instant;

    pub(super) fn now() -> Tick {
        static START: OnceLock<Instant> = OnceLock::new();
        Tick::ZERO.after(START.get_or_init(Instant::now).elapsed())
    }

    #[inline]
    pub(super) fn now_or_just_after() -> Tick {
        now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_coarse_clock_is_rounded_up_by_no_more_than_two_of_its_periods() {
        // A kernel's period is 1 to 10 ms. How often the clock is ahead depends on how late its interrupts come, but a
        // clock that is rounded down never is, whatever the machine does.
        let clock = Clock::System;
        let mut ahead = 0;
        for _ in 0..100_000 {
            let before = clock.now();
            let coarse = clock.now_or_just_after();
            ahead += usize::from(coarse > clock.now());
            assert!(coarse.since(before) <= Duration::from_millis(20) + clock.now().since(before));
        }
        if cfg!(target_os = "linux") {
            assert!(ahead > 0, "never ahead");
        }
    }

    #[test]
    fn ticks_saturate_at_both_ends() {
        assert_eq!(Tick::NEVER.after(Duration::from_secs(1)), Tick::NEVER);
        assert_eq!(Tick::from_nanos(5).before(Duration::from_secs(1)), Tick::ZERO);
        assert_eq!(Tick::from_nanos(5).since(Tick::from_nanos(9)), Duration::ZERO);
    }

    #[test]
    fn a_manual_clock_wakes_whom_it_passes_and_no_other() {
        let clock = ManualClock::new();
        let start = clock.now();
        let (near, far) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut first = Box::pin(clock.sleep_until(start.after(Duration::from_secs(1))));
        let mut second = Box::pin(clock.sleep_until(start.after(Duration::from_secs(3))));
        let near_waker = Waker::from(near.clone());
        assert!(first.as_mut().poll(&mut Context::from_waker(&near_waker)).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&Waker::from(far.clone()))).is_pending());
        assert_eq!(clock.next_wake(), Some(start.after(Duration::from_secs(1))));

        clock.advance(Duration::from_secs(1));
        assert_eq!((near.0.load(Ordering::SeqCst), far.0.load(Ordering::SeqCst)), (1, 0));
        assert!(first.as_mut().poll(&mut Context::from_waker(&near_waker)).is_ready());
        drop(second);
        assert_eq!(clock.next_wake(), None, "a dropped sleeper is forgotten");
    }
}
