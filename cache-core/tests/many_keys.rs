//! Many keys at once: one read, one load of what is missing, one write, and no circle of waits.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use cache_core::error::Kind;
use cache_core::region::Reached;
use cache_core::registry::Registry;
use cache_core::testkit::meta::ServerSettings;
use cache_core::testkit::{Faults, block_on};

use common::*;

twins! {
    what_is_missing_is_loaded_at_once_and_kept,
    what_has_no_value_is_kept_as_missing,
    ids_come_back_in_the_order_in_which_they_were_asked_for,
    entries_are_those_of_a_function_that_returns_an_option,
    a_failure_is_returned_and_nothing_is_kept,
    a_stale_value_stands_in_where_there_is_one,
    without_the_far_tier_all_are_loaded,
    an_unconfigured_region_loads_all,
    an_invalidation_of_one_leaves_the_others,
    many_are_invalidated_by_one_operation,
    many_that_do_not_reach_their_nodes_are_counted_in_the_error,
    no_ids_ask_for_nothing,
}

/// Asks for `ids`; a load finds the tenfold of each odd one, and notes what it was asked for.
fn ask_all(face: Face, process: &Process, ids: &[u64], loads: &RefCell<Vec<Vec<u64>>>) -> Vec<Option<u64>> {
    let load = |missing: Vec<u64>| {
        loads.borrow_mut().push(missing.clone());
        missing.into_iter().filter(|id| id % 2 == 1).map(|id| (id, 10 * id)).collect::<HashMap<u64, u64>>()
    };
    let ids = ids.iter().copied();
    match face {
        Face::Blocking => {
            process.region.get_or_create_multi("many", ids, |missing| Ok::<_, ()>(load(missing))).unwrap()
        }
        _ => {
            let load = |missing| {
                let rows = load(missing);
                async move { Ok::<_, ()>(rows) }
            };
            face.block_on(process.region.get_or_create_multi_async("many", ids, load)).unwrap()
        }
    }
}

fn what_is_missing_is_loaded_at_once_and_kept(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let loads = RefCell::default();
        assert_eq!(ask_all(face, &here, &[1, 3], &loads), [Some(10), Some(30)]);
        assert_eq!(ask_all(face, &here, &[1, 5, 3, 7], &loads), [Some(10), Some(50), Some(30), Some(70)]);
        assert_eq!(ask_all(face, &here, &[1, 3, 5, 7], &loads), [Some(10), Some(30), Some(50), Some(70)]);
        assert_eq!(*loads.borrow(), [vec![1, 3], vec![5, 7]], "{tiers:?}");
        assert_eq!((here.count("loads"), here.count("misses")), (4, 4));
    }
}

fn what_has_no_value_is_kept_as_missing(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let loads = RefCell::default();
        for _ in 0..2 {
            assert_eq!(ask_all(face, &here, &[2, 1, 4], &loads), [None, Some(10), None]);
        }
        assert_eq!(*loads.borrow(), [vec![2, 1, 4]], "{tiers:?}");
    }
}

fn ids_come_back_in_the_order_in_which_they_were_asked_for(face: Face) {
    let here = Network::new().process(Tiers::Both);
    let loads = RefCell::default();
    assert_eq!(ask_all(face, &here, &[9, 1, 9, 2, 1], &loads), [Some(90), Some(10), Some(90), None, Some(10)]);
    assert_eq!(*loads.borrow(), [vec![9, 1, 2]], "each once");
}

fn entries_are_those_of_a_function_that_returns_an_option(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let loads = RefCell::default();
        assert_eq!(ask_all(face, &here, &[1, 2], &loads), [Some(10), None]);
        let one = |n: u64, value| {
            let site = site(function("app::many", "many"));
            face.call(site, &here.region, |key| key.arg(&n), whole::<Option<u64>>(), || value)
        };
        assert_eq!((one(1, None), one(2, Some(7)), one(3, Some(30))), (Some(10), None, Some(30)));
        assert_eq!(ask_all(face, &here, &[3], &loads), [Some(30)]);
        assert_eq!(loads.borrow().len(), 1, "{tiers:?}");
    }
}

fn a_failure_is_returned_and_nothing_is_kept(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let loads = RefCell::default();
        ask_all(face, &here, &[1], &loads);
        let fail = |_: Vec<u64>| Err::<Vec<(u64, u64)>, _>("down");
        let region = &here.region;
        let answer = match face {
            Face::Blocking => region.get_or_create_multi("many", [1, 3], fail),
            _ => face.block_on(region.get_or_create_multi_async("many", [1, 3], |ids| async { fail(ids) })),
        };
        assert_eq!(answer, Err("down"));
        assert_eq!(ask_all(face, &here, &[1, 3], &loads), [Some(10), Some(30)]);
        assert_eq!(*loads.borrow(), [vec![1], vec![3]], "{tiers:?}: the claim was given back");
    }
}

