//! Family `storm`: many callers ask for one cold key at the same moment, and a load takes 50 ms.
//!
//! Told are the loads that ran, and how long callers waited, from the moment at which all were let go: on few CPUs the last
//! of them is long in coming to its call. The limit is the load alone. Family `storm-memory`, in a build that counts,
//! tells what the callers had allocated while they waited.

#[cfg(feature = "hitbox")]
mod hitbox;
mod ours;
mod peers;
mod processes;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::harness::{Better, Effort, Record, Role, tell};

pub use processes::is_child;

const LOAD: Duration = Duration::from_millis(50);
/// Room for every key of a run.
const MAX_SIZE: u64 = 10_000;
const TTL: Duration = Duration::from_secs(3600);

/// A cache, and a storm on it.
struct Storm {
    name: &'static str,
    role: Role,
    /// By so many callers, on this key.
    run: Box<dyn Fn(u64, usize) -> Answers>,
}

/// What came of a storm.
struct Answers {
    loads: u64,
    waited: Vec<Duration>,
}

pub fn run(effort: Effort) -> Vec<Record> {
    let rounds = if effort == Effort::Full { 15 } else { 3 };
    let mut records = measure("200 threads", 200, rounds, &of_threads(Role::Beside));
    for (case, callers) in [("2,000 tasks", 2000), ("100,000 tasks", 100_000)] {
        records.extend(measure(case, callers, rounds, &of_tasks(Role::Beside)));
    }
    records.extend(measure("4 processes x 10 threads, memcached", 40, rounds, &processes::storms()));
    records
}

/// What is in use at the worst moment of a storm, for each caller: its task or thread, without the stack, and what waits.
#[cfg(all(feature = "counting", not(feature = "cost")))]
pub fn memory(effort: Effort) -> Vec<Record> {
    IS_LONG.store(true, Ordering::Relaxed);
    let rounds = if effort == Effort::Full { 15 } else { 2 };
    let measure = |case: &str, callers: usize, storms: &[Storm]| {
        let once = |storm: &Storm| [crate::counting::peak(|| (storm.run)(next_key(), callers)) as f64 / callers as f64];
        let rows = rows(storms, rounds, once).map(|(name, role, [peak])| (name, role, peak.0, peak.1));
        tell("storm-memory", &format!("{case}, allocated by each"), "B", rows.collect(), Better::Less)
    };
    let mut records = measure("200 threads", 200, &of_threads(Role::Limit));
    for (case, callers) in [("2,000 tasks", 2000), ("100,000 tasks", 100_000)] {
        records.extend(measure(case, callers, &of_tasks(Role::Limit)));
    }
    records
}

/// The subjects of threads; `alone` is what callers without a cache are to the others.
fn of_threads(alone: Role) -> Vec<Storm> {
    let mut storms = ours::of_threads();
    storms.extend(peers::of_threads());
    storms.push(threads("no cache: each caller loads", alone, load));
    storms
}

fn of_tasks(alone: Role) -> Vec<Storm> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let runtime = Arc::new(runtime.expect("a runtime"));
    let mut storms = ours::of_tasks(&runtime);
    storms.extend(peers::of_tasks(&runtime));
    #[cfg(feature = "hitbox")]
    storms.push(hitbox::of_tasks(&runtime));
    storms.push(tasks("no cache: each caller loads", alone, &runtime, load_async));
    storms
}

fn measure(case: &str, callers: usize, rounds: usize, storms: &[Storm]) -> Vec<Record> {
    let once = |storm: &Storm| {
        let Answers { loads, mut waited } = (storm.run)(next_key(), callers);
        assert!(storm.role != Role::Ours || loads == 1, "{case}: {} ran {loads} loads", storm.name);
        waited.sort();
        let of = |percent: usize| millis(waited[waited.len() * percent / 100]);
        [loads as f64, of(50), of(99)]
    };
    let rows: Vec<_> = rows(storms, rounds, once).collect();
    let load = millis(LOAD);
    let figures = [("loads", "runs", 1.0), ("p50", "ms", load), ("p99", "ms", load)];
    let figures = figures.into_iter().enumerate().flat_map(|(at, (what, unit, limit))| {
        let mut told = vec![("limit: one load".to_owned(), Role::Limit, limit, limit)];
        told.extend(rows.iter().map(|(name, role, figures)| (name.clone(), *role, figures[at].0, figures[at].1)));
        tell("storm", &format!("{case}, {what}"), unit, told, Better::Less)
    });
    figures.collect()
}

