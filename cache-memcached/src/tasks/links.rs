//! The shared connections of one node: some for each runtime, for a socket of one runtime hangs in another.
//!
//! One carries what is small. Replies come in the order of the requests, so a large value would hold up all that was
//! asked for behind it; large ones have connections of their own, of which each takes the one with the least to do.
//!
//! One that is old, or was unused for long, gets nothing more to do: whoever needs one next makes another. Those who wait
//! on the old one hold it, and it closes when the last of them is gone.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use cache_core::backend::BoxFuture;
use tokio::runtime::{Handle, Id};
use tokio::sync::watch;

use super::link::Link;
use super::queue::Bounds;
use crate::age::{Age, Life};
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
    pub(crate) life: Life,
    pub(crate) bounds: Bounds,
}

#[derive(Debug)]
pub(crate) struct Links {
    node: Arc<Node>,
    settings: LinkSettings,
    runtimes: Arc<Mutex<Runtimes>>,
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
    kept: Option<Kept>,
    /// Where those wait who need it meanwhile.
    connecting: Option<Attempt>,
}

#[derive(Debug)]
struct Kept {
    link: Arc<Link>,
    age: Age,
}

/// What came of connecting, once it has; all who wait for it are told at the same time.
type Attempt = watch::Receiver<Option<Result<Arc<Link>, Trouble>>>;

/// Which slot of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Small,
    Large(usize),
}

impl Links {
    pub(crate) fn new(node: Arc<Node>, settings: LinkSettings) -> Self {
        Links { node, settings, runtimes: Arc::default() }
    }

    /// Waits for a connection of a runtime, and begins to make it unless that is under way. Boxed, as it hardly ever
    /// happens: every look-up would have to make room for it.
    pub(super) fn connected(&self, place: RuntimeSlot, budget: Budget) -> BoxFuture<'_, Result<Arc<Link>, Trouble>> {
        Box::pin(self.connect(place, budget))
    }

    async fn connect(&self, place: RuntimeSlot, budget: Budget) -> Result<Arc<Link>, Trouble> {
        let began = Instant::now();
        let mut attempt = self.attempt(place);
        let bounded =
            async { tokio::time::timeout_at(budget.deadline.into(), attempt.wait_for(Option::is_some)).await };
        match unless_it_panics(bounded).await {
            Some(Ok(Ok(outcome))) => outcome.clone().unwrap_or(Err(Trouble::NoRuntime)),
            // The attempt was dropped: its runtime ends.
            Some(Ok(Err(_))) => Err(Trouble::closed(false)),
            // As where the connection before has just ended.
            Some(Err(_)) if budget.is_mostly_spent(began) => Err(Trouble::Late),
            Some(Err(_)) => Err(Trouble::Unreached(began.elapsed())),
            None => {
                self.runtimes().of(place.0).unusable = true;
                Err(Trouble::NoRuntime)
            }
        }
    }

    /// The attempt that is under way, or a new one. It is a task of its own: a caller that is dropped or has no more time
    /// takes nothing from the others.
    fn attempt(&self, RuntimeSlot(runtime, which): RuntimeSlot) -> Attempt {
        let mut runtimes = self.runtimes();
        let slot = runtimes.of(runtime).slot(which);
        if let Some(attempt) = &slot.connecting
            && attempt.has_changed().is_ok()
        {
            return attempt.clone();
        }
        let known = slot.usable(&self.settings.life, Instant::now()).map(|kept| Ok(kept.link.clone()));
        let (tell, attempt) = watch::channel(known);
        if attempt.borrow().is_some() {
            return attempt;
        }
        slot.connecting = Some(attempt.clone());
        drop(runtimes);
        let (node, settings, all) = (self.node.clone(), self.settings, self.runtimes.clone());
        drop(tokio::spawn(async move {
            let opened =
                while_polled(settings.connect_timeout, Link::open(&node, settings.io_timeout, settings.bounds));
            let outcome = unless_it_panics(opened).await;
            // Declared before the lock, so that they are closed after it is let go of.
            let mut over = Vec::new();
            let mut runtimes = locked(&all);
            let outcome = match outcome {
                Some(Some(Ok(link))) => {
                    let link = Arc::new(link);
                    over = runtimes.keep(runtime, which, link.clone(), &settings.life);
                    Ok(link)
                }
                Some(Some(Err(trouble))) => Err(trouble),
                Some(None) => Err(Trouble::Unreached(settings.connect_timeout)),
                None => {
                    runtimes.of(runtime).unusable = true;
                    Err(Trouble::NoRuntime)
                }
            };
            runtimes.of(runtime).slot(which).connecting = None;
            drop(runtimes);
            drop(over);
            tell.send_replace(Some(outcome));
        }));
        attempt
    }

    /// The connection of the runtime that this is called from, to be used at `now`.
    pub(super) fn known(&self, size: Size, now: Instant) -> Result<Known, Trouble> {
        let id = Handle::try_current().map_err(|_| Trouble::NoRuntime)?.id();
        let mut runtimes = self.runtimes();
        let runtime = runtimes.of(id);
        if runtime.unusable {
            return Err(Trouble::NoRuntime);
        }
        let which = match size {
            Size::Small => Which::Small,
            Size::Large => Which::Large(runtime.least_busy(&self.settings.life, now)),
        };
        Ok(match runtime.slot(which).usable(&self.settings.life, now) {
            Some(kept) => {
                kept.age.used = now;
                Known::Link(kept.link.clone())
            }
            None => Known::None(RuntimeSlot(id, which)),
        })
    }

    fn runtimes(&self) -> MutexGuard<'_, Runtimes> {
        locked(&self.runtimes)
    }
}

