//! Values that are served past their `ttl`: while one caller reloads, and when the reload fails; near, and among
//! processes over a real memcached.

#![cfg(all(feature = "macros", feature = "memory", feature = "testkit"))]
#![allow(clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cache::testkit::isolated;
use cache::{Region, Registry, Settings, cached};

static STALE: Region = Region::named("stale");

const TTL: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// One test at a time uses the source.
static SOURCE: Mutex<()> = Mutex::new(());
static LOADS: AtomicU64 = AtomicU64::new(0);
static FAILS: AtomicBool = AtomicBool::new(false);
/// What holds up a load, if it is to be held up: it tells that it has begun, and waits.
static HELD: Mutex<Option<(SyncSender<()>, Receiver<()>)>> = Mutex::new(None);

/// How many loads there were, this one included.
#[cached(STALE, "count")]
fn count() -> Result<u64, String> {
    let load = LOADS.fetch_add(1, Ordering::SeqCst) + 1;
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((begun, go_on)) = held {
        begun.send(()).expect("the test waits");
        go_on.recv().expect("the test lets it go on");
    }
    if FAILS.load(Ordering::SeqCst) { Err(format!("load {load} failed")) } else { Ok(load) }
}

/// The next load tells when it has begun and waits to be let go on.
fn hold() -> (Receiver<()>, SyncSender<()>) {
    let ((begun, has_begun), (let_go, go_on)) = (sync_channel(1), sync_channel(1));
    *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun, go_on));
    (has_begun, let_go)
}

fn alone() -> std::sync::MutexGuard<'static, ()> {
    let alone = SOURCE.lock().unwrap_or_else(PoisonError::into_inner);
    LOADS.store(0, Ordering::SeqCst);
    FAILS.store(false, Ordering::SeqCst);
    alone
}

fn near(settings: Settings) -> Registry {
    let registry = Registry::for_tests();
    registry.configure("stale", settings.ttl(TTL).jitter(0.0).near("memory://")).expect("good settings");
    registry
}

fn advance(registry: &Registry, by: Duration) {
    registry.clock().manual().expect("a clock to be moved").advance(by);
}

/// In `one`, a caller reloads what is stale, and is held up. In `other`, another one is served.
fn others_are_served(one: &Registry, other: &Registry) {
    let (begun, let_go) = hold();
    thread::scope(|scope| {
        let reloading = scope.spawn(|| isolated(one, count));
        begun.recv().expect("the first who finds it stale reloads it");
        for _ in 0..10 {
            assert_eq!(isolated(other, count), Ok(1), "the others have the stale one at once");
        }
        let_go.send(()).expect("it waits");
        assert_eq!(reloading.join().expect("no panic"), Ok(2));
    });
    assert_eq!(isolated(other, count), Ok(2));
    assert_eq!(LOADS.load(Ordering::SeqCst), 2, "one reload in all");
}

#[test]
fn one_caller_reloads_and_the_others_have_the_stale_value() {
    let _alone = alone();
    let registry = near(Settings::new().stale_while_revalidate(30 * SECOND));
    assert_eq!(isolated(&registry, || (count(), count())), (Ok(1), Ok(1)));
    advance(&registry, TTL);
    others_are_served(&registry, &registry);
    advance(&registry, TTL + 30 * SECOND);
    let (begun, let_go) = hold();
    thread::scope(|scope| {
        let callers = [0; 2].map(|_| scope.spawn(|| isolated(&registry, count)));
        begun.recv().expect("it is dead: somebody loads it");
        let_go.send(()).expect("it waits");
        for caller in callers {
            assert_eq!(caller.join().expect("no panic"), Ok(3), "beyond the window all wait for the load");
        }
    });
}

#[test]
fn without_a_window_everybody_waits() {
    let _alone = alone();
    let registry = near(Settings::new());
    isolated(&registry, || {
        assert_eq!(count(), Ok(1));
        advance(&registry, TTL);
        FAILS.store(true, Ordering::SeqCst);
        assert_eq!(count(), Err("load 2 failed".to_owned()));
    });
}