fn a_stale_value_stands_in_where_there_is_one(face: Face) {
    for tiers in ALL {
        let here = Network::new().process_with(tiers, |settings| settings.stale_if_error(60 * SECOND));
        let loads = RefCell::default();
        ask_all(face, &here, &[1, 3], &loads);
        here.clock.advance(TTL + SECOND);
        let fail = |_: Vec<u64>| Err::<Vec<(u64, u64)>, _>("down");
        let region = &here.region;
        let ask = |ids: &[u64]| match face {
            Face::Blocking => region.get_or_create_multi("many", ids.to_vec(), fail),
            _ => face.block_on(region.get_or_create_multi_async("many", ids.to_vec(), |ids| async { fail(ids) })),
        };
        assert_eq!(ask(&[3, 1]), Ok(vec![Some(30), Some(10)]), "{tiers:?}");
        assert_eq!(ask(&[3, 5]), Err("down"), "there is nothing for 5");
    }
}

fn without_the_far_tier_all_are_loaded(face: Face) {
    let network = Network::new();
    let here = network.process(Tiers::Far);
    network.nodes.down(0);
    let loads = RefCell::default();
    for _ in 0..2 {
        assert_eq!(ask_all(face, &here, &[1, 2, 3], &loads), [Some(10), None, Some(30)]);
    }
    assert_eq!(*loads.borrow(), [vec![1, 2, 3], vec![1, 2, 3]]);
}

fn an_unconfigured_region_loads_all(face: Face) {
    let region = Registry::builder().build().region("nowhere");
    let loads = Cell::new(0);
    let rows = |ids: Vec<u64>| {
        loads.set(loads.get() + 1);
        Ok::<_, ()>(ids.into_iter().map(|id| (id, id)).collect::<Vec<_>>())
    };
    let values = match face {
        Face::Blocking => region.get_or_create_multi("many", [1, 2], rows),
        _ => face.block_on(region.get_or_create_multi_async("many", [1, 2], |ids| std::future::ready(rows(ids)))),
    };
    assert_eq!((values, loads.get()), (Ok(vec![Some(1), Some(2)]), 1));
    assert_eq!(region.invalidate("many", 1).wait().unwrap_err().kind(), Kind::Unconfigured);
}

fn an_invalidation_of_one_leaves_the_others(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let loads = RefCell::default();
        ask_all(face, &here, &[1, 3, 5], &loads);
        face.invalidate(here.region.invalidate("many", 3)).unwrap();
        ask_all(face, &here, &[1, 3, 5], &loads);
        face.invalidate(here.region.invalidate_namespace("many")).unwrap();
        ask_all(face, &here, &[1, 3, 5], &loads);
        assert_eq!(*loads.borrow(), [vec![1, 3, 5], vec![3], vec![1, 3, 5]], "{tiers:?}");
        assert_eq!(here.count("unshared"), 0, "claims on dead records are taken");
    }
}

fn many_are_invalidated_by_one_operation(face: Face) {
    for tiers in ALL {
        let network = Network::of(3, ServerSettings::default());
        let (here, there) = (network.process(tiers), network.process(tiers));
        let loads = RefCell::default();
        ask_all(face, &here, &[1, 3, 5, 7], &loads);
        let from = if tiers == Tiers::Near { &here } else { &there };
        let reached = face.invalidate(from.region.invalidate_multi("many", [1_u8, 5])).unwrap();
        assert_eq!(reached, if tiers == Tiers::Near { Reached::ThisProcess } else { Reached::Everyone });
        here.clock.advance(2 * SECOND);
        ask_all(face, &here, &[1, 3, 5, 7], &loads);
        face.invalidate(here.region.invalidate_multi("many", Vec::<u64>::new())).unwrap();
        ask_all(face, &here, &[1, 3, 5, 7], &loads);
        assert_eq!(*loads.borrow(), [vec![1, 3, 5, 7], vec![1, 5]], "{tiers:?}");
        assert_eq!(from.count("invalidations"), 2);
    }
}

fn many_that_do_not_reach_their_nodes_are_counted_in_the_error(face: Face) {
    let network = Network::new();
    let here = network.process(Tiers::Far);
    network.nodes.down(0);
    let error = face.invalidate(here.region.invalidate_multi("many", [1, 2, 3])).unwrap_err();
    assert_eq!(error.kind(), Kind::Pending);
    assert!(error.to_string().contains("3 of 3 invalidations"), "{error}");
}

fn no_ids_ask_for_nothing(face: Face) {
    let here = Network::new().process(Tiers::Both);
    let loads = RefCell::default();
    assert_eq!(ask_all(face, &here, &[], &loads), []);
    assert!(loads.borrow().is_empty());
}

