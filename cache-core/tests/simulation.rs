//! Simulated processes under faults, by the drivers as they are shipped: no invalidation is lost, and the checker that
//! says so would notice.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cache_core::backend::{
    AsyncBytesBackend, BoxFuture, Check, Fill, Filled, HandBack, Invalidated, Lease, Read, Recall,
    Returned as HandedBack, Seen, Strength, Take,
};
use cache_core::clock::ManualClock;
use cache_core::error::Result;
use cache_core::generation::{Generation, Generations};
use cache_core::key::FarKey;
use cache_core::testkit::meta::ServerSettings;
use cache_core::testkit::{
    Events, Faults, History, LoadEnd, LoadId, Overlap, Report, Returned, SimExecutor, SimFar, check,
};

use common::*;

/// What the far tier gets wrong, to show that the checker would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// A fill passes whatever stands there: without the fence of its CAS.
    Unfenced,
    /// The generations that are told never change.
    Generations,
    /// A proof is dated when the reply came, not when the request was sent.
    LateProof,
}

/// A far tier with a flaw.
#[derive(Debug)]
struct Flawed {
    far: SimFar,
    clock: ManualClock,
    flaw: Flaw,
}

impl Flawed {
    fn generations(&self, generations: Generations) -> Generations {
        match self.flaw {
            Flaw::Generations => Generations::new(generations.iter().map(|_| Generation(7))),
            _ => generations,
        }
    }

    fn seen(&self, seen: Vec<Result<Seen>>) -> Vec<Result<Seen>> {
        let now = self.clock.now();
        let flaw = |seen: Seen| {
            let proved = if self.flaw == Flaw::LateProof { now } else { seen.proved };
            Seen { generations: self.generations(seen.generations), proved, ..seen }
        };
        seen.into_iter().map(|seen| seen.map(flaw)).collect()
    }
}

impl AsyncBytesBackend for Flawed {
    fn read<'a>(&'a self, read: &'a Read<'a>) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move { self.seen(AsyncBytesBackend::read(&self.far, read).await) })
    }

    fn fill<'a>(&'a self, fills: &'a [Fill<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Filled>>> {
        Box::pin(async move {
            let mut fills = fills.to_vec();
            if self.flaw == Flaw::Unfenced {
                for fill in &mut fills {
                    let (lease, keys) = (Lease::Claim(30 * SECOND), std::slice::from_ref(fill.key));
                    let read = Read { keys, scopes, lease, grace: Duration::ZERO, recall: Recall::Never };
                    let seen = AsyncBytesBackend::read(&self.far, &read).await.pop();
                    fill.token = seen.and_then(Result::ok).and_then(|seen| seen.token).unwrap_or(fill.token);
                }
            }
            let answers = AsyncBytesBackend::fill(&self.far, &fills, scopes).await;
            let now = self.clock.now();
            let flaw = |filled: Filled| {
                let proved = if self.flaw == Flaw::LateProof { now } else { filled.proved };
                Filled { generations: self.generations(filled.generations), proved, ..filled }
            };
            answers.into_iter().map(|answer| answer.map(flaw)).collect()
        })
    }

    fn hand_back<'a>(
        &'a self,
        claims: &'a [HandBack<'a>],
        scopes: &'a [FarKey],
    ) -> BoxFuture<'a, Vec<Result<HandedBack>>> {
        Box::pin(async move {
            let answers = AsyncBytesBackend::hand_back(&self.far, claims, scopes).await;
            let flaw = |back: HandedBack| HandedBack { generations: self.generations(back.generations), ..back };
            answers.into_iter().map(|answer| answer.map(flaw)).collect()
        })
    }

    fn take<'a>(&'a self, takes: &'a [Take<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move { self.seen(AsyncBytesBackend::take(&self.far, takes, scopes).await) })
    }

    fn validate<'a>(&'a self, keys: &'a [FarKey], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Check>>> {
        AsyncBytesBackend::validate(&self.far, keys, scopes)
    }

    fn invalidate<'a>(
        &'a self,
        keys: &'a [FarKey],
        strength: Strength,
        region: &'a FarKey,
    ) -> BoxFuture<'a, Vec<Invalidated>> {
        AsyncBytesBackend::invalidate(&self.far, keys, strength, region)
    }

    fn bump<'a>(&'a self, scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Invalidated>> {
        AsyncBytesBackend::bump(&self.far, scopes)
    }
}

