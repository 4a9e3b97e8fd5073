//! One key has one load at a time, whoever asks for it, and nobody waits without a bound.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use cache_core::clock::Clock;
use cache_core::config::{Settings, Ttl};
use cache_core::testkit::{Faults, Random, block_on};

use common::*;

/// Nothing expires, and no wait for another's load ends by itself: no claim either, for the clock of a test runs on while
/// the system lets the thread that has the claim wait for a processor.
fn patient(settings: Settings) -> Settings {
    settings.ttl(Ttl::Never).patience(24 * 3600 * SECOND).lease(24 * 3600 * SECOND)
}

/// A process in memory by the system's clock.
fn in_memory() -> Arc<Process> {
    let network = Network::new();
    let setup = Setup { clock: Clock::System, settings: patient, ..network.setup(Tiers::Near) };
    Arc::new(network.process_of(setup))
}

/// Eight threads, each of which asks for every key in an order of its own.
fn walk(tiers: Tiers, keys: u32) {
    in_time(move || {
        let network = Network::new();
        let process = network.process_with(tiers, patient);
        let ticking = Ticking::new(&network.clock);
        let loads = AtomicU64::new(0);
        thread::scope(|scope| {
            for seed in 0..8 {
                let (region, loads) = (&process.region, &loads);
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    let mut order: Vec<u32> = (0..keys).collect();
                    for at in (1..order.len()).rev() {
                        order.swap(at, random.below(at + 1));
                    }
                    for key in order {
                        let load = || {
                            loads.fetch_add(1, Ordering::Relaxed);
                            u64::from(key) * 3
                        };
                        assert_eq!(region.get_or_create_value("walk", key, load), u64::from(key) * 3);
                    }
                });
            }
        });
        drop(ticking);
        let counts = process.counts();
        assert_eq!(loads.load(Ordering::Relaxed), u64::from(keys), "{counts:?}");
        assert_eq!((process.count("loads"), process.count("unshared")), (u64::from(keys), 0), "{counts:?}");
    });
}

#[test]
fn eight_threads_that_walk_all_keys_load_each_once_in_memory() {
    walk(Tiers::Near, 20_000);
}

#[test]
fn eight_threads_that_walk_all_keys_load_each_once_far() {
    walk(Tiers::Far, 5_000);
}

#[test]
fn eight_threads_that_walk_all_keys_load_each_once_near_over_far() {
    walk(Tiers::Both, 20_000);
}

/// One load was run, and all of these callers beside the leader have its value: from its hands, or as a hit. A caller may
/// begin to wait more than once, so the load, which ends when enough have begun to, can be over before the last one comes.
#[track_caller]
fn answered_by_one_load(process: &Process, callers: u64) {
    let [loads, unshared, shared, near, far] =
        ["loads", "unshared", "shared", "near_hits", "far_hits"].map(|name| process.count(name));
    let counts = process.counts();
    assert_eq!((loads, unshared, shared + near + far), (1, 0, callers), "{counts:?}");
    assert!(shared > callers / 2, "{counts:?}");
}

#[test]
fn two_hundred_threads_on_one_cold_key_load_it_once() {
    for tiers in ALL {
        in_time(move || {
            let network = Network::new();
            let process = network.process_with(tiers, patient);
            let _ticking = Ticking::new(&network.clock);
            let gate = Barrier::new(200);
            thread::scope(|scope| {
                for _ in 0..200 {
                    scope.spawn(|| {
                        gate.wait();
                        let load = || {
                            until(|| process.count("waits") >= 199);
                            7
                        };
                        assert_eq!(process.region.get_or_create_value("cold", 1, load), 7);
                    });
                }
            });
            answered_by_one_load(&process, 199);
        });
    }
}