/// Two batches that overlap in a circle: each loads what it won before it waits for the other's.
#[test]
fn batches_that_overlap_load_each_key_once_and_never_wait_in_a_circle() {
    for tiers in ALL {
        let network = Network::new();
        let processes = [network.process(tiers), network.process(tiers)];
        let processes =
            if tiers == Tiers::Near { [&processes[0], &processes[0]] } else { [&processes[0], &processes[1]] };
        let loaded = AtomicU64::new(0);
        in_scope(&network, |scope| {
            for (process, ids) in processes.into_iter().zip([[1_u64, 2, 3], [3, 4, 1]]) {
                let loaded = &loaded;
                scope.spawn(move || {
                    let load = |missing: Vec<u64>| {
                        loaded.fetch_add(missing.len() as u64, Ordering::SeqCst);
                        Ok::<_, ()>(missing.into_iter().map(|id| (id, 10 * id)).collect::<Vec<_>>())
                    };
                    let values = process.region.get_or_create_multi("many", ids, load).unwrap();
                    assert_eq!(values, ids.map(|id| Some(10 * id)));
                });
            }
        });
        assert_eq!(loaded.load(Ordering::SeqCst), 4, "{tiers:?}: each key once");
    }
}

/// Runs threads while the clock goes on by itself: pauses of waiting callers end.
fn in_scope<'env>(network: &'env Network, run: impl for<'scope> FnOnce(&'scope thread::Scope<'scope, 'env>)) {
    let done = AtomicBool::new(false);
    thread::scope(|outer| {
        outer.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                network.clock.advance(Duration::from_micros(100));
                thread::yield_now();
            }
        });
        thread::scope(run);
        done.store(true, Ordering::SeqCst);
    });
}

/// A call for one key inside a load of many, of one of them: it does not wait for itself.
#[test]
fn a_load_of_many_that_asks_for_one_of_them_does_not_wait_for_itself() {
    let here = Network::new().process(Tiers::Near);
    let region = &here.region;
    let values = in_time_here(|| {
        region.get_or_create_multi("many", [1_u64, 2], |ids| {
            let nested = region.get_or_create_value("many", 2_u64, || Some(5_u64));
            assert_eq!(nested, Some(5));
            Ok::<_, ()>(ids.into_iter().map(|id| (id, id)).collect::<Vec<_>>())
        })
    });
    assert_eq!(values, Ok(vec![Some(1), Some(2)]));
}

fn in_time_here<T>(run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let value = run();
    assert!(began.elapsed() < Duration::from_secs(20), "it waited for itself");
    value
}

/// What each request takes, there and back.
const TRIP: Duration = Duration::from_millis(2);

/// One request for each thing, to all nodes at the same time: told by the time that passes.
#[test]
fn one_request_asks_for_all() {
    let network = Network::of(3, ServerSettings::default());
    let way = TRIP / 2..=TRIP / 2;
    let faults = Faults { request_delay: way.clone(), reply_delay: way, ..Faults::none() };
    let here = network.process_of(Setup { faults, ..network.setup(Tiers::Both) });
    let loads = Cell::new(0);
    let trips = || {
        let load = |ids: Vec<u64>| {
            loads.set(loads.get() + 1);
            std::future::ready(Ok::<_, ()>(ids.into_iter().map(|id| (id, id)).collect::<Vec<_>>()))
        };
        let before = network.clock.now();
        let values = block_on(&network.clock, here.region.get_or_create_multi_async("many", 0..100_u64, load)).unwrap();
        assert_eq!(values, Ok((0..100).map(Some).collect()));
        network.clock.now().since(before).as_micros() / TRIP.as_micros()
    };
    // The nodes make the generations of what they are asked about for the first time.
    for id in 100..200_u64 {
        block_on(&network.clock, here.region.get::<Option<u64>>("many", id)).unwrap().unwrap();
    }
    assert_eq!((trips(), loads.get()), (2, 1), "a read and a write");
    assert_eq!((trips(), here.count("near_hits")), (0, 100));
    network.clock.advance(2 * SECOND);
    assert_eq!((trips(), here.count("validated")), (1, 100), "what is due is asked about together");
    here.region.sweep().unwrap();
    assert_eq!(loads.get(), 1);
}

/// A batch has the patience of one call, not that of one for each key.
#[test]
fn the_patience_of_a_batch_is_that_of_a_call() {
    let network = Network::new();
    let here = network.process_with(Tiers::Near, |settings| settings.patience(SECOND));
    let stuck =
        |id: u64| Box::pin(here.region.get_or_create_value_async("many", id, std::future::pending::<Option<u64>>));
    let mut stuck: Vec<_> = (0..5).map(stuck).collect();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(stuck.iter_mut().all(|call| call.as_mut().poll(&mut cx).is_pending()));
    let before = network.clock.now();
    let load = |ids: Vec<u64>| std::future::ready(Ok::<_, ()>(ids.into_iter().map(|id| (id, id)).collect::<Vec<_>>()));
    let values = block_on(&network.clock, here.region.get_or_create_multi_async("many", 0..5_u64, load)).unwrap();
    assert_eq!(values, Ok((0..5).map(Some).collect()));
    assert_eq!(network.clock.now().since(before), SECOND, "then it leads the next flight of each");
}
