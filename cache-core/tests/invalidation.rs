//! Invalidations against running loads, reads and sets: whoever comes after one never sees what was there before it.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cache_core::config::Settings;
use cache_core::error::Kind;
use cache_core::key::{FarKey, KeyPlace, Scope, scope_key};
use cache_core::region::{Invalidate, Reached, SetOutcome};
use cache_core::testkit::meta::Command;
use cache_core::testkit::{Executed, Fate, Faults, block_on};

use common::*;

const MOMENT: Duration = Duration::from_millis(1);

type Call<'a, T = u64> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A load that ends when it is told to.
#[derive(Default)]
struct Gate {
    open: Cell<bool>,
    begun: Cell<bool>,
}

impl Gate {
    async fn load(&self, value: u64) -> u64 {
        self.begun.set(true);
        std::future::poll_fn(|_| if self.open.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        value
    }
}

fn ask(process: &Process, value: u64) -> Call<'_> {
    Box::pin(process.region.get_or_create_value_async("ns", 1, move || async move { value }))
}

fn ask_at<'a>(process: &'a Process, gate: &'a Gate, value: u64) -> Call<'a> {
    Box::pin(process.region.get_or_create_value_async("ns", 1, move || gate.load(value)))
}

fn step<T>(call: &mut Call<'_, T>) -> Poll<T> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn pending<T>(call: &mut Call<'_, T>) {
    assert!(step(call).is_pending());
}

fn finish<T>(process: &Process, call: Call<'_, T>) -> T {
    block_on(&process.clock, call).unwrap()
}

/// Polls all in turn until each has ended.
fn finish_all<T: Clone>(process: &Process, calls: Vec<Call<'_, T>>) -> Vec<T> {
    let mut calls: Vec<_> = calls.into_iter().map(|call| (call, Poll::Pending)).collect();
    for _ in 0..10_000 {
        for (call, value) in calls.iter_mut().filter(|(_, value)| value.is_pending()) {
            *value = step(call);
        }
        process.clock.advance(MOMENT);
    }
    let values = calls.into_iter().map(|(_, value)| match value {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it hangs"),
    });
    values.collect()
}

/// What was invalidated elsewhere may not be served for a moment longer.
fn strict(settings: Settings) -> Settings {
    settings.max_staleness(Duration::ZERO)
}

/// Every way to invalidate the one entry.
const WAYS: [fn(&Process) -> Invalidate; 3] = [
    |process| process.region.invalidate("ns", 1),
    |process| process.region.invalidate_namespace("ns"),
    |process| process.region.clear(),
];

#[test]
fn a_load_that_was_invalidated_here_is_given_to_nobody_who_came_after_and_is_kept_nowhere() {
    for (tiers, way) in ALL.into_iter().flat_map(|tiers| WAYS.map(|way| (tiers, way))) {
        let network = Network::new();
        let (here, there) = (network.process_with(tiers, strict), network.process_with(tiers, strict));
        let gate = Gate::default();
        let mut leader = ask_at(&here, &gate, 1);
        pending(&mut leader);
        network.clock.advance(MOMENT);
        let mut follower = ask(&here, 2);
        pending(&mut follower);
        network.clock.advance(MOMENT);
        assert!(finish(&here, Box::pin(way(&here))).is_ok());
        let mut late = ask(&here, 2);
        if let Poll::Ready(value) = step(&mut late) {
            assert_eq!(value, 2, "{tiers:?}: whoever comes after loads anew, and does not wait for what is void");
            late = Box::pin(std::future::ready(2));
        }
        gate.open.set(true);
        assert_eq!(finish(&here, leader), 1, "the leader has its own value");
        // In memory the void is known here, and the follower came before it.
        let followed = finish(&here, follower);
        assert!(followed == 2 || tiers == Tiers::Near, "{tiers:?}: {followed}");
        assert_eq!(finish(&here, late), 2);
        assert_eq!(finish(&here, ask(&here, 3)), 2, "{tiers:?}: what was void is not kept");
        if tiers != Tiers::Near {
            assert_eq!(finish(&there, ask(&there, 3)), 2, "{tiers:?}: nor far");
        }
    }
}

#[test]
fn a_load_that_was_invalidated_elsewhere_is_its_leaders_alone() {
    for (tiers, way) in SHARED.into_iter().flat_map(|tiers| WAYS.map(|way| (tiers, way))) {
        let network = Network::new();
        let (here, there) = (network.process_with(tiers, strict), network.process_with(tiers, strict));
        let gate = Gate::default();
        let mut leader = ask_at(&here, &gate, 1);
        pending(&mut leader);
        network.clock.advance(MOMENT);
        let mut before = ask(&here, 2);
        pending(&mut before);
        assert_eq!(way(&there).wait().unwrap(), Reached::Everyone);
        network.clock.advance(MOMENT);
        let mut after = ask(&here, 2);
        pending(&mut after);
        gate.open.set(true);
        assert_eq!(finish(&here, leader), 1);
        assert_eq!((finish(&here, before), finish(&here, after)), (2, 2), "{tiers:?}");
        assert_eq!(finish(&here, ask(&here, 3)), 2);
        assert_eq!(finish(&there, ask(&there, 3)), 2);
        assert_eq!(here.count("loads") + there.count("loads"), 2);
    }
}