#[test]
fn a_thousand_tasks_on_one_cold_key_load_it_once() {
    for tiers in ALL {
        in_time(move || {
            let network = Network::new();
            let process = Arc::new(network.process_with(tiers, patient));
            let _ticking = Ticking::new(&network.clock);
            many_threads(2).block_on(async {
                let ask = |process: Arc<Process>| async move {
                    let load = || async {
                        while process.count("waits") < 999 {
                            tokio::task::yield_now().await;
                        }
                        7
                    };
                    process.region.get_or_create_value_async("cold", 1, load).await
                };
                let tasks: Vec<_> = (0..1000).map(|_| tokio::spawn(ask(process.clone()))).collect();
                for task in tasks {
                    assert_eq!(task.await.unwrap(), 7);
                }
            });
            answered_by_one_load(&process, 999);
        });
    }
}

#[test]
fn a_wave_of_failures_that_can_be_shared_is_one_load() {
    const CALLERS: u64 = 12;
    for tiers in ALL {
        in_time(move || {
            let network = Network::new();
            let process = network.process_with(tiers, patient);
            let _ticking = Ticking::new(&network.clock);
            let site = site(function("app::fails", "fails"));
            for wave in 1..=3 {
                thread::scope(|scope| {
                    for _ in 0..CALLERS {
                        scope.spawn(|| {
                            let load = || {
                                until(|| process.count("waits") >= wave * (CALLERS - 1));
                                Err(format!("wave {wave}"))
                            };
                            let terms = terms!(Result<u8, String>);
                            let answer = Face::Blocking.call(site, &process.region, |key| key.arg(&1), terms, load);
                            assert_eq!(answer, Err(format!("wave {wave}")));
                        });
                    }
                });
                assert_eq!((process.count("loads"), process.count("failed_loads")), (wave, wave));
            }
        });
    }
}

/// An error that cannot be cloned.
#[derive(Debug, PartialEq)]
struct Broken(u64);

#[test]
fn after_two_failures_that_cannot_be_shared_the_rest_run_at_once() {
    const CALLERS: u64 = 8;
    for tiers in ALL {
        in_time(move || {
            let network = Network::new();
            let process = network.process_with(tiers, patient);
            let _ticking = Ticking::new(&network.clock);
            let site = site(function("app::fails", "fails"));
            let ran = AtomicU64::new(0);
            // Passed only by loads that run at the same time.
            let rest = Barrier::new(CALLERS as usize - 2);
            thread::scope(|scope| {
                for _ in 0..CALLERS {
                    scope.spawn(|| {
                        let load = || -> Result<u8, Broken> {
                            let turn = ran.fetch_add(1, Ordering::Relaxed);
                            match turn {
                                0 => until(|| process.count("waits") >= CALLERS - 1),
                                1 => until(|| process.count("waits") >= 2 * CALLERS - 3),
                                _ => drop(rest.wait()),
                            }
                            Err(Broken(turn))
                        };
                        let terms = terms!(Result<u8, Broken>);
                        let answer = Face::Blocking.call(site, &process.region, |key| key.arg(&1), terms, load);
                        assert!(answer.is_err());
                    });
                }
            });
            assert_eq!(ran.load(Ordering::Relaxed), CALLERS, "each caller has an error of its own");
            assert_eq!((process.count("loads"), process.count("unshared")), (2, CALLERS - 2));
        });
    }
}

