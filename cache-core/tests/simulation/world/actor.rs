//! One simulated process: what its readers and its writer do.

use std::future::Future;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cache_core::policy::OwnPolicy;
use cache_core::region::{Invalidate, Region};
use cache_core::rt::{
    self, KeyBuffer, OutcomeOfOther, OutcomeOfResult, Returns, Serde, SharingOfOther, Site, SiteSpec, TagList, Terms,
};
use cache_core::testkit::{InvalidationRun, LoadEnd, LoadId, SimFar};
use serde::{Deserialize, Serialize};

use super::World;
use super::far::setting;
use super::near::FlawedNear;
use super::plot::{Dropped, Flaw, MILLI, Nesting, Plot, SECOND, Tiers, Versions};

pub struct Actor {
    pub number: u32,
    pub world: Rc<World>,
    pub region: Region,
    pub far: SimFar,
    pub near: Arc<FlawedNear>,
}

/// What a later version keeps, or one that keeps another type: the number of its load, and more.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Wide {
    load: u64,
    more: [u8; 3],
}

static PLAIN: Site = Site::new(SiteSpec {
    function: "sim::plain",
    namespace: "ns",
    arguments: &["n"],
    version: 0,
    policy: OwnPolicy::NONE,
});
static LATER: Site = Site::new(SiteSpec {
    function: "sim::later",
    namespace: "ns",
    arguments: &["n"],
    version: 1,
    policy: OwnPolicy::NONE,
});
static OTHER: Site = Site::new(SiteSpec {
    function: "sim::other",
    namespace: "ns",
    arguments: &["n"],
    version: 0,
    policy: OwnPolicy::NONE,
});

/// The source said no.
struct Failed;

impl Actor {
    pub async fn reads(self: Rc<Self>) {
        let plot = &self.world.plot;
        while self.world.goes_on() {
            let hangs_up = plot.hang_up > 0 && self.world.below(1000) < plot.hang_up;
            let read = async {
                match plot.nesting {
                    _ if self.one_in_hundred(plot.batches) => self.read_many().await,
                    Nesting::One if self.world.below(2) == 0 => self.read_outer().await,
                    _ => self.read().await,
                }
            };
            if hangs_up {
                let time = self.up_to(2 * plot.load);
                HangUp { future: pin!(read), waits: usize::MAX, after: pin!(self.world.sleep(time)) }.await;
                self.world.monitor.trouble();
            } else {
                read.await;
            }
            self.rest(plot.read_rest).await;
        }
    }

    pub async fn writes(self: Rc<Self>) {
        let plot = &self.world.plot;
        while self.world.goes_on() {
            self.rest(plot.write_rest).await;
            match plot.nesting {
                _ if self.one_in_hundred(plot.sets) => self.set().await,
                Nesting::One => self.write_nested().await,
                Nesting::None => self.write().await,
            }
        }
    }

    async fn read(&self) {
        let World { monitor, plot, .. } = &*self.world;
        let key = self.any_key();
        let bound = self.one_in_hundred(plot.bounded).then(|| self.up_to(plot.longest_bound()));
        let run = match bound {
            Some(bound) if plot.tiers == Tiers::Both => monitor.read_starts_within(self.number, key, bound),
            _ => monitor.read_starts(self.number, key),
        };
        match self.get(key, bound).await {
            Ok(value) => monitor.read_ends(run, value),
            Err(Failed) => monitor.read_fails(run),
        }
    }

    /// Several keys at once: what is missing is loaded together, and fails together.
    async fn read_many(&self) {
        let World { monitor, plot, .. } = &*self.world;
        let keys: Vec<u32> = (0..plot.keys).filter(|_| self.world.below(2) == 0).collect();
        let reads: Vec<_> = keys.iter().map(|key| monitor.read_starts(self.number, *key)).collect();
        let load = |missing: Vec<u64>| async move {
            let begin = |key: &u64| (*key, monitor.load_begins(self.number, *key as u32));
            let loads: Vec<_> = missing.iter().map(begin).collect();
            self.rest(plot.load).await;
            let end = if self.one_in_hundred(plot.failing) { LoadEnd::Failed } else { LoadEnd::Loaded };
            let loaded: Vec<_> = loads.into_iter().map(|(key, run)| (key, run.ends(end).0)).collect();
            if end == LoadEnd::Loaded { Ok(loaded) } else { Err(Failed) }
        };
        let ids = keys.iter().map(|key| u64::from(*key));
        match self.region.get_or_create_multi_async("ns", ids, load).await {
            Ok(values) => {
                let found = values.into_iter().map(|value| LoadId(value.unwrap_or_default()));
                reads.into_iter().zip(found).for_each(|(read, value)| monitor.read_ends(read, value));
            }
            Err(Failed) => reads.into_iter().for_each(|read| monitor.read_fails(read)),
        }
    }

