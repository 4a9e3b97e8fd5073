//! Invalidations as values: made at once, done when awaited or waited for, and in the order that loses none (R5).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::slice;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::bound::{Bound, BoundKeys, BoundScope, Whole, all_done};
use crate::backend::{AsyncBytesBackend, BoxFuture, Strength};
use crate::drive;
#[cfg(doc)]
use crate::error::Kind;
use crate::error::Result;
use crate::observe::Count;
use crate::state::RegionState;

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

/// An invalidation of one key, of many, of a namespace, a tag or a region. It is done when it is awaited, or by [`wait`](Invalidate::wait).
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
    Keys(BoundKeys),
    Scope(BoundScope),
}

impl Invalidate {
    pub(crate) fn key(target: Result<Option<Bound>>) -> Self {
        let target = target.map(|bound| {
            bound.map(|Bound { state, namespace, key }| Target::Keys(BoundKeys { state, namespace, keys: vec![key] }))
        });
        Invalidate { target, strength: Strength::Hard, running: None }
    }

    pub(crate) fn keys(target: Result<Option<BoundKeys>>) -> Self {
        let target = target.map(|bound| bound.map(Target::Keys));
        Invalidate { target, strength: Strength::Hard, running: None }
    }

    pub(crate) fn scope(target: Result<Option<BoundScope>>) -> Self {
        let target = target.map(|bound| bound.map(Target::Scope));
        Invalidate { target, strength: Strength::Hard, running: None }
    }

    /// The values may be served while one caller reloads each. For keys; a scope is always invalidated hard.
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
            Target::Keys(bound) => match bound.namespace.scopes.first() {
                Some(region) => backend.invalidate(&bound.far_keys()?, strength, region),
                None => Vec::new(),
            },
            Target::Scope(scope) => match scope.far_keys() {
                Some((scope, region)) => backend.bump(slice::from_ref(&scope), &region),
                None => Vec::new(),
            },
        };
        target.settled(answers)
    }

    /// Begins it, and leaves what is not answered by that to its backend, as the drop of its future does. Where there is
    /// no far tier it is done by then.
    pub(crate) fn leave(mut self) -> Poll<Result<Reached>> {
        Pin::new(&mut self).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// The region, until it is begun; `None` as well if it could not be made, or the region is switched off.
    pub(crate) fn state(&self) -> Option<&Arc<RegionState>> {
        self.target.as_ref().ok()?.as_ref().map(Target::state)
    }

    async fn run(target: Target, strength: Strength, backend: Arc<dyn AsyncBytesBackend>) -> Result<Reached> {
        // Dropped after the answer, or with the future: `md` first, then what is near (R5).
        let _void = Void { target: &target, strength };
        let answers = match &target {
            Target::Keys(bound) => match bound.namespace.scopes.first() {
                Some(region) => backend.invalidate(&bound.far_keys()?, strength, region).await,
                None => Vec::new(),
            },
            Target::Scope(scope) => match scope.far_keys() {
                Some((scope, region)) => backend.bump(slice::from_ref(&scope), &region).await,
                None => Vec::new(),
            },
        };
        target.settled(answers)
    }
}

impl Target {
    fn state(&self) -> &Arc<RegionState> {
        match self {
            Target::Keys(bound) => &bound.state,
            Target::Scope(scope) => &scope.state,
        }
    }

    fn settled(&self, answers: Vec<crate::backend::Invalidated>) -> Result<Reached> {
        let state = self.state();
        let done = all_done(answers, &state.name);
        if let Err(error) = &done {
            let detail = Some(format_args!("{error}"));
            match self {
                Target::Keys(BoundKeys { namespace, .. })
                | Target::Scope(BoundScope { whole: Whole::Namespace(namespace), .. }) => {
                    state.observe(namespace, Count::Pending, detail);
                }
                Target::Scope(_) => state.observe_whole(Count::Pending, detail),
            }
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
            Target::Keys(bound) => bound.void(self.strength),
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
