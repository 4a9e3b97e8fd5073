//! What is asked: the caches as they come, and the policies.

use cache_core::backend::ObjectBackend;
use cache_core::clock::Clock;
use cache_core::key::KeyBuffer;
use cache_memory::MemoryBackend;
use foldhash::fast::RandomState;
use foyer_memory::{CacheBuilder, EvictionConfig, LruConfig, S3FifoConfig};

use super::OURS;
use super::policies::{Lru, Sieve};
use crate::harness::Role;
use crate::hit::object;

/// Looks up a key, stores it when it is missing, and says whether it was there.
type Hits = Box<dyn FnMut(u32) -> bool>;

/// Makes one with room for so many keys.
pub type Make = fn(usize) -> Hits;

/// With their names, and whether the time they take is one that somebody would see.
pub const SUBJECTS: [(&str, Role, bool, Make); 7] = [
    (OURS, Role::Ours, true, ours),
    ("quick_cache", Role::Peer, true, quick),
    ("moka", Role::Peer, true, moka),
    ("foyer, S3-FIFO", Role::Peer, true, foyer_s3_fifo),
    ("foyer, LRU", Role::Peer, true, foyer_lru),
    ("LRU, textbook", Role::Peer, false, lru),
    ("SIEVE, textbook", Role::Beside, false, sieve),
];

/// The others are asked by the number; this one writes its key first, as it has to for a call.
fn ours(capacity: usize) -> Hits {
    let cache = MemoryBackend::builder().entries(capacity as u64).build().expect("a capacity");
    let (value, now) = (object(0_u64), Clock::System.now());
    let mut buffer = KeyBuffer::new();
    Box::new(move |id| {
        let mut writer = buffer.begin("trace", 1);
        writer.arg(&id);
        let key = writer.finish().expect("a key");
        let mut hit = false;
        cache.visit(key, &mut |_| hit = true);
        if !hit {
            cache.put(key, value.clone(), now);
        }
        hit
    })
}

fn quick(capacity: usize) -> Hits {
    let cache = quick_cache::sync::Cache::<u32, (), quick_cache::UnitWeighter, RandomState>::with(
        capacity,
        capacity as u64,
        quick_cache::UnitWeighter,
        RandomState::default(),
        Default::default(),
    );
    Box::new(move |id| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.insert(id, ());
        }
        hit
    })
}

fn moka(capacity: usize) -> Hits {
    let cache: moka::sync::Cache<u32, (), RandomState> =
        moka::sync::Cache::builder().max_capacity(capacity as u64).build_with_hasher(RandomState::default());
    Box::new(move |id| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.insert(id, ());
        }
        hit
    })
}

fn foyer_s3_fifo(capacity: usize) -> Hits {
    foyer(capacity, S3FifoConfig::default().into())
}

fn foyer_lru(capacity: usize) -> Hits {
    foyer(capacity, LruConfig::default().into())
}

fn foyer(capacity: usize, eviction: EvictionConfig) -> Hits {
    let builder = CacheBuilder::new(capacity).with_eviction_config(eviction).with_hash_builder(RandomState::default());
    let cache: foyer_memory::Cache<u32, (), RandomState> = builder.build();
    Box::new(move |id| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.insert(id, ());
        }
        hit
    })
}

fn lru(capacity: usize) -> Hits {
    let mut lru = Lru::new(capacity);
    Box::new(move |id| lru.ask(id))
}

fn sieve(capacity: usize) -> Hits {
    let mut sieve = Sieve::new(capacity);
    Box::new(move |id| sieve.ask(id))
}
