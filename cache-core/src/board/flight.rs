//! One running load, and how it ends for those who wait for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::backend::Object;
use crate::clock::Tick;
use crate::outcome::SharedFailure;
use crate::sync::{Mutex, lock};

/// Who runs a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedBy {
    /// A thread that runs it to its end.
    Thread,
    /// A task, which needs a thread that polls it.
    Task,
}

/// How a flight ended.
#[derive(Clone)]
pub enum Landing {
    /// With a value, current at `proved`: who began to read later may not take it.
    Value {
        /// The value, of the type that the leader's function keeps.
        value: Arc<Object>,
        /// The instant at which it is known to have been current.
        proved: Tick,
    },
    /// With a failure that everybody may have.
    Failed(SharedFailure),
    /// With a failure that only the leader has.
    FailedAlone,
    /// Without an end: the leader panicked or was dropped.
    Abandoned,
    /// It was no load yet, and this one has begun, whose end is theirs who waited.
    Begun(Arc<Flight>),
}

impl fmt::Debug for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Landing::Value { proved, .. } => write!(f, "Value {{ proved: {proved:?} }}"),
            Landing::Failed(_) => f.write_str("Failed"),
            Landing::FailedAlone => f.write_str("FailedAlone"),
            Landing::Abandoned => f.write_str("Abandoned"),
            Landing::Begun(flight) => write!(f, "Begun {{ {flight:?} }}"),
        }
    }
}

/// One running load of one key in this process.
pub struct Flight {
    id: u64,
    began: Tick,
    led_by: LedBy,
    /// The thread that last polled the load, by its number.
    polled_on: AtomicU64,
    /// The flight whose load this one's is part of, if it is one of many keys'.
    part_of: OnceLock<Arc<Flight>>,
    state: Mutex<State>,
}

enum State {
    Loading { waiting: Slab<Waker> },
    Landed(Landing),
}

impl Flight {
    pub(super) fn new(led_by: LedBy, began: Tick) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Flight {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            began,
            led_by,
            polled_on: AtomicU64::new(u64::MAX),
            part_of: OnceLock::new(),
            state: Mutex::new(State::Loading { waiting: Slab::new() }),
        }
    }

    /// The instant before the load began.
    pub fn began(&self) -> Tick {
        self.began
    }

    /// Waits for the end of the flight.
    pub fn follow(self: &Arc<Self>) -> Follow {
        Follow { flight: self.clone(), place: None }
    }

    /// How it has ended, if it has.
    pub(crate) fn landing(&self) -> Option<Landing> {
        match &*lock(&self.state) {
            State::Loading { .. } => None,
            State::Landed(landing) => Some(landing.clone()),
        }
    }

    /// How many wait for it now.
    pub fn followers(&self) -> usize {
        match &*lock(&self.state) {
            State::Loading { waiting } => waiting.len(),
            State::Landed(_) => 0,
        }
    }

    /// The load is the one of `first`: whoever waits for either waits for both.
    pub(crate) fn loads_with(&self, first: &Arc<Flight>) {
        let _ = self.part_of.set(first.clone());
    }

    /// Tells loads apart.
    pub(super) fn id(&self) -> u64 {
        self.part_of.get().map_or(self.id, |first| first.id)
    }

    pub(super) fn led_by(&self) -> LedBy {
        self.led_by
    }

    pub(super) fn polled_on(&self) -> &AtomicU64 {
        self.part_of.get().map_or(&self.polled_on, |first| &first.polled_on)
    }

    pub(super) fn land(&self, landing: Landing) {
        let before = std::mem::replace(&mut *lock(&self.state), State::Landed(landing));
        // Woken outside the lock, which they take at once.
        if let State::Loading { waiting } = before {
            waiting.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flight {} of a {:?} since {:?}", self.id, self.led_by, self.began)
    }
}

/// Resolves with the landing of a flight. It may be awaited by a task or polled by a parked thread.
#[derive(Debug)]
pub struct Follow {
    flight: Arc<Flight>,
    /// Its place among those who wait, from its first poll on.
    place: Option<usize>,
}

impl Future for Follow {
    type Output = Landing;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Landing> {
        let follow = &mut *self;
        match &mut *lock(&follow.flight.state) {
            State::Landed(landing) => Poll::Ready(landing.clone()),
            State::Loading { waiting } => {
                match follow.place.and_then(|place| waiting.get_mut(place)) {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => follow.place = Some(waiting.insert(cx.waker().clone())),
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        if let (Some(place), State::Loading { waiting }) = (self.place, &mut *lock(&self.flight.state)) {
            waiting.try_remove(place);
        }
    }
}