/// One way to run.
#[derive(Debug, Clone)]
struct Plot {
    tiers: Tiers,
    processes: u32,
    nodes: usize,
    keys: usize,
    faults: Faults,
    troubles: Troubles,
    /// How often, in percent, an invalidation is of the whole namespace.
    scopes: usize,
    /// How much longer everybody rests.
    pace: usize,
    writes: usize,
    /// How many readers of a hundred hang up midway.
    hang_up: usize,
    flaw: Flaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Troubles {
    None,
    Many,
}

/// One simulated process.
struct Actor {
    number: u32,
    process: Process,
    history: History,
    executor: SimExecutor,
    plot: Plot,
}

impl Actor {
    fn below(&self, end: usize) -> usize {
        self.executor.random_below(end)
    }

    async fn rest(&self, most: usize) {
        let clock = &self.process.clock;
        let time = Duration::from_millis(self.below(most) as u64);
        clock.sleep_until(clock.now().after(time)).await;
    }

    /// Reads one key; some readers hang up midway.
    async fn read(&self) {
        let key = self.below(self.plot.keys);
        let noted = self.history.read_starts(self.number, key.to_string());
        let load = || async {
            let load = self.history.load_begins(self.number, key.to_string());
            let guard = self.history.load_guard(load);
            self.rest(60).await;
            self.history.load_ends(load, LoadEnd::Loaded);
            drop(guard);
            load.0
        };
        let value = self.process.region.get_or_create_value_async("ns", key as u64, load).await;
        self.history.read_ends(noted, Some(LoadId(value)));
    }

