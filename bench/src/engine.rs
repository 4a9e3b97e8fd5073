//! Family `engine`: what could carry the near backend, asked for keys that are written and hashed already.
//!
//! Each candidate keeps the canonical bytes of the key and an `Arc` per entry, and shows the value without taking a
//! reference where it can. Beside the time of a hit it tells how many values that were removed are still in memory
//! when nobody asks any more: what a bound on memory has to live with.

use std::hash::{BuildHasher, Hash, Hasher};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cache_core::backend::ObjectBackend;
use cache_core::clock::Clock;
use cache_core::key::Key;
use cache_memory::MemoryBackend;
use equivalent::Equivalent;

use crate::harness::{Better, Effort, Record, Role, Row, Subject, tell, time};
use crate::hit::{NAMESPACE, key, object};
use crate::load::{pairs, picks};

const KEYS: u64 = 10_000;

pub fn run(effort: Effort) -> Vec<Record> {
    let keys: Arc<[Key]> = pairs(KEYS).iter().map(|(id, name)| key(*id, name)).collect();
    println!("{KEYS} keys of {} bytes in `{NAMESPACE}`, zipf 1.0, all hits", keys[0].as_ref().bytes().len());
    let subjects = subjects(&keys);
    let calls = if effort == Effort::Full { 1 << 19 } else { 1 << 16 };
    let mut records = Vec::new();
    for threads in [1, 2] {
        let picks: Vec<_> = (0..threads).map(|thread| picks(KEYS as usize, 1.0, calls, thread + 1)).collect();
        records.extend(time("engine", &format!("look-up, {threads} thr"), &subjects, &picks, effort));
    }
    records.extend(tell("engine", "removed, still in memory", "of 5000", kept_after_removal(), Better::Less));
    records
}

fn subjects(keys: &Arc<[Key]>) -> Vec<Box<dyn Subject>> {
    let backend = MemoryBackend::builder().entries(100_000).build().expect("a capacity");
    let papaya: papaya::HashMap<Stored, Slot, HandThrough> = papaya::HashMap::with_hasher(HandThrough(0));
    let index: scc::HashIndex<Stored, Slot, HandThrough> = scc::HashIndex::with_hasher(HandThrough(0));
    let quick = quick_cache::sync::Cache::<Stored, Arc<u64>, quick_cache::UnitWeighter, HandThrough>::with(
        100_000,
        100_000,
        quick_cache::UnitWeighter,
        HandThrough(0),
        Default::default(),
    );
    let moka: moka::sync::Cache<Stored, Arc<u64>, HandThrough> =
        moka::sync::Cache::builder().max_capacity(100_000).build_with_hasher(HandThrough(0));
    for (i, key) in keys.iter().enumerate() {
        let value = i as u64;
        backend.put(key.as_ref(), object(value), Clock::System.now());
        papaya.pin().insert(Stored::new(key), Slot::new(Arc::new(value)));
        assert!(index.insert_sync(Stored::new(key), Slot::new(Arc::new(value))).is_ok());
        quick.insert(Stored::new(key), Arc::new(value));
        moka.insert(Stored::new(key), Arc::new(value));
    }
    vec![
        asked("cache-memory: visit", Role::Ours, keys, move |key| {
            let mut found = 0;
            backend.visit(key.as_ref(), &mut |object| found = *object.value().downcast_ref::<u64>().expect("a u64"));
            found
        }),
        asked("quick_cache get", Role::Limit, keys, move |key| *quick.get(&Wanted::new(key)).expect("a hit")),
        asked("papaya get + mark", Role::Beside, keys, move |key| {
            let guard = papaya.guard();
            papaya.get(&Wanted::new(key), &guard).expect("a hit").read()
        }),
        asked("scc::HashIndex peek_with + mark", Role::Beside, keys, move |key| {
            index.peek_with(&Wanted::new(key), |_, slot| slot.read()).expect("a hit")
        }),
        asked("moka get", Role::Peer, keys, move |key| *moka.get(&Wanted::new(key)).expect("a hit")),
    ]
}

