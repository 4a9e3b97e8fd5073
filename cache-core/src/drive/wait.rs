//! The two ways to wait: a parked thread, and a task.
//!
//! Invariant: no wait is without a bound. A clock that a test sets is waited for by being told, never by sleeping.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::board::{self, Flight, Landing};
use crate::clock::{Clock, ManualClock, ManualSleep, Tick};

/// Waits in this thread for the end of `flight`, no longer than `patience`.
///
/// # Errors
///
/// None: it is the twin of [`follow_async`].
pub(super) fn follow(clock: &Clock, flight: &Arc<Flight>, patience: Duration) -> Result<Option<Landing>, NoTimer> {
    Ok(block_on_until(clock, clock.now().after(patience), flight.follow()))
}

/// Waits in this thread.
///
/// # Errors
///
/// None: it is the twin of [`pause_async`].
pub(super) fn pause(clock: &Clock, pause: Duration) -> Result<(), NoTimer> {
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

fn block_on_until<F: Future>(clock: &Clock, until: Tick, future: F) -> Option<F::Output> {
    if let Some(clock) = clock.manual() {
        return block_on(Either { future: pin!(future), sleep: pin!(clock.sleep_until(until)) });
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

/// Waits in this task for the end of `flight`, no longer than `patience`. `Err` if there is nothing to wait with.
pub(super) async fn follow_async(
    clock: &Clock,
    flight: &Arc<Flight>,
    patience: Duration,
) -> Result<Option<Landing>, NoTimer> {
    let sleep = Sleep::new(clock, patience)?;
    Ok(Either { future: pin!(flight.follow()), sleep: pin!(sleep) }.await)
}

/// Waits in this task.
pub(super) async fn pause_async(clock: &Clock, pause: Duration) -> Result<(), NoTimer> {
    Sleep::new(clock, pause)?.await;
    Ok(())
}

/// Awaits `load`; each poll of it is inside `flight`.
pub(super) async fn loading<F: Future>(flight: &Arc<Flight>, load: F) -> F::Output {
    let mut load = pin!(load);
    std::future::poll_fn(|cx| board::loading(flight, || load.as_mut().poll(cx))).await
}

/// The task runs where no timer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoTimer;

/// A timer of the clock's kind.
enum Sleep {
    Manual(ManualSleep),
    #[cfg(feature = "tokio")]
    Tokio(Pin<Box<tokio::time::Sleep>>),
}

impl Sleep {
    fn new(clock: &Clock, duration: Duration) -> Result<Self, NoTimer> {
        match clock.manual() {
            Some(clock) => Ok(Self::manual(clock, duration)),
            None => Self::system(duration),
        }
    }

    fn manual(clock: &ManualClock, duration: Duration) -> Self {
        Sleep::Manual(clock.sleep_until(clock.now().after(duration)))
    }

    #[cfg(feature = "tokio")]
    fn system(duration: Duration) -> Result<Self, NoTimer> {
        timer::sleep(duration).map(|sleep| Sleep::Tokio(Box::pin(sleep)))
    }

    #[cfg(not(feature = "tokio"))]
    fn system(_duration: Duration) -> Result<Self, NoTimer> {
        Err(NoTimer)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Sleep::Manual(sleep) => Pin::new(sleep).poll(cx),
            #[cfg(feature = "tokio")]
            Sleep::Tokio(sleep) => sleep.as_mut().poll(cx),
        }
    }
}

/// The future's output, or `None` if the sleep is over first.
struct Either<'a, F, S> {
    future: Pin<&'a mut F>,
    sleep: Pin<&'a mut S>,
}

impl<F: Future, S: Future<Output = ()>> Future for Either<'_, F, S> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.sleep.as_mut().poll(cx).map(|()| None),
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

    use super::NoTimer;

    /// Runtimes that were found to have no timer, so that each is tried once.
    static WITHOUT: Mutex<Vec<Id>> = Mutex::new(Vec::new());

    pub(super) fn sleep(duration: Duration) -> Result<tokio::time::Sleep, NoTimer> {
        let runtime = Handle::try_current().map_err(|_| NoTimer)?.id();
        if WITHOUT.lock().unwrap_or_else(PoisonError::into_inner).contains(&runtime) {
            return Err(NoTimer);
        }
        // tokio does not tell whether a runtime has its timer switched on, but by panicking.
        catch_unwind(AssertUnwindSafe(|| tokio::time::sleep(duration))).map_err(|_| {
            WITHOUT.lock().unwrap_or_else(PoisonError::into_inner).push(runtime);
            NoTimer
        })
    }
}