    /// The source has changed: what is kept of it is invalidated.
    async fn write(&self) {
        let region = &self.process.region;
        let (keys, operation) = match self.below(100) {
            n if n < self.plot.scopes => (0..self.plot.keys, region.invalidate_namespace("ns")),
            n if n < self.plot.scopes + self.plot.scopes / 4 => (0..self.plot.keys, region.clear()),
            _ => {
                let key = self.below(self.plot.keys);
                (key..key + 1, region.invalidate("ns", key as u64))
            }
        };
        let noted = self.history.invalidate_called(self.number, keys.map(|key| key.to_string()));
        let returned = if operation.await.is_ok() { Returned::Done } else { Returned::Pending };
        self.history.invalidate_returned(noted, returned);
    }
}

fn run(seed: u64, plot: &Plot) -> Report {
    let events = play(seed, plot);
    let bound = if plot.tiers == Tiers::Both { SECOND } else { Duration::ZERO };
    check(&events, bound)
}

fn play(seed: u64, plot: &Plot) -> Events {
    let network = Network::seeded(seed, plot.nodes, ServerSettings::default());
    let clock = network.clock.clone();
    let executor = SimExecutor::new(seed, clock.clone());
    let history = History::new(clock.clone());
    let running = Rc::new(Cell::new(0));
    let mut clients = Vec::new();
    for number in 0..plot.processes {
        let (flaw, time) = (plot.flaw, clock.clone());
        let wrap: Wrap = Box::new(move |far| Arc::new(Flawed { far, clock: time, flaw }));
        let settings = |settings: cache_core::config::Settings| settings.lease(2 * SECOND);
        let setup = Setup { tasks: Some(wrap), faults: plot.faults.clone(), settings, ..network.setup(plot.tiers) };
        let process = network.process_of(setup);
        clients.push(process.far.clone());
        let actor = Rc::new(Actor {
            number,
            process,
            history: history.clone(),
            executor: executor.clone(),
            plot: plot.clone(),
        });
        for _ in 0..3 {
            let (actor, running) = (actor.clone(), running.clone());
            running.set(running.get() + 1);
            executor.spawn_in(number, format!("reader {number}"), async move {
                for _ in 0..30 {
                    let reading = actor.clone();
                    let read = actor.executor.spawn_in(number, "read", async move { reading.read().await });
                    if actor.below(100) < actor.plot.hang_up {
                        actor.rest(40).await;
                        read.cancel();
                    } else {
                        read.await;
                    }
                    actor.rest(30 * actor.plot.pace).await;
                }
                running.set(running.get() - 1);
            });
        }
        executor.spawn_in(number, format!("writer {number}"), async move {
            for _ in 0..actor.plot.writes {
                actor.rest(200 * actor.plot.pace).await;
                actor.write().await;
            }
        });
    }
    if plot.troubles == Troubles::Many {
        let (nodes, time, choice) = (network.nodes.clone(), clock.clone(), executor.clone());
        let processes = plot.processes as usize;
        executor.spawn("trouble", async move {
            let pause = |millis: u64| time.sleep_until(time.now().after(Duration::from_millis(millis)));
            while running.get() > 0 {
                pause(120).await;
                let node = choice.random_below(nodes.count());
                match choice.random_below(10) {
                    0 | 1 => nodes.restart(node),
                    2 => {
                        nodes.stop(node);
                        pause(300).await;
                        nodes.up(node);
                    }
                    3 => {
                        nodes.down(node);
                        pause(200).await;
                        nodes.up(node);
                    }
                    4 => {
                        let client = &clients[choice.random_below(clients.len())];
                        client.cut(node);
                        pause(300).await;
                        client.mend(node);
                    }
                    5 => choice.stop(choice.random_below(processes) as u32, Duration::from_millis(700)),
                    6 => nodes.server(node).flush_all(),
                    _ => {}
                }
            }
        });
    }
    executor.run().unwrap_or_else(|stuck| panic!("seed {seed}, {plot:?}: {stuck}"));
    history.events()
}

/// Loads that began while another one ran whose right nobody had revoked.
fn unexplained(events: &Events) -> Vec<Overlap> {
    let overlaps = check(events, Duration::ZERO).overlapping.into_iter();
    let revoked = |overlap: &Overlap| {
        let (first, second) = (&overlap.first.1, &overlap.second.1);
        events.invalidations.iter().any(|one| {
            // The right to load is won a reply's way before the load begins.
            let way = Duration::from_millis(10);
            let over = one.returned.is_some_and(|(returned, _)| returned.tick.after(way) < first.began.tick);
            one.keys.contains(&first.key) && one.called < second.began && !over
        })
    };
    overlaps.filter(|overlap| !revoked(overlap)).collect()
}

const SEEDS: u64 = 50;

fn plot(tiers: Tiers) -> Plot {
    Plot {
        tiers,
        processes: 2,
        nodes: 1,
        keys: 1,
        faults: Faults::delays(),
        troubles: Troubles::None,
        scopes: 20,
        pace: 1,
        writes: 12,
        hang_up: 5,
        flaw: Flaw::None,
    }
}

#[test]
fn without_faults_one_key_has_one_load_at_a_time() {
    for tiers in SHARED {
        let (mut shared, mut invalidations) = (0, 0);
        for seed in 0..SEEDS {
            // Not both: who inherits a claim does not ask whether an invalidation elsewhere has ended it.
            for (writes, hang_up) in [(0, 10), (12, 0)] {
                let plot = Plot { writes, hang_up, ..plot(tiers) };
                let events = play(seed, &plot);
                let report = check(&events, if tiers == Tiers::Both { SECOND } else { Duration::ZERO });
                assert!(report.keeps_invalidations(), "seed {seed}, {tiers:?}: {report}");
                assert_eq!(unexplained(&events), [], "seed {seed}, {tiers:?}: {report}");
                shared += report.reads - report.loads.min(report.reads);
                invalidations += report.invalidations;
            }
        }
        assert!(shared > 1000 && invalidations > 1000, "{shared} shared reads, {invalidations} invalidations");
    }
}

#[test]
fn under_faults_no_invalidation_is_lost() {
    for tiers in SHARED {
        for seed in 0..SEEDS {
            let plot = Plot { faults: Faults::losses(), troubles: Troubles::Many, ..plot(tiers) };
            let report = run(seed, &plot);
            assert!(report.keeps_invalidations(), "seed {seed}, {tiers:?}: {report}");
        }
    }
}

#[test]
fn three_processes_on_two_nodes_lose_no_invalidation() {
    for tiers in SHARED {
        for seed in 0..SEEDS / 2 {
            let plot = Plot {
                processes: 3,
                nodes: 2,
                keys: 4,
                faults: Faults::losses(),
                troubles: Troubles::Many,
                ..plot(tiers)
            };
            let report = run(seed, &plot);
            assert!(report.keeps_invalidations(), "seed {seed}, {tiers:?}: {report}");
        }
    }
}

#[test]
fn a_far_tier_with_a_flaw_is_caught() {
    for (flaw, tiers) in [(Flaw::Unfenced, Tiers::Far), (Flaw::Generations, Tiers::Far), (Flaw::LateProof, Tiers::Both)]
    {
        let faults = Faults {
            // A slow way back: what was true at sending is old when it is read.
            reply_delay: Duration::ZERO..=Duration::from_millis(if flaw == Flaw::LateProof { 400 } else { 2 }),
            ..Faults::delays()
        };
        let pace = if flaw == Flaw::LateProof { 10 } else { 1 };
        let plot = Plot { flaw, faults, pace, ..plot(tiers) };
        let caught = (0..SEEDS).find(|seed| !run(*seed, &plot).lost.is_empty());
        assert!(caught.is_some(), "{flaw:?}, and no run of {SEEDS} shows it");
        for seed in 0..=caught.unwrap_or(0) {
            let report = run(seed, &Plot { flaw: Flaw::None, ..plot.clone() });
            assert!(report.keeps_invalidations(), "seed {seed} without {flaw:?}: {report}");
        }
    }
}
