//! The suite of regions: what callers see, whatever the region keeps its values in.
//!
//! Invariant: each case has a region of its own, and uses nothing but what every user of it can.

use std::convert::Infallible;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Case, SuiteReport, Unmet, Verdict, expect, expect_eq};
use crate::error::Result;
use crate::region::{Invalidate, Region};

/// Runs every case against a fresh region from `make`: open, empty, over the backend that is to be tried, with a `ttl` that
/// no case outlives, and a clock that goes on while somebody waits for it. Where regions share servers, another prefix makes each a region of its own.
///
/// It is for whoever writes a backend, beside the suite of the backend itself: both tiers at once, or one of them.
///
/// # Errors
///
/// The report, if a case failed.
pub fn region_suite(make: impl Fn() -> Region) -> std::result::Result<SuiteReport, SuiteReport> {
    let mut report = SuiteReport::default();
    for Case { name, run } in CASES {
        let region = make();
        report.note(name, run(&region));
    }
    report.finish()
}

const CASES: &[Case<Region>] = &[
    Case { name: "what was never stored is not found", run: get_nothing },
    Case { name: "what was stored is found, and what is stored next takes its place", run: set_and_get },
    Case { name: "a function runs once, and its value is found from then on", run: load_once },
    Case { name: "zero, false, nothing and what is empty are values", run: zero_like_values },
    Case { name: "calls that mean something else have values of their own", run: keys_apart },
    Case { name: "long and odd arguments are arguments", run: odd_arguments },
    Case { name: "a value of a hundred thousand bytes comes back whole", run: large_value },
    Case { name: "a failure is its caller's, and nothing is kept of it", run: failure },
    Case { name: "a panic is its caller's, and nothing is kept of it", run: panic },
    Case { name: "what was invalidated is loaded anew, and to invalidate it again is no error", run: invalidate_twice },
    Case { name: "many are invalidated at once, and no others", run: invalidate_many },
    Case { name: "a namespace is invalidated, and no other", run: invalidate_namespace },
    Case { name: "a tag is invalidated wherever it is, and nothing without it", run: invalidate_tag },
    Case { name: "a region is cleared, and goes on", run: clear },
    Case { name: "of many, those that are missing are loaded together, each once", run: many },
    Case { name: "of many, what the function leaves out is kept as missing", run: many_with_holes },
    Case { name: "none of many asks for nothing", run: many_of_none },
    Case { name: "a paused region loads through, and serves what it had when it goes on", run: pause },
    Case { name: "ten threads on one cold key run one load", run: one_load },
    Case { name: "ten threads that walk sixty keys load each once", run: walks },
    Case { name: "keys do not wait for each other, nor for what they call", run: nested },
    Case { name: "hits and loads are counted", run: counts },
];

fn done(what: &str, invalidate: Invalidate) -> Verdict {
    invalidate.wait().map(|_| ()).map_err(|error| Unmet::Failed(format!("{what} should be done: {error}")))
}

fn found<V>(region: &Region, namespace: &str, arguments: impl Serialize) -> Verdict<Option<V>>
where
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    let found: Result<Option<V>> = region.get(namespace, arguments).wait();
    found.map_err(|error| Unmet::Failed(format!("a read should be answered: {error}")))
}

fn store<V>(region: &Region, namespace: &str, arguments: impl Serialize, value: V) -> Verdict
where
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    let stored = region.set(namespace, arguments, value).wait();
    stored.map(|_| ()).map_err(|error| Unmet::Failed(format!("a value should be stored: {error}")))
}

/// The value of `key` in the namespace `n`, and how often it was loaded by this call.
fn ask(region: &Region, key: u32, next: u32) -> (u32, usize) {
    let loads = AtomicUsize::new(0);
    let value = region.get_or_create_value("n", key, || {
        loads.fetch_add(1, Ordering::Relaxed);
        next
    });
    (value, loads.into_inner())
}

