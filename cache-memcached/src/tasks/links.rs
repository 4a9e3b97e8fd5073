//! The shared connections of one node: one for each runtime, for a socket of one runtime hangs in another.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Id};

use super::link::Link;
use crate::address::Address;
use crate::batch::Batch;
use crate::node::Node;
use crate::proto::Reply;
use crate::server::Server;
use crate::trouble::Trouble;

#[derive(Debug)]
pub(crate) struct Links {
    node: Arc<Node>,
    address: Address,
    connect_timeout: Duration,
    io_timeout: Duration,
    max_in_flight: usize,
    slots: Mutex<HashMap<Id, Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    link: Option<Arc<Link>>,
    /// Held by whoever connects; the others wait for it, and a caller that is dropped lets go of it.
    connecting: Arc<tokio::sync::Mutex<()>>,
    /// The runtime has no reactor or no timer: nothing can be connected from it.
    unusable: bool,
}

impl Links {
    pub(crate) fn new(
        node: Arc<Node>,
        address: Address,
        connect_timeout: Duration,
        io_timeout: Duration,
        max_in_flight: usize,
    ) -> Self {
        Links { node, address, connect_timeout, io_timeout, max_in_flight, slots: Mutex::default() }
    }

    /// Has one exchange: `batch` is written for the server that will get it, and again for another one if the
    /// connection turns out to have been dead.
    pub(crate) async fn exchange(
        &self,
        deadline: Instant,
        batch: &mut (dyn FnMut(&Server) -> Batch + Send),
    ) -> Result<Vec<Reply>, Trouble> {
        let mut link = self.link(deadline).await?;
        for is_last in [false, true] {
            let batch = batch(link.server());
            if batch.is_empty() {
                return Ok(Vec::new());
            }
            match link.exchange(batch, deadline).await {
                Err(trouble) if trouble.is_dead() && !is_last => link = self.link(deadline).await?,
                outcome => return outcome,
            }
        }
        Err(Trouble::closed(false))
    }

    /// The connection of this runtime, made if there is none.
    async fn link(&self, deadline: Instant) -> Result<Arc<Link>, Trouble> {
        let runtime = Handle::try_current().map_err(|_| no_runtime())?.id();
        let connecting = match self.known(runtime)? {
            Known::Link(link) => return Ok(link),
            Known::Connecting(connecting) => connecting,
        };
        let connect_by = deadline.min(Instant::now() + self.connect_timeout);
        let connect = async {
            let _turn = connecting.lock().await;
            // Whoever had the turn before may have made one.
            if let Known::Link(link) = self.known(runtime)? {
                return Ok(link);
            }
            let link = Arc::new(Link::open(&self.address, self.io_timeout, self.max_in_flight).await?);
            self.node.met(*link.server());
            self.keep(runtime, link.clone());
            Ok(link)
        };
        let started = Instant::now();
        let bounded = async {
            let outcome = tokio::time::timeout_at(connect_by.into(), connect).await;
            outcome.unwrap_or_else(|_| Err(Trouble::TimedOut(started.elapsed())))
        };
        match unless_it_panics(bounded).await {
            Some(outcome) => outcome,
            None => {
                self.slots().entry(runtime).or_default().unusable = true;
                Err(no_runtime())
            }
        }
    }

    fn known(&self, runtime: Id) -> Result<Known, Trouble> {
        let mut slots = self.slots();
        let slot = slots.entry(runtime).or_default();
        if slot.unusable {
            return Err(no_runtime());
        }
        Ok(match slot.link.as_ref().filter(|link| !link.is_ended()) {
            Some(link) => Known::Link(link.clone()),
            None => Known::Connecting(slot.connecting.clone()),
        })
    }

    fn keep(&self, runtime: Id, link: Arc<Link>) {
        let mut slots = self.slots();
        // Those of runtimes that are gone: a runtime's end is its connections' end.
        slots.retain(|id, slot| *id == runtime || slot.link.as_ref().is_none_or(|link| !link.is_ended()));
        slots.entry(runtime).or_default().link = Some(link);
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Id, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Known {
    Link(Arc<Link>),
    Connecting(Arc<tokio::sync::Mutex<()>>),
}

fn no_runtime() -> Trouble {
    Trouble::Connect("memcached is awaited under tokio only, with its I/O and its timer switched on".to_owned())
}

/// The future's output; `None` if it panics. tokio does not tell whether a runtime has its reactor and its timer
/// switched on, but by panicking.
async fn unless_it_panics<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}