#[test]
fn whoever_came_before_a_load_began_has_its_value_whatever_the_verdict() {
    for tiers in SHARED {
        let network = Network::new();
        let (here, there) = (network.process_with(tiers, strict), network.process_with(tiers, strict));
        let invalidate = || there.region.invalidate("ns", 1).wait().unwrap();
        let (first, second) = (Gate::default(), Gate::default());
        let mut leader = ask_at(&here, &first, 1);
        pending(&mut leader);
        network.clock.advance(MOMENT);
        let mut waiting = [ask_at(&here, &second, 2), ask_at(&here, &second, 3), ask_at(&here, &second, 4)];
        waiting.iter_mut().for_each(pending);
        invalidate();
        network.clock.advance(MOMENT);
        first.open.set(true);
        assert_eq!(finish(&here, leader), 1);
        waiting.iter_mut().for_each(pending);
        assert!(second.begun.get());
        invalidate();
        network.clock.advance(MOMENT);
        second.open.set(true);
        let values = waiting.map(|call| finish(&here, call));
        assert_eq!(values, [2, 2, 2], "nobody waits for more than two loads");
        assert_eq!(here.count("loads"), 2);
        assert_eq!(finish(&here, ask(&here, 5)), 5, "whoever comes after the second invalidation");
    }
}

#[test]
fn a_read_that_was_overtaken_by_an_invalidation_puts_nothing_near() {
    let network = Network::new();
    let there = network.process(Tiers::Both);
    finish(&there, ask(&there, 1));
    let mut overtaken = 0;
    for steps in 1..8 {
        let setup = Setup { faults: Faults::delays(), ..network.setup(Tiers::Both) };
        let here = network.process_of(setup);
        let mut reading = ask(&here, 9);
        let mut value = Poll::Pending;
        for _ in 0..steps {
            if value.is_pending() {
                value = step(&mut reading);
                network.clock.advance(MOMENT);
            }
        }
        here.region.invalidate("ns", 1).wait().unwrap();
        if value.is_pending() {
            let read = finish(&here, reading);
            overtaken += u64::from(read == 1);
            value = Poll::Ready(read);
        }
        // A read that came behind the invalidation has loaded, and what it loaded is current.
        let current = if value == Poll::Ready(9) { 9 } else { 2 };
        assert_eq!(finish(&here, ask(&here, 2)), current);
        let old = here.region.get::<u64>("ns", 1).wait().unwrap();
        assert_ne!(old, Some(1));
        there.region.invalidate("ns", 1).wait().unwrap();
        finish(&there, ask(&there, 1));
        network.clock.advance(2 * SECOND);
    }
    assert!(overtaken > 0, "no read was under way when its key was invalidated");
}

#[test]
fn a_value_that_is_set_ends_the_load_that_runs() {
    for tiers in ALL {
        let network = Network::new();
        let here = network.process(tiers);
        let gate = Gate::default();
        let mut leader = ask_at(&here, &gate, 1);
        pending(&mut leader);
        network.clock.advance(MOMENT);
        assert_eq!(here.region.set("ns", 1, 5u64).wait().unwrap(), SetOutcome::Stored);
        gate.open.set(true);
        assert_eq!(finish(&here, leader), 1);
        assert_eq!(finish(&here, ask(&here, 2)), 5, "{tiers:?}: what was loading is older");
    }
}

#[test]
fn a_value_whose_set_was_entered_before_an_invalidation_is_gone_after_it() {
    for tiers in ALL {
        let (mut superseded, mut stored) = (0, 0);
        for steps in 1..16 {
            let network = Network::seeded(3, 1, Default::default());
            let setup = Setup { faults: Faults::delays(), ..network.setup(tiers) };
            let (here, there) = (network.process_of(setup), network.process(tiers));
            // The node's generations exist by now: the set's read is one exchange.
            finish(&here, Box::pin(here.region.get_or_create_value_async("ns", 2, || async { 0u64 })));
            network.nodes.trace();
            let mut set: Call<'_, _> = Box::pin(here.region.set("ns", 1, 5u64));
            let mut outcome = Poll::Pending;
            for _ in 0..steps {
                if outcome.is_pending() {
                    outcome = step(&mut set);
                    network.clock.advance(MOMENT);
                }
            }
            // A set is fenced from its own read on: until the node has answered that, it has not begun.
            let is_its_read = |one: &Executed| matches!(&one.command, Command::Get(get) if get.vivify.is_some());
            let has_begun = tiers == Tiers::Near || network.nodes.traced().iter().any(is_its_read);
            let invalidating = if tiers == Tiers::Near { &here } else { &there };
            invalidating.region.invalidate("ns", 1).wait().unwrap();
            let outcome = match outcome {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => finish(&here, set),
            };
            match outcome.unwrap() {
                SetOutcome::Superseded => superseded += 1,
                SetOutcome::Stored => stored += 1,
                other => panic!("{other:?}"),
            }
            network.clock.advance(SECOND);
            let expected = if has_begun { 6 } else { 5 };
            assert_eq!(finish(&here, ask(&here, 6)), expected, "{tiers:?}, after {steps} steps");
        }
        assert!(stored > 0 && (superseded > 0 || tiers == Tiers::Near), "{stored} stored, {superseded} superseded");
    }
}

