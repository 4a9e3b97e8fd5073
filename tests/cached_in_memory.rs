//! The attribute over the shipped near backend: what is kept, who loads, and what an invalidation reaches.

#![cfg(all(feature = "macros", feature = "memory", feature = "testkit"))]
#![allow(clippy::expect_used)]

#[path = "../cache-core/tests/common/warnings.rs"]
mod warnings;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache::clock::{Clock, ManualClock};
use cache::testkit::{block_on, isolated, isolated_async};
use cache::{Kind, Reached, Region, Registry, SetOutcome, Settings, Ttl, cached, open_known_schemes};

use warnings::warnings;

static REGION: Region = Region::named("cached_in_memory");

/// A registry of its own for a test, by a clock that stands still.
fn within<T>(test: impl FnOnce(&ManualClock) -> T) -> T {
    let clock = ManualClock::new();
    let registry = Registry::builder().clock(Clock::Manual(clock.clone())).build();
    open_known_schemes(&registry);
    let settings = Settings::new().ttl(Duration::from_secs(60)).jitter(0.0).near("memory://");
    registry.configure("cached_in_memory", settings).expect("good settings");
    isolated(&registry, || test(&clock))
}

thread_local! {
    static LOADS: AtomicUsize = const { AtomicUsize::new(0) };
}

/// Counts a load, and tells how many there were on this thread.
fn load() -> usize {
    LOADS.with(|loads| loads.fetch_add(1, Ordering::Relaxed))
}

#[cached(REGION, "images")]
fn images(owner: &str, page: u64) -> Result<String, String> {
    match load() {
        _ if owner.is_empty() => Err("nobody".to_owned()),
        load => Ok(format!("{owner} {page} {load}")),
    }
}

#[test]
fn a_result_is_kept_until_its_ttl_and_a_failure_is_not() {
    within(|clock| {
        let first = images("bob", 0);
        assert_eq!(images("bob", 0), first);
        assert_ne!(images("bob", 1), first, "other arguments");
        clock.advance(Duration::from_secs(59));
        assert_eq!(images("bob", 0), first);
        clock.advance(Duration::from_secs(1));
        assert_ne!(images("bob", 0), first);
        let before = load();
        assert!(images("", 0).is_err() && images("", 0).is_err());
        assert_eq!(load(), before + 3, "each call ran the function");
    });
}

#[test]
fn an_invalidation_reaches_the_entry_by_type_and_by_name() {
    within(|_| {
        let first = images("bob", 0);
        assert_eq!(images_entry("bob", 0).invalidate().wait().expect("done"), Reached::ThisProcess);
        let second = images("bob", 0);
        assert_ne!(first, second);
        assert_eq!(REGION.invalidate("images", ("bob", 0)).wait().expect("done"), Reached::ThisProcess);
        let third = images("bob", 0);
        assert_ne!(second, third, "an `i32` reaches what a `u64` stored");
        REGION.invalidate("images", ("bob", 1)).wait().expect("done");
        assert_eq!(images("bob", 0), third);
        REGION.invalidate_namespace("images").wait().expect("done");
        let fourth = images("bob", 0);
        assert_ne!(third, fourth);
        REGION.clear().wait().expect("done");
        assert_ne!(images("bob", 0), fourth);
    });
}

#[test]
fn an_entry_is_read_and_set() {
    within(|_| {
        let entry = images_entry("bob", 7);
        assert_eq!(entry.get().wait().expect("memory does not fail"), None);
        assert_eq!(entry.set("given".to_owned()).wait().expect("memory does not fail"), SetOutcome::Stored);
        assert_eq!(images("bob", 7), Ok("given".to_owned()));
        assert_eq!(entry.get().wait().expect("memory does not fail"), Some("given".to_owned()));
        let refreshed = images_refresh("bob", 7);
        assert_ne!(refreshed, Ok("given".to_owned()));
        assert_eq!(images("bob", 7), refreshed, "what is loaded anew is kept");
        assert_ne!(images_uncached("bob", 7), refreshed);
        assert_eq!(images("bob", 7), refreshed);
    });
}

#[cached(REGION, "conditions", when = size < 100, cache_if = |found| *found != 13, ttl_of = ttl, force = anew, skip(anew))]
fn conditions(size: usize, anew: bool) -> usize {
    let _ = anew;
    load();
    size
}

fn ttl(found: &usize) -> Option<Duration> {
    (*found == 5).then(|| Duration::from_secs(5))
}

/// How many loads `calls` made.
fn loads_of(calls: impl FnOnce()) -> usize {
    let before = load();
    calls();
    load() - before - 1
}

