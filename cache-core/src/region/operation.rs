//! Operations as values: made at once, done when awaited or waited for.
//!
//! The key is written when the operation is made, so arguments are not borrowed; an error of that is told at the end.
//! Where there is no far tier nothing is boxed and nothing waits.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::bound::{Bound, BoundScope, all_done};
use crate::backend::{AsyncBytesBackend, BoxFuture, Strength};
use crate::drive::{self, Access, NotStored, SetOutcome};
#[cfg(doc)]
use crate::error::Kind;
use crate::error::Result;
use crate::observe::Count;
use crate::state::RegionState;
use crate::wire::{Serde, Wire};

/// How far an invalidation reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Every process that shares the region's far tier.
    Everyone,
    /// This process: the region is in memory only.
    ThisProcess,
    /// Nothing: the region is switched off.
    Nobody,
}

/// An invalidation of one key, a namespace or a region. It is done when it is awaited, or by [`wait`](Invalidate::wait).
///
/// A future that is dropped after its first poll leaves the invalidation done in this process, and pending where it may
/// not have reached its node.
#[must_use = "an invalidation does nothing until it is awaited or `.wait()` is called"]
pub struct Invalidate {
    target: Result<Option<Target>>,
    strength: Strength,
    running: Option<BoxFuture<'static, Result<Reached>>>,
}

#[derive(Debug, Clone)]
enum Target {
    Key(Bound),
    Scope(BoundScope),
}

impl Invalidate {
    pub(crate) fn key(target: Result<Option<Bound>>) -> Self {
        let target = target.map(|bound| bound.map(Target::Key));
        Invalidate { target, strength: Strength::Hard, running: None }
    }

    pub(crate) fn scope(target: Result<Option<BoundScope>>) -> Self {
        let target = target.map(|bound| bound.map(Target::Scope));
        Invalidate { target, strength: Strength::Hard, running: None }
    }

    /// The value may be served while one caller reloads it. For single keys; a scope is always invalidated hard.
    pub fn soft(mut self) -> Self {
        self.strength = Strength::Soft;
        self
    }

    /// Does it in this thread.
    ///
    /// Under an executor this is one blocking round trip, bounded by the backend's timeouts.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`], [`Kind::Key`], [`Kind::Arguments`] in a strict registry, [`Kind::MissingFace`] if the
    /// backend can only be awaited, [`Kind::Pending`] if it has not reached its node yet.
    pub fn wait(self) -> Result<Reached> {
        let strength = self.strength;
        let Some(target) = self.target? else { return Ok(Reached::Nobody) };
        let _void = Void { target: &target, strength };
        let Some(far) = &target.state().far else { return Ok(Reached::ThisProcess) };
        let Some(backend) = &far.blocking else { return Err(drive::missing_face()) };
        let answers = match &target {
            Target::Key(bound) => match (bound.far_key()?, bound.namespace.scopes.first()) {
                (Some(key), Some(region)) => backend.invalidate(&[key], strength, region),
                _ => Vec::new(),
            },
            Target::Scope(scope) => backend.bump(scope.far_key().as_slice()),
        };
        target.settled(answers)
    }

    async fn run(target: Target, strength: Strength, backend: Arc<dyn AsyncBytesBackend>) -> Result<Reached> {
        // Dropped after the answer, or with the future: `md` first, then what is near (R5).
        let _void = Void { target: &target, strength };
        let answers = match &target {
            Target::Key(bound) => match (bound.far_key()?, bound.namespace.scopes.first()) {
                (Some(key), Some(region)) => backend.invalidate(&[key], strength, region).await,
                _ => Vec::new(),
            },
            Target::Scope(scope) => backend.bump(scope.far_key().as_slice()).await,
        };
        target.settled(answers)
    }
}

impl Target {
    fn state(&self) -> &Arc<RegionState> {
        match self {
            Target::Key(bound) => &bound.state,
            Target::Scope(scope) => &scope.state,
        }
    }

    fn settled(&self, answers: Vec<crate::backend::Invalidated>) -> Result<Reached> {
        let state = self.state();
        let done = all_done(answers, &state.name);
        let namespace = match self {
            Target::Key(bound) => Some(&bound.namespace),
            Target::Scope(scope) => scope.namespace.as_ref(),
        };
        if let (Err(error), Some(namespace)) = (&done, namespace) {
            state.observe(namespace, Count::Pending, Some(format_args!("{error}")));
        }
        done.map(|()| Reached::Everyone)
    }
}

/// Voids the target in this process when it goes.
struct Void<'a> {
    target: &'a Target,
    strength: Strength,
}

impl Drop for Void<'_> {
    fn drop(&mut self) {
        match self.target {
            Target::Key(bound) => bound.void(self.strength),
            Target::Scope(scope) => scope.void(),
        }
    }
}

impl Future for Invalidate {
    type Output = Result<Reached>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Reached>> {
        let this = &mut *self;
        if this.running.is_none() {
            let target = match std::mem::replace(&mut this.target, Ok(None)) {
                Ok(Some(target)) => target,
                Ok(None) => return Poll::Ready(Ok(Reached::Nobody)),
                Err(error) => return Poll::Ready(Err(error)),
            };
            let Some(far) = &target.state().far else {
                drop(Void { target: &target, strength: this.strength });
                return Poll::Ready(Ok(Reached::ThisProcess));
            };
            let Some(backend) = far.tasks.clone() else {
                drop(Void { target: &target, strength: this.strength });
                return Poll::Ready(Err(drive::missing_face()));
            };
            this.running = Some(Box::pin(Self::run(target, this.strength, backend)));
        }
        match &mut this.running {
            Some(running) => running.as_mut().poll(cx),
            None => Poll::Ready(Ok(Reached::Nobody)),
        }
    }
}

impl fmt::Debug for Invalidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidate")
            .field("target", &self.target)
            .field("strength", &self.strength)
            .finish_non_exhaustive()
    }
}

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

    /// Does it in this thread.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`], [`Kind::Key`], [`Kind::Arguments`] in a strict registry, [`Kind::MissingFace`] if the
    /// backend can only be awaited, [`Kind::Backend`] if it failed.
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
