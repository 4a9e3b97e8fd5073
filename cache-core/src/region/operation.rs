//! Reads and writes of one entry as values: made at once, done when awaited or waited for.
//!
//! The key is written when the operation is made, so arguments are not borrowed; an error of that is told at the end.
//! Where there is no far tier nothing is boxed and nothing waits.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::backend::BoxFuture;
use crate::drive::{self, Access, NotStored, SetOutcome};
#[cfg(doc)]
use crate::error::Kind;
use crate::error::Result;
use crate::wire::{Serde, Wire};

/// Reads what is stored under one key. It is done when it is awaited, or by [`wait`](Get::wait).
///
/// A value that is not fresh is not given, and nothing is loaded. The far tier's trouble is an error here.
#[must_use = "a read does nothing until it is awaited or `.wait()` is called"]
pub struct Get<V, W = Serde> {
    bound: Result<Option<Access>>,
    running: Option<BoxFuture<'static, Result<Option<V>>>>,
    wire: PhantomData<fn() -> W>,
}

impl<V: Clone + Send + Sync + 'static, W: Wire<V>> Get<V, W> {
    pub(crate) fn new(bound: Result<Option<Access>>) -> Self {
        Get { bound, running: None, wire: PhantomData }
    }

    /// A near copy answers only if it was shown to be current no longer than `bound` ago: 0 always asks the far tier.
    /// In a region without both tiers this changes nothing.
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        if let Ok(Some(access)) = &mut self.bound {
            access.max_staleness = Some(bound);
        }
        self
    }

    /// The entry has these tags. A cached function knows its own; by name they must be said, or the far tier's record is
    /// not the one that is looked for.
    pub fn tags<T: fmt::Display>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        tag(&mut self.bound, tags);
        self
    }

    /// Does it in this thread.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`], [`Kind::Key`], [`Kind::Arguments`] in a strict registry, [`Kind::MissingFace`] if the
    /// backend can only be awaited, [`Kind::Backend`] if it failed, [`Kind::Unanswered`] if it did not answer.
    pub fn wait(self) -> Result<Option<V>> {
        match self.bound? {
            Some(access) => drive::get_blocking::<V, W>(access),
            None => Ok(None),
        }
    }
}

impl<V: Clone + Send + Sync + 'static, W: Wire<V>> Future for Get<V, W> {
    type Output = Result<Option<V>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.running.is_none() {
            match std::mem::replace(&mut this.bound, Ok(None)) {
                Ok(Some(access)) => this.running = Some(Box::pin(drive::get_async::<V, W>(access))),
                Ok(None) => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        match &mut this.running {
            Some(running) => running.as_mut().poll(cx),
            None => Poll::Ready(Ok(None)),
        }
    }
}

impl<V, W> fmt::Debug for Get<V, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// Stores a value under one key. It is done when it is awaited, or by [`wait`](Set::wait).
///
/// Like a load it stores nothing that is older than an invalidation: what stands in the slot is read first, and the write
/// is refused if that has changed. In a far tier a value counts from the answer to that read.
#[must_use = "a write does nothing until it is awaited or `.wait()` is called"]
pub struct Set<V, W = Serde> {
    bound: Result<Option<Access>>,
    value: Option<V>,
    running: Option<BoxFuture<'static, Result<SetOutcome>>>,
    wire: PhantomData<fn() -> W>,
}

impl<V: Clone + Send + Sync + 'static, W: Wire<V>> Set<V, W> {
    pub(crate) fn new(bound: Result<Option<Access>>, value: V) -> Self {
        Set { bound, value: Some(value), running: None, wire: PhantomData }
    }

    /// The entry has these tags: an invalidation of one of them makes it unreachable. A cached function knows its own.
    pub fn tags<T: fmt::Display>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        tag(&mut self.bound, tags);
        self
    }

    /// Does it in this thread.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`], [`Kind::Key`], [`Kind::Arguments`] in a strict registry, [`Kind::MissingFace`] if the
    /// backend can only be awaited.
    pub fn wait(self) -> Result<SetOutcome> {
        match (self.bound?, self.value) {
            (Some(access), Some(value)) => drive::set_blocking::<V, W>(access, value),
            _ => Ok(SetOutcome::NotStored(NotStored::Off)),
        }
    }
}

/// Nothing in it is ever pinned but the box.
impl<V, W> Unpin for Set<V, W> {}

impl<V: Clone + Send + Sync + 'static, W: Wire<V>> Future for Set<V, W> {
    type Output = Result<SetOutcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.running.is_none() {
            match (std::mem::replace(&mut this.bound, Ok(None)), this.value.take()) {
                (Ok(Some(access)), Some(value)) => {
                    this.running = Some(Box::pin(drive::set_async::<V, W>(access, value)));
                }
                (Ok(_), _) => return Poll::Ready(Ok(SetOutcome::NotStored(NotStored::Off))),
                (Err(error), _) => return Poll::Ready(Err(error)),
            }
        }
        match &mut this.running {
            Some(running) => running.as_mut().poll(cx),
            None => Poll::Ready(Ok(SetOutcome::NotStored(NotStored::Off))),
        }
    }
}

impl<V, W> fmt::Debug for Set<V, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set").field("bound", &self.bound).finish_non_exhaustive()
    }
}

fn tag<T: fmt::Display>(bound: &mut Result<Option<Access>>, tags: impl IntoIterator<Item = T>) {
    if let Ok(Some(access)) = bound {
        tags.into_iter().for_each(|tag| access.tags.add(format_args!("{tag}")));
    }
}
