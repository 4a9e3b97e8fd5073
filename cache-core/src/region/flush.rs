//! Waiting until the far tier has carried out what it was told while it could not be reached.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::backend::BoxFuture;
use crate::clock::Tick;
use crate::drive;
use crate::error::{Error, Kind, Result};
use crate::state::RegionState;

/// How long it waits unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A wait for the pending invalidations of a region's nodes. It begins when it is awaited, or with
/// [`wait`](FlushPending::wait).
///
/// What is pending goes out by itself; this tells when it has. Nodes are shared: what other regions of this process owe
/// them counts too.
#[must_use = "this does nothing until it is awaited or `.wait()` is called"]
pub struct FlushPending {
    state: Result<Option<Arc<RegionState>>>,
    patience: Duration,
    running: Option<BoxFuture<'static, Result<()>>>,
}

impl FlushPending {
    pub(crate) fn new(state: Result<Option<Arc<RegionState>>>) -> Self {
        FlushPending { state, patience: PATIENCE, running: None }
    }

    /// Waits no longer than this; 10 s unless it is said.
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Waits in this thread.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`], and [`Kind::Pending`] if some are pending still.
    pub fn wait(self) -> Result<()> {
        let Some(flush) = Flush::of(self.state?, self.patience) else { return Ok(()) };
        while !flush.is_done()? {
            drive::pause(&flush.state.clock, PAUSE);
        }
        Ok(())
    }
}

impl Future for FlushPending {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if this.running.is_none() {
            let state = match std::mem::replace(&mut this.state, Ok(None)) {
                Ok(state) => state,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let Some(flush) = Flush::of(state, this.patience) else { return Poll::Ready(Ok(())) };
            this.running = Some(Box::pin(async move {
                while !flush.is_done()? {
                    if !drive::pause_async(&flush.state.clock, PAUSE).await {
                        return Err(Error::new(Kind::MissingFace, "there is no timer here to wait with"));
                    }
                }
                Ok(())
            }));
        }
        match &mut this.running {
            Some(running) => running.as_mut().poll(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for FlushPending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlushPending").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// One such wait.
struct Flush {
    state: Arc<RegionState>,
    until: Tick,
}

impl Flush {
    /// `None` for a region that is switched off.
    fn of(state: Option<Arc<RegionState>>, patience: Duration) -> Option<Self> {
        let state = state?;
        let until = state.clock.now().after(patience);
        Some(Flush { state, until })
    }

    fn is_done(&self) -> Result<bool> {
        let pending = self.state.far.as_ref().map_or(0, |far| far.pending());
        if pending > 0 && self.state.clock.now() >= self.until {
            let message =
                format!("invalidations that have not reached their nodes, and are queued and repeated: {pending}");
            return Err(Error::new(Kind::Pending, message).with("region", &*self.state.name));
        }
        Ok(pending == 0)
    }
}