fn get_nothing(region: &Region) -> Verdict {
    expect_eq("a read of nothing", found::<u32>(region, "n", 1)?, None)
}

fn set_and_get(region: &Region) -> Verdict {
    for value in ["first", "second"] {
        store(region, "n", 1, value.to_owned())?;
        expect_eq("what is found", found::<String>(region, "n", 1)?.as_deref(), Some(value))?;
    }
    Ok(())
}

fn load_once(region: &Region) -> Verdict {
    expect_eq("the first call's value, and its loads", ask(region, 1, 10), (10, 1))?;
    expect_eq("the second call's", ask(region, 1, 11), (10, 0))?;
    expect_eq("what a read finds", found::<u32>(region, "n", 1)?, Some(10))
}

fn zero_like_values(region: &Region) -> Verdict {
    fn is_kept<V>(region: &Region, namespace: &str, value: V) -> Verdict
    where
        V: Clone + Send + Sync + PartialEq + Debug + Serialize + DeserializeOwned + 'static,
    {
        let mut loads = 0;
        for _ in 0..2 {
            let given = region.get_or_create_value(namespace, 1, || {
                loads += 1;
                value.clone()
            });
            expect_eq("the value", &given, &value)?;
        }
        expect_eq(&format!("the loads of {value:?}"), loads, 1)
    }
    is_kept(region, "zero", 0_u64)?;
    is_kept(region, "false", false)?;
    is_kept(region, "unit", ())?;
    is_kept(region, "none", None::<u8>)?;
    is_kept(region, "text", String::new())?;
    is_kept(region, "list", Vec::<u8>::new())
}

fn keys_apart(region: &Region) -> Verdict {
    type Asked<'a> = (&'a str, (&'a str, &'a str));
    let asked: [Asked<'_>; 6] = [
        ("n", ("a", "b")),
        ("n", ("ab", "")),
        ("n", ("", "ab")),
        ("n", ("b", "a")),
        ("m", ("a", "b")),
        ("na", ("", "b")),
    ];
    for (number, (namespace, arguments)) in asked.iter().enumerate() {
        store(region, namespace, arguments, number)?;
    }
    for (number, (namespace, arguments)) in asked.iter().enumerate() {
        let found = found::<usize>(region, namespace, arguments)?;
        expect_eq(&format!("the value of {arguments:?} in `{namespace}`"), found, Some(number))?;
    }
    Ok(())
}

fn odd_arguments(region: &Region) -> Verdict {
    let long = "x".repeat(10_000);
    let odd = ["", " ", "\n", "\0", "a b", "é", "\u{7f}", "🦀", "%20", ":", &long];
    for (number, argument) in odd.iter().enumerate() {
        store(region, "odd namespace: é\n", argument, number)?;
    }
    for (number, argument) in odd.iter().enumerate() {
        let found = found::<usize>(region, "odd namespace: é\n", argument)?;
        expect_eq(&format!("the value of argument {number}"), found, Some(number))?;
    }
    Ok(())
}

fn large_value(region: &Region) -> Verdict {
    let large: Vec<u32> = (0..25_000).map(|n| n * 7).collect();
    store(region, "n", 1, large.clone())?;
    expect(found::<Vec<u32>>(region, "n", 1)? == Some(large), || "the value should come back as it was".to_owned())
}

fn failure(region: &Region) -> Verdict {
    let failed = region.get_or_create("n", 1, || Err::<u32, _>("down"));
    expect_eq("what a failing load gives", failed, Err("down"))?;
    expect_eq("what is found after it", found::<u32>(region, "n", 1)?, None)?;
    expect_eq("the next call", region.get_or_create("n", 1, || Ok::<u32, &str>(7)), Ok(7))
}