fn locked(runtimes: &Mutex<Runtimes>) -> MutexGuard<'_, Runtimes> {
    runtimes.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Keeps this one. What the runtime had that is not used again is given back.
    fn keep(&mut self, runtime: Id, which: Which, link: Arc<Link>, life: &Life) -> Vec<Kept> {
        // Those of runtimes that are gone: a runtime's end is its connections' end.
        self.0.retain(|(id, known)| *id == runtime || known.may_live());
        let (runtime, now) = (self.of(runtime), Instant::now());
        let over = runtime.slots().filter_map(|slot| slot.retire(life, now)).collect();
        runtime.slot(which).kept = Some(Kept { link, age: Age::since(now) });
        over
    }
}

impl Runtime {
    fn slot(&mut self, which: Which) -> &mut Slot {
        match which {
            Which::Small => &mut self.small,
            Which::Large(place) => &mut self.large[place],
        }
    }

    fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.large.iter_mut().chain([&mut self.small])
    }

    /// The place for a large value: the connection with the least to do; one that has yet to be made comes behind one
    /// that is idle.
    fn least_busy(&mut self, life: &Life, now: Instant) -> usize {
        let load = |slot: &mut Slot| slot.usable(life, now).map_or(1, |kept| 2 * kept.link.load());
        (0..FOR_LARGE).min_by_key(|place| load(&mut self.large[*place])).unwrap_or_default()
    }

    fn may_live(&self) -> bool {
        let mut links = self.large.iter().chain([&self.small]).filter_map(|slot| slot.kept.as_ref()).peekable();
        links.peek().is_none() || links.any(|kept| !kept.link.is_ended())
    }
}

impl Slot {
    /// What it has, if that can be used at `now`.
    fn usable(&mut self, life: &Life, now: Instant) -> Option<&mut Kept> {
        self.kept.as_mut().filter(|kept| kept.is_usable(life, now))
    }

    /// What it has, if that cannot.
    fn retire(&mut self, life: &Life, now: Instant) -> Option<Kept> {
        self.kept.take_if(|kept| !kept.is_usable(life, now))
    }
}

impl Kept {
    fn is_usable(&self, life: &Life, now: Instant) -> bool {
        !self.link.is_ended() && life.has(self.age, now)
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

/// The future's output; `None` if it has taken so long. The time is counted in shares, each no more than itself however
/// late its end is seen: what a busy runtime needs to get back to this task is not the node's time.
async fn while_polled<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..SHARES {
        if let Ok(output) = tokio::time::timeout(time / SHARES, future.as_mut()).await {
            return Some(output);
        }
    }
    None
}

/// How many shares a time is counted in.
const SHARES: u32 = 10;

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

#[cfg(test)]
impl Links {
    /// As if time had passed for each of them.
    pub(crate) fn age(&self, change: impl Fn(&mut Age)) {
        let mut runtimes = self.runtimes();
        let slots = runtimes.0.iter_mut().flat_map(|(_, runtime)| runtime.slots());
        slots.filter_map(|slot| slot.kept.as_mut()).for_each(|kept| change(&mut kept.age));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::address::Address;
    use crate::node::NodeSettings;

    #[tokio::test]
    async fn who_came_with_little_time_left_says_nothing_about_the_node() {
        // It is connected to and says nothing.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let settings = NodeSettings { connect_timeout: minute, io_timeout: minute, blacklist: minute };
        let node = Arc::new(Node::new(Address::Tcp { host: "127.0.0.1".to_owned(), port }, settings));
        let bounds = Bounds { requests: 1, bytes: 1 };
        let life = Life { idle_timeout: minute, max_lifetime: None };
        let links = Links::new(node, LinkSettings { connect_timeout: minute, io_timeout: minute, bounds, life });
        let place = || RuntimeSlot(Handle::current().id(), Which::Small);
        let now = Instant::now();
        let spent = Budget { started: now - second, deadline: now };
        assert_eq!(links.connect(place(), spent).await.err(), Some(Trouble::Late));
        let fresh = links.connect(place(), Budget::of(second / 20)).await.err();
        assert!(matches!(fresh, Some(Trouble::Unreached(waited)) if waited >= second / 20), "{fresh:?}");
    }

    #[tokio::test]
    async fn what_a_busy_runtime_takes_is_not_counted() {
        let time = Duration::from_millis(100);
        let kept_waiting = async {
            std::thread::sleep(time * 2);
            tokio::time::sleep(time / 10).await;
        };
        assert_eq!(while_polled(time, kept_waiting).await, Some(()));
        let began = Instant::now();
        assert_eq!(while_polled(time, std::future::pending::<()>()).await, None);
        assert!(began.elapsed() >= time && began.elapsed() < time * 10, "{:?}", began.elapsed());
    }
}
