//! Performs the steps of a plan: in the caller's thread ([`blocking`]), or by awaiting ([`tasks`]).
//!
//! The two are twins, line by line: what differs is how they wait. All else is in [`call`], [`others`],
//! [`exchange`] and [`settle`].

pub(crate) mod blocking;
mod call;
mod direct;
mod exchange;
pub(crate) mod many;
mod others;
mod settle;
pub(crate) mod tasks;
mod wait;

#[cfg(all(test, feature = "testkit", feature = "bincode"))]
mod tests;

pub(crate) use call::{Call, Subject};
pub(crate) use direct::{Access, get_async, get_blocking, set_async, set_blocking};
pub use direct::{NotStored, SetOutcome};
pub(crate) use exchange::missing_face;

/// Waits in this thread.
pub(crate) fn pause(clock: &crate::clock::Clock, pause: std::time::Duration) {
    let _ = wait::pause(clock, pause);
}

/// Waits in this task. Whether there was a timer to wait with.
pub(crate) async fn pause_async(clock: &crate::clock::Clock, pause: std::time::Duration) -> bool {
    wait::pause_async(clock, pause).await.is_ok()
}
