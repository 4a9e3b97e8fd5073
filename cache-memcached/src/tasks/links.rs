//! The shared connections of one node: some for each runtime, for a socket of one runtime hangs in another.
//!
//! One carries what is small. Replies come in the order of the requests, so a large value would hold up all that was
//! asked for behind it; large ones have connections of their own, of which each takes the one with the least to do.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use cache_core::backend::BoxFuture;
use tokio::runtime::{Handle, Id};

use super::link::Link;
use super::queue::Bounds;
use crate::budget::Budget;
use crate::node::Node;
use crate::trouble::Trouble;

/// How many connections a runtime has for large values.
const FOR_LARGE: usize = 3;

/// What a batch carries or asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Large,
}

/// How connections are made and used; see [`Config`](crate::config::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkSettings {
    pub(crate) connect_timeout: Duration,
    pub(crate) io_timeout: Duration,
    pub(crate) bounds: Bounds,
}

#[derive(Debug)]
pub(crate) struct Links {
    node: Arc<Node>,
    settings: LinkSettings,
    runtimes: Mutex<Runtimes>,
}

/// What one runtime has.
#[derive(Debug, Default)]
struct Runtime {
    small: Slot,
    large: [Slot; FOR_LARGE],
    /// It has no reactor or no timer: nothing can be connected from it.
    unusable: bool,
}

#[derive(Debug, Default)]
struct Slot {
    link: Option<Arc<Link>>,
    /// Held by whoever connects; the others wait for it, and a caller that is dropped lets go of it.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

/// Which slot of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Small,
    Large(usize),
}

impl Links {
    pub(crate) fn new(node: Arc<Node>, settings: LinkSettings) -> Self {
        Links { node, settings, runtimes: Mutex::default() }
    }

    /// Makes a connection of a runtime, or waits for whoever is at it. Boxed, as it hardly ever happens: every look-up
    /// would have to make room for it.
    pub(super) fn connected(&self, place: RuntimeSlot, budget: Budget) -> BoxFuture<'_, Result<Arc<Link>, Trouble>> {
        Box::pin(self.connect(place, budget))
    }

    async fn connect(&self, RuntimeSlot(runtime, which): RuntimeSlot, budget: Budget) -> Result<Arc<Link>, Trouble> {
        let connecting = self.runtimes().of(runtime).slot(which).connecting.clone();
        let budget = budget.at_most(self.settings.connect_timeout);
        let connect = async {
            let _turn = connecting.lock().await;
            // Whoever had the turn before may have made one.
            if let Some(link) = self.runtimes().of(runtime).slot(which).usable() {
                return Ok(link.clone());
            }
            let link = Arc::new(Link::open(&self.node, self.settings.io_timeout, self.settings.bounds).await?);
            self.keep(runtime, which, link.clone());
            Ok(link)
        };
        let bounded = async {
            let outcome = tokio::time::timeout_at(budget.deadline.into(), connect).await;
            outcome.unwrap_or_else(|_| Err(Trouble::TimedOut(budget.started.elapsed())))
        };
        match unless_it_panics(bounded).await {
            Some(outcome) => outcome,
            None => {
                self.runtimes().of(runtime).unusable = true;
                Err(Trouble::NoRuntime)
            }
        }
    }

    /// The connection of the runtime that this is called from.
    pub(super) fn known(&self, size: Size) -> Result<Known, Trouble> {
        let id = Handle::try_current().map_err(|_| Trouble::NoRuntime)?.id();
        let mut runtimes = self.runtimes();
        let runtime = runtimes.of(id);
        if runtime.unusable {
            return Err(Trouble::NoRuntime);
        }
        let which = match size {
            Size::Small => Which::Small,
            Size::Large => Which::Large(runtime.least_busy()),
        };
        Ok(match runtime.slot(which).usable() {
            Some(link) => Known::Link(link.clone()),
            None => Known::None(RuntimeSlot(id, which)),
        })
    }

    fn keep(&self, runtime: Id, which: Which, link: Arc<Link>) {
        let mut runtimes = self.runtimes();
        // Those of runtimes that are gone: a runtime's end is its connections' end.
        runtimes.0.retain(|(id, known)| *id == runtime || known.may_live());
        runtimes.of(runtime).slot(which).link = Some(link);
    }

    fn runtimes(&self) -> MutexGuard<'_, Runtimes> {
        self.runtimes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There are one or two as a rule: no map would find them sooner.
#[derive(Debug, Default)]
struct Runtimes(Vec<(Id, Runtime)>);

impl Runtimes {
    fn of(&mut self, id: Id) -> &mut Runtime {
        let known = self.0.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
            self.0.push((id, Runtime::default()));
            self.0.len() - 1
        });
        &mut self.0[known].1
    }
}

impl Runtime {
    fn slot(&mut self, which: Which) -> &mut Slot {
        match which {
            Which::Small => &mut self.small,
            Which::Large(place) => &mut self.large[place],
        }
    }

    /// The place for a large value: the connection with the least to do; one that has yet to be made comes behind one
    /// that is idle.
    fn least_busy(&self) -> usize {
        let load = |place: &usize| self.large[*place].usable().map_or(1, |link| 2 * link.load());
        (0..FOR_LARGE).min_by_key(load).unwrap_or_default()
    }

    fn may_live(&self) -> bool {
        let slots = || self.large.iter().chain([&self.small]);
        slots().all(|slot| slot.link.is_none()) || slots().any(|slot| slot.usable().is_some())
    }
}

impl Slot {
    fn usable(&self) -> Option<&Arc<Link>> {
        self.link.as_ref().filter(|link| !link.is_ended())
    }
}

pub(super) enum Known {
    Link(Arc<Link>),
    /// It has to be made.
    None(RuntimeSlot),
}

/// Which connection of which runtime.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuntimeSlot(Id, Which);

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