#[test]
fn conditions_decide_what_is_looked_up_and_what_is_kept() {
    within(|clock| {
        let twice = |size| loads_of(|| assert_eq!(conditions(size, false) + conditions(size, false), 2 * size));
        assert_eq!(twice(1), 1);
        assert_eq!(twice(100), 2, "when");
        assert_eq!(twice(13), 2, "cache_if");
        assert_eq!(loads_of(|| _ = conditions(1, true)), 1, "force");
        assert_eq!(loads_of(|| _ = conditions(1, false)), 0, "and what it loaded is kept under the same key");
        assert_eq!(twice(5), 1);
        clock.advance(Duration::from_secs(5));
        assert_eq!(loads_of(|| _ = conditions(5, false)), 1, "ttl_of");
        assert_eq!(loads_of(|| _ = conditions(1, false)), 0);
    });
}

#[cached(REGION, "maybe", only_some)]
fn maybe(there: bool) -> Result<Option<u8>, ()> {
    load();
    Ok(there.then_some(1))
}

#[test]
fn none_is_kept_unless_only_some() {
    #[cached(REGION, "none")]
    fn none() -> Option<u8> {
        load();
        None
    }
    within(|_| {
        assert_eq!(loads_of(|| assert_eq!((none(), none()), (None, None))), 1);
        assert_eq!(loads_of(|| assert_eq!((maybe(false), maybe(false)), (Ok(None), Ok(None)))), 2);
        assert_eq!(loads_of(|| assert_eq!((maybe(true), maybe(true)), (Ok(Some(1)), Ok(Some(1))))), 1);
    });
}

#[cached(REGION, "title")]
fn title(id: u8) -> Cow<'static, str> {
    load();
    if id == 0 { "nobody's".into() } else { format!("page {id}").into() }
}

#[cached(REGION, "numbers")]
fn numbers(len: u64) -> Result<Arc<[u64]>, String> {
    load();
    Ok((0..len).collect())
}

#[test]
fn a_result_may_be_borrowed_for_ever_or_shared() {
    within(|_| {
        for (id, title_of_id) in [(0, "nobody's"), (1, "page 1")] {
            assert_eq!(loads_of(|| assert_eq!((&*title(id), &*title(id)), (title_of_id, title_of_id))), 1);
        }
        let (first, second) = (numbers(3), numbers(3));
        let (first, second) = (first.expect("loaded"), second.expect("kept"));
        assert_eq!(*first, [0, 1, 2]);
        assert!(Arc::ptr_eq(&first, &second), "a hit copies no slice");
    });
}

struct Loader<T>(T);

impl<T: Clone + Send + Sync + 'static> Loader<T> {
    #[cached(REGION, "loaded", skip(self), near_only, weight = |_| 8)]
    fn loaded(&self, id: u8) -> T {
        let _ = id;
        load();
        self.0.clone()
    }

    #[cached(REGION, "loaded whole", skip(self), near_only, weight = |_| 8, outcome = whole)]
    fn loaded_whole(&self, id: u8) -> T {
        let _ = id;
        load();
        self.0.clone()
    }
}

#[test]
fn a_result_that_the_signature_does_not_show_is_not_kept_and_is_warned_about() {
    within(|_| {
        let failing = Loader(Err::<u8, _>("no".to_owned()));
        let twice =
            || loads_of(|| assert_eq!((failing.loaded(1), failing.loaded(1)), (Err("no".into()), Err("no".into()))));
        let (loads, warnings) = warnings(twice);
        assert_eq!(loads, 2);
        assert_eq!(warnings.len(), 1, "once a minute: {warnings:?}");
        for part in ["`cached_in_memory::loaded`", "return `Result<T, E>`", "`outcome = whole`"] {
            assert!(warnings[0].contains(part), "{warnings:?}");
        }
        assert_eq!(loads_of(|| _ = (Loader(7).loaded(2), Loader(8).loaded(2))), 1, "what is none is kept");
        assert_eq!(loads_of(|| _ = (failing.loaded_whole(3), failing.loaded_whole(3))), 1, "as it was asked for");
    });
}