    async fn get(&self, key: u32, bound: Option<Duration>) -> Result<LoadId, Failed> {
        let plot = &self.world.plot;
        let number = u64::from(key);
        match plot.versions {
            Versions::Several if self.number % 3 == 1 => Ok(LoadId(self.call(&LATER, key).await)),
            Versions::Several if self.number % 3 == 2 => Ok(LoadId(self.call(&OTHER, key).await)),
            // Of the type that entries of many keys have.
            _ if plot.batches > 0 => {
                let load = || async { self.load(key, self.one_in_hundred(plot.failing)).await.map(Some) };
                let value: Option<u64> = self.region.get_or_create_async("ns", number, load).await?;
                Ok(LoadId(value.unwrap_or_default()))
            }
            _ => {
                let mut buffer = KeyBuffer::new();
                let mut writer = PLAIN.begin(&mut buffer);
                writer.arg(&number);
                let returns = Returns::<Result<u64, Failed>>::new();
                let forced = self.one_in_hundred(plot.forced);
                let terms = Terms::new(returns, returns.outcome(), (&returns).sharing(), Serde).force(forced);
                let bound = bound.filter(|_| plot.flaw != Flaw::Unbounded);
                let terms = bound.into_iter().fold(terms, |terms, bound| terms.max_staleness(bound));
                let tags = |_: &(), list: &mut TagList| {
                    plot.tags_of(key).iter().for_each(|tag| list.add(format_args!("{tag}")))
                };
                let load = |()| async {
                    if forced {
                        Ok(self.load_anew(key).await)
                    } else {
                        self.load(key, self.one_in_hundred(plot.failing)).await
                    }
                };
                rt::call_async_tagged(&PLAIN, &self.region, &mut writer, terms, tags, (), load).await.map(LoadId)
            }
        }
    }

    /// A load that was asked for: it may run beside others.
    async fn load_anew(&self, key: u32) -> u64 {
        let run = self.world.monitor.set_begins(key);
        self.rest(self.world.plot.load).await;
        run.ends(LoadEnd::Loaded).0
    }

    /// Through a function of its own version, which keeps its own type.
    async fn call(&self, site: &'static Site, key: u32) -> u64 {
        let mut buffer = KeyBuffer::new();
        let mut writer = site.begin(&mut buffer);
        writer.arg(&u64::from(key));
        let returns = Returns::<Wide>::new();
        let terms = Terms::new(returns, (&returns).outcome(), (&returns).sharing(), Serde);
        let load = |()| async {
            let load = self.load(key, false).await.unwrap_or_default();
            Wide { load, more: *b"and" }
        };
        rt::call_async(site, &self.region, &mut writer, terms, (), load).await.load
    }

    async fn load(&self, key: u32, fails: bool) -> Result<u64, Failed> {
        let run = self.world.monitor.load_begins(self.number, key);
        self.rest(self.world.plot.load).await;
        if fails {
            run.ends(LoadEnd::Failed);
            return Err(Failed);
        }
        Ok(run.ends(LoadEnd::Loaded).0)
    }

    /// Reads what a function returns that calls another one. It is judged by its own load, and as old as its part.
    async fn read_outer(self: &Rc<Self>) {
        let World { monitor, plot, .. } = &*self.world;
        let key = self.any_key();
        let outer = self.world.outer(key);
        let run = monitor.read_starts(self.number, outer);
        let as_part = monitor.read_starts(self.number, self.world.part(key));
        let load = || async {
            let run = monitor.load_begins(self.number, outer);
            self.rest(plot.load / 2).await;
            let part = self.get_inner(key).await;
            (run.ends(LoadEnd::Loaded).0, part)
        };
        let (load, part) = self.region.get_or_create_value_async("outer", u64::from(key), load).await;
        monitor.read_ends(run, LoadId(load));
        monitor.read_ends_with_part(as_part, LoadId(part));
    }

    async fn get_inner(self: &Rc<Self>, key: u32) -> u64 {
        let run = self.world.monitor.read_starts(self.number, key);
        let value = if self.world.plot.flaw == Flaw::LaxNesting {
            // In a task of its own, which nobody knows to be part of a load.
            let actor = self.clone();
            self.world.executor.spawn_in(self.number, "part", async move { actor.get(key, None).await }).await
        } else {
            self.get(key, None).await
        };
        let value = value.unwrap_or(LoadId(0));
        self.world.monitor.read_ends(run, value);
        value.0
    }