/// Interleaved rounds after one that does not count: of each figure the median and the best.
fn rows<const FIGURES: usize>(
    storms: &[Storm],
    rounds: usize,
    once: impl Fn(&Storm) -> [f64; FIGURES],
) -> impl Iterator<Item = (String, Role, [(f64, f64); FIGURES])> {
    let mut seen = vec![Vec::new(); storms.len()];
    for round in 0..=rounds {
        for (storm, seen) in storms.iter().zip(&mut seen) {
            let figures = once(storm);
            if round > 0 {
                seen.push(figures);
            }
        }
    }
    storms.iter().zip(seen).map(|(storm, seen)| {
        let of = |at: usize| {
            let mut figures: Vec<f64> = seen.iter().map(|figures| figures[at]).collect();
            figures.sort_by(f64::total_cmp);
            (figures[figures.len() / 2], figures[0])
        };
        (storm.name.to_owned(), storm.role, std::array::from_fn(of))
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// One that nobody has asked for.
fn next_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How often a body ran, in this process.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// Whether a load takes as long as even the last of 100,000 tasks needs to come and wait for it.
static IS_LONG: AtomicBool = AtomicBool::new(false);

fn load_time() -> Duration {
    if IS_LONG.load(Ordering::Relaxed) { 20 * LOAD } else { LOAD }
}

/// The body of every memoised function.
fn load(id: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::Relaxed);
    thread::sleep(load_time());
    id
}

async fn load_async(id: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(load_time()).await;
    id
}

fn threads(name: &'static str, role: Role, call: impl Fn(u64) -> u64 + Sync + 'static) -> Storm {
    Storm { name, role, run: Box::new(move |key, callers| storm_of_threads(key, callers, &call)) }
}

fn storm_of_threads(key: u64, callers: usize, call: &(impl Fn(u64) -> u64 + Sync + ?Sized)) -> Answers {
    let loads = LOADS.load(Ordering::Relaxed);
    let (gate, here) = (Barrier::new(callers + 1), AtomicUsize::new(0));
    let ask = || {
        here.fetch_add(1, Ordering::Relaxed);
        gate.wait();
        assert_eq!(call(key), key);
        Instant::now()
    };
    let waited = thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(ask)).collect();
        while here.load(Ordering::Relaxed) < callers {
            thread::sleep(Duration::from_millis(1));
        }
        let start = Instant::now();
        gate.wait();
        threads.into_iter().map(|thread| thread.join().expect("a subject failed") - start).collect()
    });
    Answers { loads: LOADS.load(Ordering::Relaxed) - loads, waited }
}

fn tasks<F, Fut>(name: &'static str, role: Role, runtime: &Arc<Runtime>, call: F) -> Storm
where
    F: Fn(u64) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send,
{
    let runtime = runtime.clone();
    Storm {
        name,
        role,
        run: Box::new(move |key, callers| runtime.block_on(storm_of_tasks(key, callers, call.clone()))),
    }
}

async fn storm_of_tasks<F, Fut>(key: u64, callers: usize, call: F) -> Answers
where
    F: Fn(u64) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send,
{
    let loads = LOADS.load(Ordering::Relaxed);
    let (gate, here) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let ask = |(gate, here, call): (Arc<Semaphore>, Arc<AtomicUsize>, F)| async move {
        here.fetch_add(1, Ordering::Relaxed);
        // It gives no permits: it is closed when all are here.
        let _ = gate.acquire().await;
        assert_eq!(call(key).await, key);
        Instant::now()
    };
    let tasks: Vec<_> = (0..callers).map(|_| tokio::spawn(ask((gate.clone(), here.clone(), call.clone())))).collect();
    while here.load(Ordering::Relaxed) < callers {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let start = Instant::now();
    gate.close();
    let mut waited = Vec::with_capacity(callers);
    for task in tasks {
        waited.push(task.await.expect("a subject failed") - start);
    }
    Answers { loads: LOADS.load(Ordering::Relaxed) - loads, waited }
}