#[test]
fn an_invalidation_without_its_reply_is_pending_and_is_repeated_before_the_node_is_read() {
    for (tiers, way) in SHARED.into_iter().flat_map(|tiers| WAYS.map(|way| (tiers, way))) {
        for fate in [Fate::LoseRequest, Fate::LoseReply, Fate::Late(SECOND)] {
            for face in [Face::Blocking, Face::OneThread] {
                let network = Network::new();
                let here = network.process(tiers);
                assert_eq!(finish(&here, ask(&here, 1)), 1);
                here.far.order(fate);
                let answer = match face {
                    Face::Blocking => way(&here).wait(),
                    _ => finish(&here, Box::pin(way(&here))),
                };
                let error = answer.unwrap_err();
                assert_eq!(error.kind(), Kind::Pending, "{fate:?}");
                assert!(here.far.pending() > 0);
                assert_eq!(finish(&here, ask(&here, 2)), 2, "{tiers:?} {fate:?}: whoever invalidated sees it at once");
                assert_eq!(here.far.replay(), 0);
                network.clock.advance(2 * SECOND);
                let last = finish(&here, ask(&here, 3));
                assert!(last == 2 || fate == Fate::Late(SECOND), "{fate:?}: a late one may cost a load: {last}");
            }
        }
    }
}

#[test]
fn an_invalidation_that_is_dropped_after_its_first_poll_is_pending() {
    for (tiers, way) in SHARED.into_iter().flat_map(|tiers| WAYS.map(|way| (tiers, way))) {
        let network = Network::new();
        let setup = Setup { faults: Faults::delays(), ..network.setup(tiers) };
        let here = network.process_of(setup);
        assert_eq!(finish(&here, ask(&here, 1)), 1);
        let mut dropped: Call<'_, _> = Box::pin(way(&here));
        pending(&mut dropped);
        drop(dropped);
        assert_eq!(finish(&here, ask(&here, 2)), 2, "{tiers:?}: done in this process, and replayed");
    }
}

/// Where the region `r` keeps the generation of a scope.
fn generation(scope: Scope<'_>) -> FarKey {
    scope_key(KeyPlace { prefix: "", region: "r" }, scope)
}

#[test]
fn records_whose_generation_was_lost_are_loaded_again_by_one() {
    for (tiers, scope) in SHARED.into_iter().flat_map(|tiers| [(tiers, Scope::Region), (tiers, Scope::Namespace("ns"))])
    {
        let network = Network::new();
        let delayed = || Setup { faults: Faults::delays(), ..network.setup(tiers) };
        let (here, there) = (network.process_of(delayed()), network.process_of(delayed()));
        assert_eq!(finish(&here, ask(&here, 1)), 1);
        network.clock.advance(2 * SECOND);
        assert!(network.nodes.server(0).evict(&generation(scope)));
        let gate = Gate::default();
        let mut calls: Vec<_> = [&here, &there, &here, &there].map(|process| ask_at(process, &gate, 2)).into();
        for _ in 0..20 {
            calls.iter_mut().for_each(pending);
            network.clock.advance(MOMENT);
        }
        gate.open.set(true);
        assert_eq!(finish_all(&here, calls), [2, 2, 2, 2], "{tiers:?}");
        let of_both = |name| here.count(name) + there.count(name);
        assert_eq!((of_both("loads"), of_both("unshared")), (2, 0), "{tiers:?}: one before, one after");
        assert!(of_both("takeovers") >= 1, "by a claim that was taken");
    }
}

#[test]
fn a_fence_from_before_a_restart_lets_nothing_be_read() {
    for tiers in SHARED {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        let (old, new) = (Gate::default(), Gate::default());
        let mut before = ask_at(&here, &old, 1);
        pending(&mut before);
        network.nodes.restart(0);
        network.clock.advance(MOMENT);
        there.region.invalidate("ns", 1).wait().unwrap();
        // The same exchange as before the restart: it is given the same numbers.
        let mut after = ask_at(&there, &new, 2);
        pending(&mut after);
        old.open.set(true);
        assert_eq!(finish(&here, before), 1, "the leader has its value");
        new.open.set(true);
        assert_eq!(finish(&there, after), 2);
        network.clock.advance(SECOND);
        for process in [&here, &there] {
            assert_ne!(finish(process, ask(process, 3)), 1, "{tiers:?}");
        }
    }
}
