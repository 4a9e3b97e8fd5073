//! Where one caller is told what came of its batch. A connection uses its slots again and again.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use cache_core::generation::Generation;

use crate::batch::Replied;
use crate::replies::Replies;
use crate::trouble::Trouble;

#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What came for the caller.
    replied: Replied,
    /// Whether that is all, or why it is nothing.
    outcome: Option<Result<(), Trouble>>,
    waker: Option<Waker>,
    is_gone: bool,
}

impl Slot {
    /// The slot again as it was when it was new, but for its memory, if nobody else holds it.
    pub(super) fn used_again(mut self: Arc<Self>) -> Result<Arc<Self>, Arc<Self>> {
        match Arc::get_mut(&mut self) {
            Some(slot) => {
                let state = slot.0.get_mut().unwrap_or_else(PoisonError::into_inner);
                let mut replied = std::mem::take(&mut state.replied);
                replied.clear();
                *state = State { replied, ..State::default() };
                Ok(self)
            }
            None => Err(self),
        }
    }

    /// The caller's end.
    pub(super) fn answer(self: &Arc<Self>) -> Answer {
        Answer(self.clone())
    }

    /// Puts down what has come. Whether the caller still waits for it.
    pub(super) fn put(&self, replies: &mut Replies) -> bool {
        let mut state = self.state();
        replies.take(&mut state.replied.replies);
        if state.is_gone {
            state.replied.clear();
        }
        !state.is_gone
    }

    /// Tells the caller. One who gave up is gone.
    pub(super) fn tell(&self, outcome: Result<impl Iterator<Item = Option<Generation>>, Trouble>) {
        let mut state = self.state();
        state.outcome = Some(outcome.map(|generations| state.replied.generations.extend(generations)));
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the caller is told. Dropped, it leaves the caller's place in the queue behind.
#[derive(Debug)]
pub(super) struct Answer(Arc<Slot>);

impl Answer {
    /// What came, once it has resolved to that.
    pub(super) fn replied<T>(&self, take: impl FnOnce(&mut Replied) -> T) -> T {
        take(&mut self.0.state().replied)
    }
}

impl Future for &mut Answer {
    type Output = Result<(), Trouble>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        let mut state = self.0.state();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_gone = true;
        state.replied.clear();
    }
}

#[cfg(test)]
impl Answer {
    /// What came, if anything did.
    pub(super) fn come(&self) -> Option<Result<(), Trouble>> {
        self.0.state().outcome.take()
    }
}