fn panic(region: &Region) -> Verdict {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        // Unwound without the hook: a suite that passes prints nothing.
        region.get_or_create_value("n", 1, || -> u32 { std::panic::resume_unwind(Box::new("expected")) })
    }));
    expect(panicked.is_err(), || "the panic should reach its caller".to_owned())?;
    expect_eq("the next call's value, and its loads", ask(region, 1, 7), (7, 1))
}

fn invalidate_twice(region: &Region) -> Verdict {
    for round in 0..3 {
        expect_eq("the value, and its loads", ask(region, 1, round), (round, 1))?;
        done("an invalidation", region.invalidate("n", 1))?;
        done("the same again", region.invalidate("n", 1))?;
        expect_eq("what is found after it", found::<u32>(region, "n", 1)?, None)?;
    }
    Ok(())
}

fn invalidate_many(region: &Region) -> Verdict {
    for key in 0..20 {
        ask(region, key, key);
    }
    done("an invalidation of many", region.invalidate_multi("n", (0..20).step_by(2)))?;
    done("an invalidation of none", region.invalidate_multi("n", [0; 0]))?;
    for key in 0..20 {
        let expected = if key % 2 == 0 { None } else { Some(key) };
        expect_eq(&format!("what is found under {key}"), found::<u32>(region, "n", key)?, expected)?;
    }
    Ok(())
}

fn invalidate_namespace(region: &Region) -> Verdict {
    for key in 0..20 {
        store(region, "n", key, key)?;
        store(region, "m", key, key)?;
    }
    done("an invalidation of a namespace", region.invalidate_namespace("n"))?;
    for key in 0..20 {
        expect_eq("what is found in it", found::<i32>(region, "n", key)?, None)?;
        expect_eq("what is found in the other", found::<i32>(region, "m", key)?, Some(key))?;
    }
    expect_eq("the value that is loaded next, and its loads", ask(region, 1, 7), (7, 1))?;
    expect_eq("and then", ask(region, 1, 8), (7, 0))
}

fn invalidate_tag(region: &Region) -> Verdict {
    let store = |namespace: &str, key: u32, tag: &str| {
        let stored = region.set(namespace, key, key).tags([tag]).wait();
        stored.map(|_| ()).map_err(|error| Unmet::Failed(format!("a value with a tag should be stored: {error}")))
    };
    let find = |namespace: &str, key: u32, tag: &str| {
        let found: Result<Option<u32>> = region.get(namespace, key).tags([tag]).wait();
        found.map_err(|error| Unmet::Failed(format!("a read with a tag should be answered: {error}")))
    };
    store("n", 1, "red")?;
    store("n", 2, "blue")?;
    store("m", 1, "red")?;
    done("an invalidation of a tag", region.invalidate_tag("red"))?;
    expect_eq("what is found with it", (find("n", 1, "red")?, find("m", 1, "red")?), (None, None))?;
    expect_eq("what is found with another one", find("n", 2, "blue")?, Some(2))
}

fn clear(region: &Region) -> Verdict {
    for key in 0..20 {
        store(region, "n", key, key)?;
        store(region, "m", key, key)?;
    }
    done("a clear", region.clear())?;
    for key in 0..20 {
        let left = (found::<i32>(region, "n", key)?, found::<i32>(region, "m", key)?);
        expect_eq("what is found after it", left, (None, None))?;
    }
    expect_eq("the value that is loaded next, and its loads", ask(region, 1, 7), (7, 1))?;
    expect_eq("and then", ask(region, 1, 8), (7, 0))
}

/// The values of `ids`, which are ten times as much, but for those from `from` on; and the ids of each load.
fn of_many(region: &Region, ids: &[u32], from: u32) -> (Vec<Option<u32>>, Vec<Vec<u32>>) {
    let mut loads = Vec::new();
    let values = region.get_or_create_multi("n", ids.iter().copied(), |missing| {
        loads.push(missing.clone());
        let known = missing.into_iter().filter(|id| *id < from).rev();
        Ok::<_, Infallible>(known.map(|id| (id, 10 * id)).collect::<Vec<_>>())
    });
    let Ok(values) = values;
    (values, loads)
}

