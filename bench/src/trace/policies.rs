//! Policies in their textbook form, and the best that there can be.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// SIEVE: a hand goes from the oldest to the newest, takes off marks, and takes out the first that has none.
pub struct Sieve {
    capacity: usize,
    /// By age: the key and its mark.
    queue: BTreeMap<u64, (u32, bool)>,
    ages: HashMap<u32, u64>,
    clock: u64,
    hand: u64,
}

impl Sieve {
    pub fn new(capacity: usize) -> Self {
        Sieve { capacity, queue: BTreeMap::new(), ages: HashMap::new(), clock: 0, hand: 0 }
    }

    pub fn ask(&mut self, key: u32) -> bool {
        if let Some(age) = self.ages.get(&key) {
            self.queue.entry(*age).and_modify(|(_, read)| *read = true);
            return true;
        }
        if self.ages.len() >= self.capacity {
            self.evict();
        }
        self.queue.insert(self.clock, (key, false));
        self.ages.insert(key, self.clock);
        self.clock += 1;
        false
    }

    fn evict(&mut self) {
        loop {
            let Some((age, (key, read))) = self.queue.range_mut(self.hand..).next() else {
                self.hand = 0;
                continue;
            };
            self.hand = age + 1;
            if !std::mem::take(read) {
                let (age, key) = (*age, *key);
                self.queue.remove(&age);
                self.ages.remove(&key);
                return;
            }
        }
    }
}

/// LRU: who was not asked for longest leaves.
pub struct Lru {
    capacity: usize,
    queue: BTreeMap<u64, u32>,
    ages: HashMap<u32, u64>,
    clock: u64,
}

impl Lru {
    pub fn new(capacity: usize) -> Self {
        Lru { capacity, queue: BTreeMap::new(), ages: HashMap::new(), clock: 0 }
    }

    pub fn ask(&mut self, key: u32) -> bool {
        let old = self.ages.insert(key, self.clock);
        if let Some(age) = old {
            self.queue.remove(&age);
        } else if self.ages.len() > self.capacity {
            let oldest = self.queue.pop_first();
            oldest.map(|(_, key)| self.ages.remove(&key));
        }
        self.queue.insert(self.clock, key);
        self.clock += 1;
        old.is_some()
    }
}

/// MIN of Belady, which knows what will be asked for: how many look-ups hit.
///
/// What is asked for latest leaves, and that may be what was just asked for: the caches, too, may refuse what is new.
pub fn clairvoyant(ids: &[u32], capacity: usize) -> usize {
    let (mut later, mut next) = (HashMap::new(), vec![None; ids.len()]);
    for (at, id) in ids.iter().enumerate().rev() {
        next[at] = later.insert(*id, at);
    }
    // Each by the place in the trace at which it is asked for again.
    let mut kept = BTreeSet::new();
    let mut hits = 0;
    for (at, next) in next.into_iter().enumerate() {
        hits += usize::from(kept.remove(&at));
        kept.extend(next);
        if kept.len() > capacity {
            kept.pop_last();
        }
    }
    hits
}