/// Not serializable: it stays near. Its weight must be told where the near tier is bounded in bytes.
#[derive(Debug, Clone)]
struct Handle(#[allow(dead_code)] Arc<str>);

#[cached(REGION, "handle", near_only, weight = |_| 100)]
fn handle(name: &str) -> Handle {
    load();
    Handle(name.into())
}

#[cached(REGION, "weightless", near_only)]
fn weightless(name: &str) -> Handle {
    load();
    Handle(name.into())
}

#[test]
fn a_value_without_serde_stays_near_if_it_can_be_weighed() {
    within(|_| {
        assert_eq!(loads_of(|| _ = (handle("a"), handle("a"))), 1);
        assert_eq!(loads_of(|| _ = (weightless("a"), weightless("a"))), 2);
        let stats = REGION.stats().expect("configured");
        assert_eq!(stats.namespaces["weightless"].unweighed, 2);
        assert_eq!(stats.near.expect("a near tier").entries, 1);
    });
}

#[cached(REGION, "shared name")]
fn number(id: u8) -> u64 {
    load();
    id.into()
}

#[cached(REGION, "shared name")]
fn text(id: u8) -> String {
    load();
    id.to_string()
}

#[test]
fn two_functions_under_one_name_never_get_each_others_values() {
    within(|_| {
        for _ in 0..3 {
            assert_eq!(number(1), 1);
            assert_eq!(text(1), "1");
        }
        assert!(REGION.stats().expect("configured").total.type_clashes > 0);
    });
}

#[cached(REGION, "of any type", key(std::any::type_name::<T>(), id), outcome = whole, near_only, weight = |_| 8)]
fn of_any_type<T: From<u8> + Clone + Send + Sync + 'static>(id: u8) -> T {
    load();
    T::from(id)
}

#[test]
fn a_function_of_any_type_keeps_each_under_its_own_key() {
    within(|_| {
        let both = || assert_eq!((of_any_type::<u64>(1), of_any_type::<f64>(1)), (1, 1.0));
        let (loads, warnings) = warnings(|| loads_of(|| (0..3).for_each(|_| both())));
        assert_eq!(loads, 2, "both are hits from then on");
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(REGION.stats().expect("configured").total.type_clashes, 0);
    });
}

#[cached(REGION, "bytes")]
fn bytes(paths: &std::path::Path) -> usize {
    load();
    paths.as_os_str().len()
}

#[cfg(unix)]
#[test]
fn an_argument_that_cannot_be_encoded_lets_the_call_through() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    within(|_| {
        let path = std::path::Path::new(OsStr::from_bytes(&[0xff]));
        assert_eq!(loads_of(|| assert_eq!((bytes(path), bytes(path)), (1, 1))), 2);
        assert_eq!(REGION.stats().expect("configured").total.key_errors, 2);
        let error = bytes_entry(path).invalidate().wait().expect_err("no key");
        assert_eq!(error.kind(), Kind::Key);
        assert_eq!(loads_of(|| assert_eq!((bytes("a".as_ref()), bytes("a".as_ref())), (1, 1))), 1);
    });
}

#[cached(REGION, "slow")]
async fn slow(id: u32) -> Result<usize, Arc<str>> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    tokio::task::yield_now().await;
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    if id == 0 { Err(format!("failure {run}").into()) } else { Ok(run) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_share_one_load_and_one_failure() {
    let registry = Registry::new();
    open_known_schemes(&registry);
    let settings = Settings::new().ttl(Duration::from_secs(60)).near("memory://");
    registry.configure("cached_in_memory", settings).expect("good settings");
    for id in [1, 0] {
        // A task does not inherit the registry that is in force where it was spawned.
        let tasks: Vec<_> = (0..1000).map(|_| tokio::spawn(isolated_async(&registry, slow(id)))).collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.expect("no panic"));
        }
        assert_eq!(results[0].is_ok(), id == 1);
        if id == 1 {
            assert!(results.iter().all(|result| *result == results[0]), "everybody has the leader's value");
        }
    }
    let stats = registry.region("cached_in_memory").stats().expect("configured").total;
    assert_eq!(stats.loads - stats.failed_loads, 1);
    let waves = stats.failed_loads;
    assert!(waves >= 1 && stats.shared + stats.near_hits + waves + 1 == 2000, "{stats:?}");
}

#[cached(REGION, "failing", key(), outcome = ok, near_only, weight = |_| 8)]
async fn failing<T: Clone + Send + Sync + 'static, E: From<u8>>() -> Result<T, E> {
    tokio::task::yield_now().await;
    load();
    Err(E::from(1))
}

#[cached(REGION, "failing for all", key(), outcome = ok, near_only, weight = |_| 8)]
async fn failing_for_all<T, E>() -> Result<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: From<u8> + Clone + Send + Sync + 'static,
{
    tokio::task::yield_now().await;
    load();
    Err(E::from(1))
}

