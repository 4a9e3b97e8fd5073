//! Family `ratio`: which share of the look-ups hits when the cache has room for a part of the keys only.
//!
//! The traces are made up, so they show how policies differ in kind, not what a service would see. Beside the caches
//! stand two policies in their textbook form, SIEVE and LRU, without locks and shards.

mod policies;

use std::sync::Arc;

use cache_core::backend::{Object, ObjectBackend};
use cache_core::clock::{Clock, Tick};
use cache_core::key::Key;
use cache_memory::MemoryBackend;
use foldhash::fast::RandomState;

use crate::harness::{Better, Effort, Record, Role, tell};
use crate::hit::{key, object};
use crate::load::{Random, Zipf};
use policies::{Lru, Sieve};

const KEYS: usize = 100_000;

pub fn run(effort: Effort) -> Vec<Record> {
    let len = if effort == Effort::Full { 3_000_000 } else { 300_000 };
    let traces =
        [("zipf 0.9", zipf(len)), ("zipf 0.9 + scan", zipf_and_scan(len)), ("shifting hot set", shifting(len))];
    let now = Clock::System.now();
    let mut records = Vec::new();
    for (name, trace) in traces {
        let footprint = 1 + trace.iter().copied().max().unwrap_or_default() as usize;
        let keys: Vec<Key> = (0..footprint as u64).map(|id| key(id, "ratio")).collect();
        let shared = object(0_u64);
        for percent in [1, 5, 10, 25] {
            let capacity = footprint * percent / 100;
            let rows = subjects(capacity, &keys, &shared, now).into_iter().map(|(name, role, mut hits)| {
                let hit = trace.iter().filter(|id| hits(**id)).count();
                let share = 100.0 * hit as f64 / trace.len() as f64;
                (name.to_owned(), role, share, share)
            });
            let case = format!("{name}, {percent} % of {footprint} keys");
            records.extend(tell("ratio", &case, "% hits", rows.collect(), Better::More));
        }
    }
    records
}

/// Looks up a key, and stores it when it is missing.
type Hits<'a> = Box<dyn FnMut(u32) -> bool + 'a>;

fn subjects<'a>(
    capacity: usize,
    keys: &'a [Key],
    object: &'a Arc<Object>,
    now: Tick,
) -> Vec<(&'static str, Role, Hits<'a>)> {
    let ours = MemoryBackend::builder().entries(capacity as u64).build().expect("a capacity");
    let quick = quick_cache::sync::Cache::<u32, (), quick_cache::UnitWeighter, RandomState>::with(
        capacity,
        capacity as u64,
        quick_cache::UnitWeighter,
        RandomState::default(),
        Default::default(),
    );
    let moka: moka::sync::Cache<u32, (), RandomState> =
        moka::sync::Cache::builder().max_capacity(capacity as u64).build_with_hasher(RandomState::default());
    let (mut sieve, mut lru) = (Sieve::new(capacity), Lru::new(capacity));
    vec![
        (
            "cache-memory",
            Role::Ours,
            Box::new(move |id| {
                let key = keys[id as usize].as_ref();
                let mut hit = false;
                ours.visit(key, &mut |_| hit = true);
                if !hit {
                    ours.put(key, object.clone(), now);
                }
                hit
            }),
        ),
        (
            "quick_cache",
            Role::Limit,
            Box::new(move |id| {
                let hit = quick.get(&id).is_some();
                if !hit {
                    quick.insert(id, ());
                }
                hit
            }),
        ),
        (
            "moka",
            Role::Peer,
            Box::new(move |id| {
                let hit = moka.get(&id).is_some();
                if !hit {
                    moka.insert(id, ());
                }
                hit
            }),
        ),
        ("SIEVE, textbook", Role::Beside, Box::new(move |id| sieve.ask(id))),
        ("LRU, textbook", Role::Beside, Box::new(move |id| lru.ask(id))),
    ]
}

/// Draws by popularity, from keys in no order.
fn zipf(len: usize) -> Vec<u32> {
    let (zipf, mut random) = (Zipf::new(KEYS, 0.9), Random::new(1));
    (0..len).map(|_| zipf.draw(&mut random) as u32).collect()
}

/// The same, with a fifth of the look-ups in runs of 5000 through keys that nobody else asks for.
fn zipf_and_scan(len: usize) -> Vec<u32> {
    let (zipf, mut random) = (Zipf::new(KEYS, 0.9), Random::new(2));
    let mut scanned = 0;
    let draw = |at: usize| {
        if (at / 5000) % 5 == 4 {
            scanned = (scanned + 1) % KEYS;
            (KEYS + scanned) as u32
        } else {
            zipf.draw(&mut random) as u32
        }
    };
    (0..len).map(draw).collect()
}

/// Nine of ten look-ups go to a hot twentieth of the keys, which becomes another one six times.
fn shifting(len: usize) -> Vec<u32> {
    let mut random = Random::new(3);
    let hot = KEYS as u64 / 20;
    let draw = |at: usize| {
        let shift = (at * 6 / len) as u64 * hot;
        if random.unit() < 0.9 { (shift + random.below(hot)) as u32 } else { random.below(KEYS as u64) as u32 }
    };
    (0..len).map(draw).collect()
}