#[test]
fn a_failed_reload_gives_the_stale_value_and_is_not_repeated_for_a_while() {
    let _alone = alone();
    let registry = near(Settings::new().stale_if_error(30 * SECOND).throttle(5 * SECOND));
    isolated(&registry, || {
        assert_eq!(count(), Ok(1));
        advance(&registry, TTL);
        FAILS.store(true, Ordering::SeqCst);
        assert_eq!(count(), Ok(1), "the reload failed");
        assert_eq!((count(), count(), LOADS.load(Ordering::SeqCst)), (Ok(1), Ok(1), 2), "nobody tries again");
        advance(&registry, 5 * SECOND);
        assert_eq!((count(), LOADS.load(Ordering::SeqCst)), (Ok(1), 3), "after the throttle somebody does");
        advance(&registry, 5 * SECOND);
        FAILS.store(false, Ordering::SeqCst);
        assert_eq!((count(), count()), (Ok(4), Ok(4)), "and it succeeds");
        FAILS.store(true, Ordering::SeqCst);
        advance(&registry, TTL + 30 * SECOND);
        assert_eq!(count(), Err("load 5 failed".to_owned()), "beyond the window the failure is the answer");
    });
}

#[test]
fn what_was_invalidated_is_not_served_stale() {
    let _alone = alone();
    let registry = near(Settings::new().stale_while_revalidate(30 * SECOND).stale_if_error(30 * SECOND));
    isolated(&registry, || {
        assert_eq!(count(), Ok(1));
        advance(&registry, TTL);
        count_entry().invalidate().wait().expect("memory does not fail");
        FAILS.store(true, Ordering::SeqCst);
        assert_eq!(count(), Err("load 2 failed".to_owned()));
    });
}

#[cfg(feature = "memcached")]
mod among_processes {
    use std::time::Instant;

    use cache::open_known_schemes;
    use memcached_server::Server;

    use super::*;

    /// What another process has: a board and connections of its own, and the same server.
    fn process(server: &Server, settings: &Settings) -> Registry {
        let registry = Registry::new();
        open_known_schemes(&registry);
        let settings = settings.clone().ttl(2 * SECOND).jitter(0.0).far(server.url());
        registry.configure("stale", settings).expect("good settings");
        registry
    }

    /// What was stored by now. memcached counts its own seconds, and nobody can move them.
    fn until_it_is_stale() {
        thread::sleep(3 * SECOND + SECOND / 10);
    }

    #[test]
    fn one_process_reloads_and_the_others_have_the_stale_value() {
        let _alone = alone();
        let server = Server::start(&[]);
        let settings = Settings::new().stale_while_revalidate(60 * SECOND);
        let (one, other) = (process(&server, &settings), process(&server, &settings));
        assert_eq!((isolated(&one, count), isolated(&other, count)), (Ok(1), Ok(1)));
        until_it_is_stale();
        others_are_served(&one, &other);
    }

    #[test]
    fn a_failed_reload_gives_the_stale_value_to_all_processes() {
        let _alone = alone();
        let server = Server::start(&[]);
        // While the first rests from its failure it keeps the claim; the other waits for it no longer than a throttle.
        let settings = Settings::new().stale_if_error(60 * SECOND).throttle(SECOND);
        let (one, other) = (process(&server, &settings), process(&server, &settings));
        assert_eq!(isolated(&one, count), Ok(1));
        until_it_is_stale();
        FAILS.store(true, Ordering::SeqCst);
        assert_eq!((isolated(&one, count), isolated(&one, count)), (Ok(1), Ok(1)));
        assert_eq!(LOADS.load(Ordering::SeqCst), 2, "one attempt of this process");
        let waited = Instant::now();
        assert_eq!(isolated(&other, count), Ok(1), "the other has it too, once the reload takes too long");
        assert!((SECOND..10 * SECOND).contains(&waited.elapsed()), "{:?}", waited.elapsed());
        let waited = Instant::now();
        assert_eq!(isolated(&other, count), Ok(1));
        assert!(waited.elapsed() < SECOND, "and waits no more: {:?}", waited.elapsed());
        assert_eq!(LOADS.load(Ordering::SeqCst), 2, "one attempt in all");
        FAILS.store(false, Ordering::SeqCst);
        assert_eq!((isolated(&one, count), isolated(&other, count)), (Ok(3), Ok(3)), "whoever rested tries again");
        until_it_is_stale();
        FAILS.store(true, Ordering::SeqCst);
        STALE.invalidate_namespace("count").wait().expect_err("no registry of this thread has the region");
        isolated(&one, || STALE.invalidate_namespace("count").wait()).expect("the server is there");
        assert!(isolated(&other, count).is_err(), "what was invalidated is not served stale");
    }
}