#[test]
fn a_failure_of_any_type_is_shared_if_its_bounds_say_that_it_can_be() {
    within(|clock| {
        let twice = async || tokio::join!(failing_for_all::<u8, u64>(), failing_for_all::<u8, u64>());
        assert_eq!(loads_of(|| assert_eq!(block_on(clock, twice()).expect("it ends"), (Err(1), Err(1)))), 1);
        let twice = async || tokio::join!(failing::<u8, u64>(), failing::<u8, u64>());
        assert_eq!(loads_of(|| assert_eq!(block_on(clock, twice()).expect("it ends"), (Err(1), Err(1)))), 2);
    });
}

#[cached(REGION, "part")]
async fn part(id: u8) -> u8 {
    tokio::task::yield_now().await;
    load();
    id
}

#[cached(REGION, "whole")]
async fn made_of_one_part_twice(id: u8) -> (u8, u8) {
    tokio::join!(part(id), part(id))
}

#[test]
fn a_load_that_asks_for_one_key_twice_at_once_ends() {
    within(|clock| {
        let began = clock.now();
        assert_eq!(loads_of(|| assert_eq!(block_on(clock, made_of_one_part_twice(1)), Ok((1, 1)))), 1);
        assert_eq!(clock.now(), began, "nobody's patience was needed");
        assert_eq!(loads_of(|| assert_eq!(block_on(clock, part(1)), Ok(1))), 0);
    });
}

static DEPTH: AtomicUsize = AtomicUsize::new(0);

/// The first run waits for a task that asks for the same key, and of which nobody knows that it is its own.
#[cached(REGION, "spawning", key(id))]
async fn spawning(id: u8, registry: Registry) -> u8 {
    if DEPTH.fetch_add(1, Ordering::Relaxed) == 0 {
        return tokio::spawn(spawned(id, registry)).await.expect("no panic") + 1;
    }
    id
}

/// A type with a name, without which the compiler would look for `Send` in circles.
fn spawned(id: u8, registry: Registry) -> Pin<Box<dyn Future<Output = u8> + Send>> {
    Box::pin(async move { isolated_async(&registry.clone(), spawning(id, registry)).await })
}

#[test]
fn a_load_that_waits_for_a_task_that_asks_for_its_key_ends_with_its_patience() {
    const PATIENCE: Duration = Duration::from_secs(10);
    let clock = ManualClock::new();
    let registry = Registry::builder().clock(Clock::Manual(clock.clone())).build();
    open_known_schemes(&registry);
    let settings = Settings::new().ttl(Duration::from_secs(60)).patience(PATIENCE).near("memory://");
    registry.configure("cached_in_memory", settings).expect("good settings");
    let began = clock.now();
    let value = tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
        let call = tokio::spawn(spawned(1, registry.clone()));
        while !call.is_finished() {
            tokio::task::yield_now().await;
            if let Some(next) = clock.next_wake() {
                clock.advance(next.since(clock.now()));
            }
        }
        call.await.expect("no panic")
    });
    assert_eq!((value, clock.now().since(began)), (2, PATIENCE));
    let counts = registry.region("cached_in_memory").stats().expect("configured").total;
    assert_eq!((counts.loads, counts.patience_spent), (2, 1));
}

static WALKED: AtomicUsize = AtomicUsize::new(0);

#[cached(REGION, "walk")]
fn walk(key: u64) -> u64 {
    WALKED.fetch_add(1, Ordering::Relaxed);
    key * 3
}

#[test]
fn eight_threads_that_walk_all_keys_load_each_once() {
    const KEYS: u64 = 20_000;
    let registry = Registry::new();
    open_known_schemes(&registry);
    // Nothing expires, and no wait for another's load ends by itself.
    let settings = Settings::new().ttl(Ttl::Never).patience(Duration::from_secs(24 * 3600));
    registry.configure("cached_in_memory", settings.near("memory://?entries=200000")).expect("good settings");
    std::thread::scope(|scope| {
        // Each in an order of its own: none of the steps has a factor in common with the number of keys.
        for step in [1, 3, 7, 9, 11, 13, 17, KEYS - 1] {
            let registry = &registry;
            scope.spawn(move || {
                isolated(registry, || {
                    (0..KEYS).for_each(|at| assert_eq!(walk(at * step % KEYS), at * step % KEYS * 3))
                });
            });
        }
    });
    let counts = registry.region("cached_in_memory").stats().expect("configured").total;
    assert_eq!((WALKED.load(Ordering::Relaxed), counts.loads, counts.unshared), (20_000, 20_000, 0), "{counts:?}");
}
