//! Three memcached servers of which one is killed, stands still, or forgets everything, while threads and tasks call a
//! cached function and another thread invalidates.

#![cfg(all(feature = "macros", feature = "memcached", feature = "testkit", feature = "tokio"))]
#![allow(clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cache::testkit::{isolated, isolated_async};
use cache::{Kind, Region, Registry, Settings, cached, open_known_schemes};
use memcached_server::Server;

static FIRE: Region = Region::named("fire");

const KEYS: usize = 300;
const IO_TIMEOUT: Duration = Duration::from_millis(100);
const BLACKLIST: Duration = Duration::from_millis(500);

/// What a call takes at most, where its load takes no time.
const BOUND: Duration = IO_TIMEOUT.saturating_mul(2).saturating_add(Duration::from_millis(50));
/// What no call takes, however late the machine is: who waits for a load that nobody has begun waits for `patience`, 30 s.
const HANGS: Duration = Duration::from_secs(10);

/// What is true of each key.
static SOURCE: [AtomicU64; KEYS] = [const { AtomicU64::new(0) }; KEYS];
/// What an invalidation that was done has made known.
static ACKNOWLEDGED: [AtomicU64; KEYS] = [const { AtomicU64::new(0) }; KEYS];

/// How often a thread has loaded.
static LOADS: AtomicU64 = AtomicU64::new(0);

#[cached(FIRE, "price")]
fn price(key: usize) -> u64 {
    LOADS.fetch_add(1, Ordering::Relaxed);
    SOURCE[key].load(Ordering::SeqCst)
}

#[cached(FIRE, "price")]
async fn price_async(key: usize) -> u64 {
    SOURCE[key].load(Ordering::SeqCst)
}

fn registry(servers: &[Server]) -> Registry {
    let registry = Registry::new();
    open_known_schemes(&registry);
    let places: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let far = format!("memcached://{}?io_timeout=100ms&connect_timeout=100ms&blacklist=500ms", places.join(","));
    registry.configure("fire", Settings::new().ttl(Duration::from_secs(60)).far(far)).expect("good settings");
    registry
}

/// These tests measure time: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// How long calls took at most.
#[derive(Default)]
struct Longest(AtomicU64);

impl Longest {
    fn note(&self, took: Duration) {
        self.0.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
    }

    fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed))
    }
}

/// A key that differs from call to call.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % KEYS
}

fn check(key: usize, known: u64, seen: u64) {
    assert!(seen >= known, "key {key}: version {seen} was read after {known} was acknowledged");
}

fn read_on_a_thread(seed: u64, ended: &AtomicBool, longest: &Longest) {
    let mut state = seed;
    while !ended.load(Ordering::Relaxed) {
        let key = next(&mut state);
        let (known, began) = (ACKNOWLEDGED[key].load(Ordering::SeqCst), Instant::now());
        check(key, known, price(key));
        longest.note(began.elapsed());
    }
}

