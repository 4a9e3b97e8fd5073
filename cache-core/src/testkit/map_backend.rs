//! A near backend that is a map under a lock: for tests, and as the shortest correct example of the trait.
//!
//! Invariant: `weight` is the sum over the entries, and never above the capacity once a call has returned.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{Object, ObjectBackend, ObjectStats, Put};
use crate::clock::Tick;
use crate::key::KeyRef;

/// What an entry counts beside its key and its value, in bytes.
const ENTRY_OVERHEAD: u64 = 64;

/// A near backend of bounded size; the entry that was put first makes room first.
pub struct MapBackend {
    map: Mutex<Map>,
}

struct Map {
    entries: BTreeMap<Box<[u8]>, Entry>,
    /// The keys in the order in which they were put.
    order: BTreeMap<u64, Box<[u8]>>,
    next: u64,
    stats: ObjectStats,
}

struct Entry {
    object: Arc<Object>,
    put: u64,
    weight: u64,
}

impl MapBackend {
    /// An empty backend for `capacity` bytes of keys, values and overhead.
    pub fn new(capacity: u64) -> Self {
        let stats = ObjectStats { capacity, ..ObjectStats::default() };
        MapBackend { map: Mutex::new(Map { entries: BTreeMap::new(), order: BTreeMap::new(), next: 0, stats }) }
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObjectBackend for MapBackend {
    fn visit(&self, key: KeyRef<'_>, visit: &mut dyn FnMut(&Arc<Object>)) {
        if let Some(entry) = self.map().entries.get(key.bytes()) {
            visit(&entry.object);
        }
    }

    fn put(&self, key: KeyRef<'_>, object: Arc<Object>, _now: Tick) -> Put {
        let mut map = self.map();
        map.remove(key.bytes());
        let weight = object.weight().saturating_add(key.bytes().len() as u64 + ENTRY_OVERHEAD);
        let limit = map.stats.capacity;
        if weight > limit {
            map.stats.too_large += 1;
            return Put::TooLarge { limit };
        }
        while map.stats.weight > limit - weight {
            let Some((_, first)) = map.order.first_key_value() else { break };
            let first = first.clone();
            map.remove(&first);
            map.stats.evicted += 1;
        }
        let put = map.next;
        map.next += 1;
        map.order.insert(put, key.bytes().into());
        map.entries.insert(key.bytes().into(), Entry { object, put, weight });
        map.stats.weight += weight;
        Put::Stored
    }

    fn remove(&self, key: KeyRef<'_>) -> bool {
        self.map().remove(key.bytes())
    }

    fn clear(&self) {
        let mut map = self.map();
        map.entries.clear();
        map.order.clear();
        map.stats.weight = 0;
    }

    fn sweep(&self, now: Tick) -> usize {
        let mut map = self.map();
        let dead = map.entries.iter().filter(|(_, entry)| entry.object.is_dead(now));
        let dead: Vec<Box<[u8]>> = dead.map(|(key, _)| key.clone()).collect();
        dead.iter().for_each(|key| {
            map.remove(key);
        });
        map.stats.expired += dead.len() as u64;
        dead.len()
    }

    fn stats(&self) -> ObjectStats {
        let map = self.map();
        ObjectStats { entries: map.entries.len() as u64, ..map.stats }
    }

    fn weighs(&self) -> bool {
        true
    }
}

impl Map {
    fn remove(&mut self, key: &[u8]) -> bool {
        let Some(entry) = self.entries.remove(key) else { return false };
        self.order.remove(&entry.put);
        self.stats.weight -= entry.weight;
        true
    }
}

impl fmt::Debug for MapBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MapBackend({:?})", self.stats())
    }
}
