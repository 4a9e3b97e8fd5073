//! The two ways to wait: a parked thread, and a task.
//!
//! Invariant: no wait is without a bound. A clock that a test sets is waited for by being told, never by sleeping.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::board::{self, Flight, Follow, Landing, WaitsFor};
use crate::clock::{Clock, Tick};

/// The wait for a flight, and the mark that others see meanwhile.
pub(super) struct Wait {
    landing: Follow,
    _seen: WaitsFor,
}

impl Wait {
    pub(super) fn new(flight: &Arc<Flight>, seen: WaitsFor) -> Self {
        Wait { landing: flight.follow(), _seen: seen }
    }
}

impl Future for Wait {
    type Output = Landing;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Landing> {
        Pin::new(&mut self.landing).poll(cx)
    }
}

/// Why a call does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CannotWait {
    /// The task runs where no timer is known.
    NoTimer,
    /// What it would wait for cannot end before the call does.
    WouldNotEnd,
}

/// What came of waiting.
pub(super) type Waited<T> = Result<T, CannotWait>;

/// Waits in this thread for the end of a flight, no longer than `patience`.
pub(super) fn follow(clock: &Clock, wait: Waited<Wait>, patience: Duration) -> Waited<Option<Landing>> {
    wait.map(|wait| block_on_until(clock, clock.now().after(patience), wait))
}

/// Waits in this thread.
///
/// # Errors
///
/// None: it is the twin of [`pause_async`].
pub(super) fn pause(clock: &Clock, pause: Duration) -> Waited<()> {
    block_on_until(clock, clock.now().after(pause), std::future::pending::<()>());
    Ok(())
}

/// Polls `future` in this thread until it is ready. It must be bounded by itself.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        thread::park();
    }
}

fn block_on_until<F: Future + Unpin>(clock: &Clock, until: Tick, future: F) -> Option<F::Output> {
    if let Some(clock) = clock.manual() {
        return block_on(Bounded { future, sleep: Box::pin(clock.sleep_until(until)) });
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let left = until.since(clock.now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits in this task for the end of a flight, no longer than `patience`. What it returns is small: of all that a call
/// may be waiting in, tasks wait in this by the thousand.
pub(super) fn follow_async(
    clock: &Clock,
    wait: Waited<Wait>,
    patience: Duration,
) -> impl Future<Output = Waited<Option<Landing>>> + Send + use<> {
    let bounded = wait.and_then(|future| Ok(Bounded { future, sleep: sleep(clock, patience)? }));
    MayWait(bounded)
}

/// Waits in this task.
pub(super) async fn pause_async(clock: &Clock, pause: Duration) -> Waited<()> {
    sleep(clock, pause)?.await;
    Ok(())
}

/// Awaits `load`; each poll of it is inside `flight`.
pub(super) async fn loading<F: Future>(flight: &Arc<Flight>, load: F) -> F::Output {
    let mut load = pin!(load);
    std::future::poll_fn(|cx| board::loading(flight, || load.as_mut().poll(cx))).await
}

/// A timer of the clock's kind.
type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

fn sleep(clock: &Clock, duration: Duration) -> Waited<Sleep> {
    match clock.manual() {
        Some(clock) => Ok(Box::pin(clock.sleep_until(clock.now().after(duration)))),
        #[cfg(feature = "tokio")]
        None => timer::sleep(duration).map(|sleep| Box::pin(sleep) as Sleep),
        #[cfg(not(feature = "tokio"))]
        None => Err(CannotWait::NoTimer),
    }
}

/// The future's output, or `None` if the sleep is over first.
struct Bounded<F> {
    future: F,
    sleep: Sleep,
}

impl<F: Future + Unpin> Future for Bounded<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.sleep.as_mut().poll(cx).map(|()| None),
        }
    }
}

/// A wait, or why there is none.
struct MayWait<F>(Waited<F>);

impl<F: Future + Unpin> Future for MayWait<F> {
    type Output = Waited<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(wait) => Pin::new(wait).poll(cx).map(Ok),
            Err(cannot) => Poll::Ready(Err(*cannot)),
        }
    }
}

/// tokio's timer, where there is one: asking for it elsewhere would panic.
#[cfg(feature = "tokio")]
mod timer {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use tokio::runtime::{Handle, Id};

    use super::{CannotWait, Waited};

    /// Runtimes that were found to have no timer, so that each is tried once.
    static WITHOUT: Mutex<Vec<Id>> = Mutex::new(Vec::new());

    pub(super) fn sleep(duration: Duration) -> Waited<tokio::time::Sleep> {
        let runtime = Handle::try_current().map_err(|_| CannotWait::NoTimer)?.id();
        if WITHOUT.lock().unwrap_or_else(PoisonError::into_inner).contains(&runtime) {
            return Err(CannotWait::NoTimer);
        }
        // tokio does not tell whether a runtime has its timer switched on, but by panicking.
        catch_unwind(AssertUnwindSafe(|| tokio::time::sleep(duration))).map_err(|_| {
            WITHOUT.lock().unwrap_or_else(PoisonError::into_inner).push(runtime);
            CannotWait::NoTimer
        })
    }
}