/// Pending once, and then ready.
async fn pass() {
    let mut passed = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_leader_that_is_dropped_at_any_await_is_replaced() {
    for tiers in ALL {
        in_time(move || {
            const LEASE: Duration = Duration::from_secs(30);
            let (mut before, mut during, mut at) = (0, 0, 0);
            loop {
                let network = Network::seeded(7, 1, Default::default());
                let settings = |settings| patient(settings).lease(LEASE);
                let process = network.process_of(Setup { faults: Faults::delays(), settings, ..network.setup(tiers) });
                let began = AtomicBool::new(false);
                let load = || async {
                    began.store(true, Ordering::Relaxed);
                    pass().await;
                    pass().await;
                    1u64
                };
                let mut leader = Box::pin(process.region.get_or_create_value_async("key", 1, load));
                let mut follower = Box::pin(process.region.get_or_create_value_async("key", 1, || async { 2u64 }));
                let mut cx = Context::from_waker(Waker::noop());
                let mut ended = false;
                for _ in 0..at {
                    ended = leader.as_mut().poll(&mut cx).is_ready();
                    if ended {
                        break;
                    }
                    network.clock.advance(Duration::from_millis(1));
                }
                if ended {
                    break;
                }
                // It boards if the leader leads by now.
                let early = follower.as_mut().poll(&mut cx);
                drop(leader);
                let dropped = network.clock.now();
                if early.is_pending() {
                    block_on(&network.clock, follower).unwrap();
                }
                let waited = network.clock.now().since(dropped);
                if began.load(Ordering::Relaxed) {
                    during += 1;
                    assert!(waited < SECOND, "the claim is inherited: no wait for its end (point {at}: {waited:?})");
                    assert_eq!(process.count("abandoned_loads"), 1, "point {at}");
                    if tiers != Tiers::Near {
                        let elsewhere = network.process(tiers).region.get::<u64>("key", 1).wait().unwrap();
                        assert!(elsewhere.is_some(), "point {at}: what the successor loaded is stored for all");
                    }
                } else {
                    before += 1;
                    assert!(waited < LEASE + 3 * SECOND, "point {at}: {waited:?}");
                }
                assert_eq!(process.count("unshared"), 0, "point {at}");
                at += 1;
            }
            assert!(during >= 2 && before >= 1, "{tiers:?}: {before} before the load, {during} from it on");
            assert!(tiers == Tiers::Near || during >= 4, "{tiers:?}: {during} from the load on");
        });
    }
}

#[test]
fn a_leader_that_panics_is_replaced_at_once() {
    for tiers in ALL {
        in_time(move || {
            let network = Network::new();
            let process = network.process_with(tiers, patient);
            let start = network.clock.now();
            thread::scope(|scope| {
                let first = scope.spawn(|| {
                    let load = || {
                        until(|| process.count("waits") >= 3);
                        panic!("the load panics, as it is meant to")
                    };
                    catch_unwind(AssertUnwindSafe(|| process.region.get_or_create_value::<u64>("key", 1, load)))
                });
                until(|| process.count("loads") == 1);
                let others: Vec<_> =
                    (0..3).map(|_| scope.spawn(|| process.region.get_or_create_value("key", 1, || 2u64))).collect();
                for other in others {
                    assert_eq!(other.join().unwrap(), 2);
                }
                assert!(first.join().unwrap().is_err(), "the panic is its caller's");
            });
            assert_eq!((process.count("loads"), process.count("abandoned_loads")), (2, 1));
            assert_eq!(network.clock.now(), start, "nobody waited for the claim to end");
        });
    }
}

#[test]
fn a_leader_whose_task_panics_is_replaced_at_once() {
    in_time(|| {
        let process = in_memory();
        one_thread().block_on(async {
            let leading = process.clone();
            let first = tokio::spawn(async move {
                let load = || async {
                    tokio::task::yield_now().await;
                    panic!("the load panics, as it is meant to")
                };
                leading.region.get_or_create_value_async::<u64, _, _, _>("key", 1, load).await
            });
            tokio::task::yield_now().await;
            assert_eq!(process.region.get_or_create_value_async("key", 1, || async { 2u64 }).await, 2);
            assert!(first.await.unwrap_err().is_panic());
        });
        process.expect(&[("misses", 2), ("loads", 2), ("abandoned_loads", 1), ("waits", 1)]);
    });
}

#[test]
fn spent_patience_leads_a_second_load_and_then_runs_alone() {
    in_time(|| {
        let network = Network::new();
        let process = network.process_with(Tiers::Near, |settings| settings.patience(30 * SECOND));
        let (release, released) = mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let ran = AtomicU64::new(0);
        thread::scope(|scope| {
            let ask = || {
                process.region.get_or_create_value("key", 1, || {
                    let turn = ran.fetch_add(1, Ordering::SeqCst);
                    if turn < 2 {
                        released.lock().unwrap().recv().unwrap();
                    }
                    turn
                })
            };
            let spend = |times: u64| {
                until(|| {
                    network.clock.advance(SECOND);
                    process.count("patience_spent") >= times
                });
            };
            let first = scope.spawn(ask);
            until(|| ran.load(Ordering::SeqCst) == 1);
            let others = [scope.spawn(ask), scope.spawn(ask)];
            until(|| process.count("waits") == 2);
            spend(2);
            until(|| ran.load(Ordering::SeqCst) == 2 && process.count("waits") == 3);
            assert_eq!(process.count("loads"), 2, "one of the two leads a second load, the other follows it");
            spend(3);
            until(|| ran.load(Ordering::SeqCst) == 3);
            assert_eq!((process.count("loads"), process.count("unshared")), (2, 1));
            release.send(()).unwrap();
            release.send(()).unwrap();
            let mut values = vec![first.join().unwrap()];
            values.extend(others.map(|other| other.join().unwrap()));
            values.sort_unstable();
            assert_eq!(values, [0, 1, 2], "each has the value of its own load");
        });
    });
}

#[test]
fn patience_for_another_process_is_counted_and_one_loads() {
    in_time(|| {
        let network = Network::new();
        let here = network.process_with(Tiers::Far, |settings| settings.patience(2 * SECOND));
        let there = network.process(Tiers::Far);
        let mut elsewhere = Box::pin(there.region.get_or_create_value_async("key", 1, std::future::pending::<u64>));
        assert!(elsewhere.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let start = network.clock.now();
        let value = block_on(&network.clock, here.region.get_or_create_value_async("key", 1, || async { 2u64 }));
        assert_eq!(value, Ok(2));
        let waited = network.clock.now().since(start);
        assert!(waited >= 2 * SECOND && waited < 3 * SECOND, "{waited:?}");
        let counts = here.counts();
        assert_eq!((counts["patience_spent"], counts["loads"], counts["stored"]), (1, 1, 1), "under its own fence");
    });
}

#[test]
fn a_load_that_asks_for_its_own_key_runs_it_unshared() {
    for tiers in ALL {
        in_time(move || {
            let network = Network::new();
            let process = network.process_with(tiers, patient);
            let region = &process.region;
            let outer = region.get_or_create_value("key", 1, || region.get_or_create_value("key", 1, || 5) + 1);
            assert_eq!(outer, 6);
            assert_eq!((process.count("loads"), process.count("unshared")), (1, 1));
            let load = || async { region.get_or_create_value_async("key", 2, || async { 5 }).await + 1 };
            assert_eq!(block_on(&network.clock, region.get_or_create_value_async("key", 2, load)), Ok(6));
            let made = || region.get_or_create_value_async("key", 3, || async { 5 });
            assert_eq!(block_on(&network.clock, region.get_or_create_value_async("key", 3, made)), Ok(5));
            assert_eq!((process.count("loads"), process.count("unshared")), (3, 3));
            assert_eq!(region.get_or_create_value("key", 1, || 0), 6, "the outer value is kept");
        });
    }
}

#[test]
fn two_loads_that_ask_for_each_other_end() {
    in_time(|| {
        let process = in_memory();
        let both_run = tokio::sync::Barrier::new(2);
        let (region, both_run) = (&process.region, &both_run);
        let ask = |mine: u32, other: u32| {
            region.get_or_create_value_async("key", mine, move || async move {
                both_run.wait().await;
                region.get_or_create_value_async("key", other, || async { 1 }).await + 1
            })
        };
        let values = one_thread().block_on(async { tokio::join!(ask(10, 11), ask(11, 10)) });
        assert!(matches!(values, (2, 3) | (3, 2)), "one waits for the other, which runs alone: {values:?}");
        assert_eq!((process.count("loads"), process.count("unshared")), (2, 1));
    });
}

#[test]
fn a_blocking_call_on_the_thread_of_its_leader_does_not_wait() {
    in_time(|| {
        let process = in_memory();
        one_thread().block_on(async {
            let (release, released) = tokio::sync::oneshot::channel::<()>();
            let leading = process.clone();
            let leader = tokio::spawn(async move {
                let load = || async {
                    released.await.unwrap();
                    1
                };
                leading.region.get_or_create_value_async("key", 1, load).await
            });
            tokio::task::yield_now().await;
            assert_eq!(process.region.get_or_create_value("key", 1, || 2), 2);
            release.send(()).unwrap();
            assert_eq!(leader.await.unwrap(), 1);
        });
        process.expect(&[("misses", 2), ("loads", 1), ("unshared", 1)]);
    });
}

/// A load that does not end, begun by one poll.
fn begun(process: &Process) -> Pin<Box<dyn Future<Output = u64> + '_>> {
    let mut leader: Pin<Box<dyn Future<Output = u64>>> =
        Box::pin(process.region.get_or_create_value_async("key", 1, std::future::pending::<u64>));
    assert!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    leader
}

#[test]
fn a_miss_without_a_timer_runs_unshared_and_is_counted() {
    in_time(|| {
        let process = in_memory();
        let _leader = begun(&process);
        let ask = |value: u64| process.region.get_or_create_value_async("key", 1, move || async move { value });
        let (_, warnings) = warnings(|| {
            let outside = pin!(ask(2)).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(outside, Poll::Ready(2), "outside of any runtime");
            let timeless = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for value in 3..6 {
                assert_eq!(timeless.block_on(ask(value)), value, "on a runtime without a timer");
            }
        });
        let told: Vec<_> = warnings.iter().filter(|warning| warning.contains("timer")).collect();
        assert_eq!(told.len(), 1, "{warnings:?}");
        assert_eq!((process.count("unshared"), process.count("loads")), (4, 1));
        // Nobody in flight: no timer is needed.
        let alone = pin!(process.region.get_or_create_value_async("key", 2, || async { 9u64 }))
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(alone, Poll::Ready(9));
        assert_eq!(process.count("loads"), 2);
    });
}

#[test]
fn a_task_of_one_runtime_follows_a_leader_of_another() {
    in_time(|| {
        let process = in_memory();
        thread::scope(|scope| {
            let ask = |value: u64| {
                let waits = || process.count("waits") >= 2;
                let load = move || async move {
                    while !waits() {
                        tokio::task::yield_now().await;
                    }
                    value
                };
                one_thread().block_on(process.region.get_or_create_value_async("key", 1, load))
            };
            let tasks = [scope.spawn(move || ask(1)), scope.spawn(move || ask(1))];
            let thread = scope.spawn(|| {
                until(|| process.count("loads") == 1);
                process.region.get_or_create_value("key", 1, || 3u64)
            });
            let values = tasks.map(|task| task.join().unwrap());
            assert_eq!((values, thread.join().unwrap()), ([1, 1], 1));
        });
        assert_eq!((process.count("loads"), process.count("shared")), (1, 2));
    });
}

#[test]
fn a_load_reads_strictly_what_it_is_made_of() {
    let network = Network::new();
    let (here, there) = (network.process(Tiers::Both), network.process(Tiers::Both));
    let region = &here.region;
    let inner = |value: u64| region.get_or_create_value("inner", 1, move || value);
    assert_eq!(inner(1), 1);
    there.region.invalidate("inner", 1).wait().unwrap();
    assert_eq!(inner(2), 1, "outside of a load, `max_staleness` allows it");
    assert_eq!(region.get_or_create_value("outer", 1, || inner(2)), 2);

    there.region.invalidate("inner", 1).wait().unwrap();
    assert_eq!(inner(3), 2);
    let later = |value: u64| region.get_or_create_value_async("inner", 1, move || async move { value });
    let awaited = region.get_or_create_value_async("outer", 2, || async { later(3).await });
    assert_eq!(block_on(&network.clock, awaited), Ok(3));

    there.region.invalidate("inner", 1).wait().unwrap();
    assert_eq!(inner(4), 3);
    let made = region.get_or_create_value_async("outer", 3, || later(4));
    assert_eq!(block_on(&network.clock, made), Ok(4), "also what it asks before its future is polled");
    assert_eq!(inner(5), 4, "what a load read is near for others");
    assert_eq!(here.count("near_hits"), 4);
}