/// Puts and removes values one after another, from one thread, and counts those that are not dropped.
fn kept_after_removal() -> Vec<Row> {
    const REMOVED: u64 = 5000;
    let keys: Vec<Key> = pairs(2 * REMOVED).iter().map(|(id, name)| key(*id, name)).collect();
    let (leaving, staying) = keys.split_at(REMOVED as usize);
    let value = Arc::new(0_u64);
    let kept = |name: &str, role| {
        let kept = (Arc::strong_count(&value) - 1 - staying.len()) as f64;
        (name.to_owned(), role, kept, kept)
    };
    let mut rows = Vec::new();

    let backend = MemoryBackend::builder().entries(100_000).build().expect("a capacity");
    keys.iter().for_each(|key| _ = backend.put(key.as_ref(), object(value.clone()), Clock::System.now()));
    leaving.iter().for_each(|key| assert!(backend.remove(key.as_ref())));
    rows.push(kept("cache-memory", Role::Ours));
    drop(backend);

    let papaya: papaya::HashMap<Stored, Slot, HandThrough> = papaya::HashMap::with_hasher(HandThrough(0));
    keys.iter().for_each(|key| _ = papaya.pin().insert(Stored::new(key), Slot::new(value.clone())));
    leaving.iter().for_each(|key| _ = papaya.pin().remove(&Wanted::new(key)));
    rows.push(kept("papaya", Role::Beside));
    drop(papaya);

    let index: scc::HashIndex<Stored, Slot, HandThrough> = scc::HashIndex::with_hasher(HandThrough(0));
    keys.iter().for_each(|key| _ = index.insert_sync(Stored::new(key), Slot::new(value.clone())));
    leaving.iter().for_each(|key| _ = index.remove_sync(&Wanted::new(key)));
    rows.push(kept("scc::HashIndex", Role::Beside));
    rows
}

/// What the candidates without a bound keep: the value, and whether it was read.
struct Slot {
    read: AtomicBool,
    value: Arc<u64>,
}

impl Slot {
    fn new(value: Arc<u64>) -> Self {
        Slot { read: AtomicBool::new(false), value }
    }

    #[inline]
    fn read(&self) -> u64 {
        if !self.read.load(Ordering::Relaxed) {
            self.read.store(true, Ordering::Relaxed);
        }
        *self.value
    }
}

/// A key in a candidate: up to 62 bytes in place.
#[derive(Clone)]
struct Stored {
    hash: u64,
    len: u8,
    bytes: [u8; 62],
}

impl Stored {
    fn new(key: &Key) -> Self {
        let from = key.as_ref().bytes();
        let mut bytes = [0; 62];
        bytes[..from.len()].copy_from_slice(from);
        Stored { hash: key.as_ref().hash(), len: from.len() as u8, bytes }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len).min(62)]
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes() == other.bytes()
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

struct Wanted<'a> {
    hash: u64,
    bytes: &'a [u8],
}

impl<'a> Wanted<'a> {
    #[inline]
    fn new(key: &'a Key) -> Self {
        Wanted { hash: key.as_ref().hash(), bytes: key.as_ref().bytes() }
    }

    #[inline]
    fn is(&self, key: &Stored) -> bool {
        self.hash == key.hash && self.bytes == key.bytes()
    }
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Stored> for Wanted<'_> {
    #[inline]
    fn equivalent(&self, key: &Stored) -> bool {
        self.is(key)
    }
}

impl scc::Equivalent<Stored> for Wanted<'_> {
    #[inline]
    fn equivalent(&self, key: &Stored) -> bool {
        self.is(key)
    }
}

/// Hands the hash of the key through.
#[derive(Clone, Copy, Default)]
struct HandThrough(u64);

impl BuildHasher for HandThrough {
    type Hasher = HandThrough;

    fn build_hasher(&self) -> HandThrough {
        HandThrough(0)
    }
}

impl Hasher for HandThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are hashed already")
    }
}

struct Asked<F> {
    name: &'static str,
    role: Role,
    keys: Arc<[Key]>,
    get: F,
}

fn asked<F>(name: &'static str, role: Role, keys: &Arc<[Key]>, get: F) -> Box<dyn Subject>
where
    F: Fn(&Key) -> u64 + Sync + 'static,
{
    Box::new(Asked { name, role, keys: keys.clone(), get })
}

impl<F: Fn(&Key) -> u64 + Sync> Subject for Asked<F> {
    fn name(&self) -> &str {
        self.name
    }

    fn role(&self) -> Role {
        self.role
    }

    fn ask(&self, picks: &[u32]) -> Duration {
        let start = Instant::now();
        let sum: u64 = picks.iter().map(|pick| black_box((self.get)(&self.keys[*pick as usize]))).sum();
        let took = start.elapsed();
        let asked: u64 = picks.iter().map(|pick| u64::from(*pick)).sum();
        assert_eq!(sum, asked, "{} answered with another key's value", self.name);
        took
    }
}
