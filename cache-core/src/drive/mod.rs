//! Performs the steps of a plan: in the caller's thread ([`blocking`]), or by awaiting ([`tasks`]).
//!
//! The two are twins, line by line: what differs is how they wait. All else is in [`call`], [`exchange`] and [`settle`].

pub(crate) mod blocking;
mod call;
mod exchange;
mod settle;
pub(crate) mod tasks;
mod wait;

pub(crate) use call::Call;
pub(crate) use wait::block_on;

/// Waits in this thread.
pub(crate) fn pause(clock: &crate::clock::Clock, pause: std::time::Duration) {
    let _ = wait::pause(clock, pause);
}