fn many(region: &Region) -> Verdict {
    // Kept as a function that returns `Option<u32>` keeps it.
    let two: Option<u32> = region.get_or_create_value("n", 2, || Some(20));
    expect_eq("the value of a function", two, Some(20))?;
    let (values, loads) = of_many(region, &[1, 2, 3, 1], u32::MAX);
    expect_eq("the values", values, vec![Some(10), Some(20), Some(30), Some(10)])?;
    expect_eq("what was loaded", loads, vec![vec![1, 3]])?;
    let (values, loads) = of_many(region, &[3, 2, 1], u32::MAX);
    expect_eq("the values the next time", values, vec![Some(30), Some(20), Some(10)])?;
    expect_eq("what was loaded then", loads, Vec::<Vec<u32>>::new())
}

fn many_with_holes(region: &Region) -> Verdict {
    for loads_expected in [vec![vec![1, 100]], vec![]] {
        let (values, loads) = of_many(region, &[1, 100], 100);
        expect_eq("the values", values, vec![Some(10), None])?;
        expect_eq("what was loaded", loads, loads_expected)?;
    }
    Ok(())
}

fn many_of_none(region: &Region) -> Verdict {
    expect_eq("the values and the loads of no ids", of_many(region, &[], 100), (vec![], vec![]))
}

fn pause(region: &Region) -> Verdict {
    let told = |done: Result<()>| done.map_err(|error| Unmet::Failed(format!("the region should be told: {error}")));
    ask(region, 1, 10);
    told(region.pause())?;
    expect_eq("a call while it is paused, and its loads", ask(region, 1, 11), (11, 1))?;
    told(region.resume())?;
    expect_eq("a call after that, and its loads", ask(region, 1, 12), (10, 0))
}

fn one_load(region: &Region) -> Verdict {
    let (loads, gate) = (AtomicUsize::new(0), Barrier::new(THREADS));
    let values: Vec<u32> = thread::scope(|scope| {
        let call = || {
            gate.wait();
            region.get_or_create_value("n", 1, || {
                loads.fetch_add(1, Ordering::Relaxed);
                thread::yield_now();
                7
            })
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(call)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    expect_eq("what each caller got", values, vec![7; THREADS])?;
    expect_eq("the loads", loads.into_inner(), 1)
}

fn walks(region: &Region) -> Verdict {
    const KEYS: usize = 60;
    let loads = [const { AtomicUsize::new(0) }; KEYS];
    thread::scope(|scope| {
        for start in 0..THREADS {
            let loads = &loads;
            scope.spawn(move || {
                for key in (0..KEYS).map(|step| (start * 6 + step) % KEYS) {
                    region.get_or_create_value("n", key, || {
                        loads[key].fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        key
                    });
                }
            });
        }
    });
    let loads: Vec<usize> = loads.into_iter().map(AtomicUsize::into_inner).collect();
    expect_eq("the loads of each key", loads, vec![1; KEYS])
}

const THREADS: usize = 10;

fn nested(region: &Region) -> Verdict {
    let sum = region.get_or_create_value("n", 3, || {
        let inner = |key: u32| region.get_or_create_value("n", key, || key * 10);
        inner(1) + inner(2)
    });
    expect_eq("the value of a function that calls others", sum, 30)?;
    expect_eq(
        "theirs, and how often they are loaded after it",
        (ask(region, 1, 0), ask(region, 2, 0)),
        ((10, 0), (20, 0)),
    )
}

fn counts(region: &Region) -> Verdict {
    for key in 0..5 {
        ask(region, key, key);
        ask(region, key, key);
    }
    let total = region.stats().unwrap_or_default().total;
    expect_eq("the loads and the share of hits of ten calls", (total.loads, total.hit_ratio()), (5, Some(0.5)))
}