    /// The source has changed: what is kept of it is invalidated.
    async fn write(&self) {
        let World { monitor, plot, .. } = &*self.world;
        let (keys, operation) = match self.world.below(100) {
            n if n < plot.scopes => (0..plot.keys, self.region.invalidate_namespace("ns")),
            n if n < plot.scopes + plot.scopes / 4 => (0..plot.keys, self.region.clear()),
            n if plot.parts > 0 && n < plot.scopes + plot.scopes / 4 + plot.tags => self.of_a_tag(),
            _ => {
                let key = self.any_key();
                (key..key + 1, self.region.invalidate("ns", u64::from(key)))
            }
        };
        let run = monitor.invalidate_called(self.number, keys.clone());
        let mut buffer = KeyBuffer::new();
        match (plot.flaw, buffer.call("ns", &u64::from(keys.start)).finish()) {
            (Flaw::DropFirst, Ok(near)) => self.near.drop_now(near),
            (Flaw::DropBeforeVoid, Ok(near)) => {
                self.near.drop_now(near);
                self.rest(5 * MILLI).await;
            }
            _ => {}
        }
        self.finish(run, operation).await;
    }

    /// The keys that have it, and its invalidation.
    fn of_a_tag(&self) -> (Range<u32>, Invalidate) {
        let Plot { keys, parts, .. } = self.world.plot;
        match self.world.below(parts as usize + 1) as u32 {
            part if part < parts => (self.world.plot.part(part), self.region.invalidate_tag(format!("part:{part}"))),
            _ => (0..keys, self.region.invalidate_tag("all")),
        }
    }

    /// Of a function and one that calls it, the inner one first.
    async fn write_nested(&self) {
        let key = self.any_key();
        let called = |key| self.world.monitor.invalidate_called(self.number, key..key + 1);
        let both = called(self.world.part(key));
        let (inner, outer) = (u64::from(key), u64::from(key));
        self.finish(called(key), self.region.invalidate("ns", inner)).await;
        self.finish(called(self.world.outer(key)), self.region.invalidate("outer", outer)).await;
        both.is_done();
    }

    /// Does it, or drops it on the way; then waits until it is known to be done.
    async fn finish(&self, run: InvalidationRun, operation: Invalidate) {
        let dropped = match self.world.plot.dropped {
            Dropped::Never => None,
            Dropped::AtWait(waits) => Some((waits, 3600 * SECOND)),
            Dropped::Sometimes if self.one_in_hundred(10) => Some((usize::MAX, self.up_to(5 * MILLI))),
            Dropped::Sometimes => None,
        };
        let answer = match dropped {
            None => Some(operation.await),
            Some((waits, time)) => HangUp { future: pin!(operation), waits, after: pin!(self.world.sleep(time)) }.await,
        };
        run.answered();
        if !matches!(answer, Some(Ok(_))) {
            self.world.monitor.trouble();
            // A client repeats what is pending by itself; the simulated one does so when it is told.
            loop {
                self.far.replay();
                if self.region.flush_pending().within(Duration::ZERO).await.is_ok() {
                    break;
                }
                self.world.sleep(50 * MILLI).await;
            }
        }
        run.is_done();
    }

    async fn set(&self) {
        let key = self.any_key();
        let run = self.world.monitor.set_begins(key);
        let (number, value, tags) = (u64::from(key), run.id().0, self.world.plot.tags_of(key));
        // What came of it is no concern: it is judged by who reads it.
        if self.world.plot.batches > 0 {
            let _ = setting(run.id(), self.region.set("ns", number, Some(value))).await;
        } else {
            let _ = setting(run.id(), self.region.set("ns", number, value).tags(tags)).await;
        }
        run.ends(LoadEnd::Loaded);
    }

    fn any_key(&self) -> u32 {
        self.world.below(self.world.plot.keys as usize) as u32
    }

    fn one_in_hundred(&self, of_hundred: usize) -> bool {
        of_hundred > 0 && self.world.below(100) < of_hundred
    }

    fn up_to(&self, most: Duration) -> Duration {
        self.world.up_to(most)
    }

    async fn rest(&self, most: Duration) {
        self.world.sleep(self.up_to(most)).await;
    }
}

/// A future that is dropped when it has waited so often, or when a time is over.
struct HangUp<'a, F, S> {
    future: Pin<&'a mut F>,
    waits: usize,
    after: Pin<&'a mut S>,
}

impl<F: Future, S: Future<Output = ()>> Future for HangUp<'_, F, S> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waits == 0 {
            return Poll::Ready(None);
        }
        match self.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                self.waits -= 1;
                if self.waits == 0 { Poll::Ready(None) } else { self.after.as_mut().poll(cx).map(|()| None) }
            }
        }
    }
}