async fn read_in_a_task(seed: u64, ended: &AtomicBool, longest: &Longest) {
    let mut state = seed;
    while !ended.load(Ordering::Relaxed) {
        let key = next(&mut state);
        let (known, began) = (ACKNOWLEDGED[key].load(Ordering::SeqCst), Instant::now());
        check(key, known, price_async(key).await);
        longest.note(began.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Changes the source and invalidates; says how many of these did not reach their node at once.
fn change(ended: &AtomicBool) -> u64 {
    let (mut state, mut pending) = (7, 0);
    while !ended.load(Ordering::Relaxed) {
        let key = next(&mut state);
        let version = SOURCE[key].fetch_add(1, Ordering::SeqCst) + 1;
        match price_entry(key).invalidate().wait() {
            Ok(_) => drop(ACKNOWLEDGED[key].fetch_max(version, Ordering::SeqCst)),
            Err(error) if error.kind() == Kind::Pending => pending += 1,
            Err(error) => panic!("{error}"),
        }
        thread::sleep(Duration::from_millis(1));
    }
    pending
}

fn set_aside() -> usize {
    let stats = FIRE.stats().expect("it is configured");
    stats.nodes.iter().filter(|node| node.set_aside_for.is_some()).count()
}

/// Until all nodes are asked again.
fn whole_again() {
    let began = Instant::now();
    while set_aside() > 0 {
        assert!(began.elapsed() < BLACKLIST + Duration::from_secs(1), "a node that is back is still set aside");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn nobody_sees_an_error_a_wrong_value_or_a_long_wait() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let servers: Vec<Server> = (0..3).map(|_| Server::start(&[])).collect();
    let registry = registry(&servers);
    let (ended, longest) = (AtomicBool::new(false), Longest::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (ended, longest) = (&ended, &longest);
    thread::scope(|scope| {
        let writer = scope.spawn(|| isolated(&registry, || change(ended)));
        let shared = &registry;
        let reader = |seed| scope.spawn(move || isolated(shared, || read_on_a_thread(seed, ended, longest)));
        let readers = [0, 1, 2, 3].map(reader);
        let tasks = scope.spawn(|| {
            runtime.block_on(async {
                let task = |seed| isolated_async(&registry, read_in_a_task(seed, ended, longest));
                let mut all: Vec<_> = (100..164).map(|seed| Box::pin(task(seed))).collect();
                std::future::poll_fn(|cx| {
                    all.retain_mut(|task| task.as_mut().poll(cx).is_pending());
                    if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
            });
        });
        let none_hangs = |what: &'static str| {
            let longest = longest.take();
            assert!(longest < HANGS, "{what}: a call took {longest:?}");
            (what, longest)
        };
        let phase = |what, time| {
            thread::sleep(Duration::from_millis(time));
            none_hangs(what)
        };
        let round = || {
            let well = phase("all is well", 500);
            servers[0].kill();
            let killed = phase("one is killed", 1000);
            assert_eq!(set_aside(), 1);
            servers[0].restart();
            whole_again();
            let back = phase("it is back", 500);
            servers[1].pause();
            let paused = phase("one stands still", 1000);
            assert_eq!(set_aside(), 1);
            servers[1].resume();
            whole_again();
            let resumed = phase("it goes on", 500);
            servers[2].restart();
            let empty = phase("one forgot everything", 1000);
            whole_again();
            [well, killed, back, paused, resumed, empty]
        };
        let acts = || {
            isolated(&registry, || {
                let (mut shortest, mut rounds) = (round(), 1);
                // Again where this machine was late: 68 callers share it with the servers, and with other programs.
                while shortest.iter().any(|(_, longest)| *longest >= BOUND) {
                    assert!(rounds < 10, "in each of {rounds} rounds a call took too long, at least: {shortest:?}");
                    shortest.iter_mut().zip(round()).for_each(|(known, again)| known.1 = known.1.min(again.1));
                    rounds += 1;
                }
            });
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(acts));
        ended.store(true, Ordering::Relaxed);
        tasks.join().expect("no task fails");
        readers.into_iter().for_each(|reader| reader.join().expect("no reader fails"));
        let pending = writer.join().expect("no invalidation fails for good");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        none_hangs("the calls under way at the end");
        assert!(pending > 0, "the test is about invalidations that do not reach their node");
    });
    isolated(&registry, || {
        FIRE.flush_pending().wait().expect("all nodes are there");
        for (key, source) in SOURCE.iter().enumerate() {
            assert_eq!(price(key), source.load(Ordering::SeqCst), "what was invalidated meanwhile is back: {key}");
        }
        let stats = FIRE.stats().expect("it is configured");
        assert!(stats.total.far_hits > 1000 && stats.total.far_errors > 0, "{stats}");
    });
}

#[test]
fn a_node_that_is_set_aside_costs_its_callers_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let servers: Vec<Server> = (0..3).map(|_| Server::start(&[])).collect();
    isolated(&registry(&servers), || {
        (0..KEYS).for_each(|key| _ = price(key));
        servers[0].kill();
        (0..KEYS).for_each(|key| _ = price(key));
        assert_eq!(set_aside(), 1);
        // The load takes no time: how long the calls were that had to make it, because their node was not asked.
        let p99 = || {
            let mut took = Vec::new();
            for key in (0..10 * KEYS).map(|n| n % KEYS) {
                let (loads, began) = (LOADS.load(Ordering::Relaxed), Instant::now());
                price(key);
                if LOADS.load(Ordering::Relaxed) > loads {
                    took.push(began.elapsed());
                }
            }
            took.sort();
            assert!(took.len() > KEYS, "a third of the keys are the node's");
            took[took.len() * 99 / 100]
        };
        // Asked again where it is this machine that was late.
        let rounds: Vec<Duration> = (0..5).map(|_| p99()).collect();
        let is_quick = rounds.iter().any(|p99| *p99 < Duration::from_millis(1));
        assert!(is_quick, "one call of a hundred took this long, round by round: {rounds:?}");
    });
}
