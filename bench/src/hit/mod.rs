//! Family `hit`: a memoised `(u64, &str) -> V` with room for all its keys and a TTL, asked for keys that it holds.
//!
//! Every answer is checked to be a hit: after the warm-up the function's body runs no more.

#[cfg(feature = "hitbox")]
mod hitbox;
mod ours;
mod peers;

use std::collections::BTreeSet;
use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cache_core::clock::Clock;

use crate::harness::{Effort, Record, Role, Subject, time};
use crate::load::{Pair, pairs, picks};

pub use ours::{NAMESPACE, key, object};
#[cfg(feature = "cost")]
pub use peers::OWN_MAP;

/// How many keys there are; `MAX_SIZE` has room for many more.
pub const KEYS: u64 = 10_000;
pub const MAX_SIZE: u64 = 100_000;

pub fn run(effort: Effort) -> Vec<Record> {
    let keys = pairs(KEYS);
    println!("{KEYS} keys (u64, &str of {} bytes), zipf 1.0, all hits; {:?} clock", keys[0].1.len(), Clock::System);
    let calls = if effort == Effort::Full { 1 << 18 } else { 1 << 15 };
    let mut records = Vec::new();
    for threads in threads() {
        let picks: Vec<_> = (0..threads).map(|thread| picks(keys.len(), 1.0, calls, thread + 1)).collect();
        let mut case = |name: &str, face: &str, subjects: Vec<Box<dyn Subject>>| {
            warm(&subjects, keys.len());
            let loads = LOADS.load(Ordering::Relaxed);
            records.extend(time("hit", &format!("{name}, {threads} thr, {face}"), &subjects, &picks, effort));
            assert_eq!(LOADS.load(Ordering::Relaxed), loads, "{name}: not all were hits");
        };
        case("u64", "sync", sync::<u64>(keys));
        case("String 100 B", "sync", sync::<String>(keys));
        case("Arc 10 KiB", "sync", sync::<Arc<[u8]>>(keys));
        case("u64", "async", asynchronous::<u64>(keys));
        case("String 100 B", "async", asynchronous::<String>(keys));
        case("Arc 10 KiB", "async", asynchronous::<Arc<[u8]>>(keys));
    }
    records
}

/// One, two, and as many as there are processors.
fn threads() -> BTreeSet<u64> {
    let all = std::thread::available_parallelism().map_or(2, |all| all.get() as u64);
    [1, 2, all].into()
}

pub fn sync<V: peers::Cached + ours::Attribute>(keys: &'static [Pair]) -> Vec<Box<dyn Subject>> {
    let mut subjects = ours::sync::<V>(keys);
    subjects.extend(peers::sync::<V>(keys));
    subjects
}

fn asynchronous<V: peers::Cached + ours::Attribute>(keys: &'static [Pair]) -> Vec<Box<dyn Subject>> {
    let mut subjects = ours::asynchronous::<V>(keys);
    subjects.extend(peers::asynchronous::<V>(keys));
    subjects
}

fn warm(subjects: &[Box<dyn Subject>], keys: usize) {
    let all: Vec<u32> = (0..keys as u32).collect();
    subjects.iter().for_each(|subject| _ = subject.ask(&all));
}

/// What a memoised function returns here.
pub trait Value: Clone + Send + Sync + 'static {
    fn of(id: u64) -> Self;
}

impl Value for u64 {
    fn of(id: u64) -> Self {
        id
    }
}

impl Value for String {
    fn of(id: u64) -> Self {
        format!("{id:0100}")
    }
}

impl Value for Arc<[u8]> {
    fn of(id: u64) -> Self {
        vec![id as u8; 10 << 10].into()
    }
}

/// How often a body ran.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// The body of every memoised function.
#[cold]
fn load<V: Value>(id: u64) -> V {
    LOADS.fetch_add(1, Ordering::Relaxed);
    V::of(id)
}

struct Calls<F> {
    name: &'static str,
    role: Role,
    keys: &'static [Pair],
    call: F,
}

pub fn calls<V, F>(name: &'static str, role: Role, keys: &'static [Pair], call: F) -> Box<dyn Subject>
where
    F: Fn(u64, &'static str) -> V + Sync + 'static,
{
    Box::new(Calls { name, role, keys, call })
}

impl<V, F: Fn(u64, &'static str) -> V + Sync> Subject for Calls<F> {
    fn name(&self) -> &str {
        self.name
    }

    fn role(&self) -> Role {
        self.role
    }

    fn ask(&self, picks: &[u32]) -> Duration {
        let start = Instant::now();
        for pick in picks {
            let (id, name) = self.keys[*pick as usize];
            drop(black_box((self.call)(id, name)));
        }
        start.elapsed()
    }
}

/// Like [`Calls`], awaited on a runtime of the thread that asks.
struct Futures<F>(Calls<F>);

fn futures<F, Fut>(name: &'static str, role: Role, keys: &'static [Pair], call: F) -> Box<dyn Subject>
where
    F: Fn(u64, &'static str) -> Fut + Sync + 'static,
    Fut: Future,
{
    Box::new(Futures(Calls { name, role, keys, call }))
}

impl<Fut: Future, F: Fn(u64, &'static str) -> Fut + Sync> Subject for Futures<F> {
    fn name(&self) -> &str {
        self.0.name
    }

    fn role(&self) -> Role {
        self.0.role
    }

    fn ask(&self, picks: &[u32]) -> Duration {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let start = Instant::now();
            for pick in picks {
                let (id, name) = self.0.keys[*pick as usize];
                drop(black_box((self.0.call)(id, name).await));
            }
            start.elapsed()
        })
    }
}
