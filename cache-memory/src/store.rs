//! The index, the queues beside it, and the account of what is held.
//!
//! Invariants: an entry is in the index if and only if its node is in the queue of its shard, except under that
//! shard's lock; at most one such lock is held at a time, and nothing is dropped under it (what leaves the index is
//! dropped when the guard is, or later).

#[cfg(test)]
mod audit;
#[cfg(all(test, shuttle))]
mod orders;

use std::hint;
use std::sync::{Arc, PoisonError};
use std::thread;

use cache_core::backend::{Object, ObjectStats, Put};
use cache_core::clock::Tick;
use papaya::{Guard, LocalGuard};

use crate::entry::{Entry, HandThrough, ShortHash, Ticket, Wanted};
use crate::ledger::Ledger;
use crate::queue::{Look, NodeId, Queue};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::weigh::Capacity;

/// How many entries are looked at for dead ones in each put.
const REAPED_BY_PUT: usize = 4;
/// How many entries are looked at under one lock when all are.
const REAPED_AT_ONCE: usize = 128;
/// How many entries make room at once when the slack is restored. Freeing them takes one system call.
const BURST: usize = 16;
/// The slack, which is made when room is made, is one in so many of the capacity.
const SLACK: u64 = 256;
/// What one thread takes out without freeing it, at most, is one in so many of the capacity.
const UNFREED: u64 = 2048;
/// How often a put that finds too much memory held tries to free it, before it leaves that to the next.
const SETTLE_ROUNDS: usize = 8;
const MOST_SHARDS: u64 = 64;

/// The entries of a backend.
pub(crate) struct Store {
    index: papaya::HashMap<Entry, (), HandThrough>,
    shards: Box<[Shard]>,
    ledger: Arc<Ledger>,
    too_large: AtomicU64,
}

#[repr(align(128))]
struct Shard {
    queue: Mutex<Queue>,
    /// The weight of `queue`, for those who look for the heaviest shard without its lock.
    weight: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
}

impl Store {
    pub(crate) fn new(capacity: Capacity) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
        let shards = (capacity.limit() / capacity.least_shard()).min(threads * 2).clamp(1, MOST_SHARDS);
        Store::of_shards(capacity, 1 << shards.ilog2())
    }

    /// A power of two of shards.
    fn of_shards(capacity: Capacity, shards: usize) -> Self {
        Store {
            index: papaya::HashMap::with_hasher(HandThrough::default()),
            shards: (0..shards).map(|_| Shard::new()).collect(),
            ledger: Arc::new(Ledger::new(capacity)),
            too_large: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn visit(&self, wanted: Wanted<'_>, visit: &mut dyn FnMut(&Arc<Object>)) {
        let guard = self.index.guard();
        if let Some((entry, ())) = self.index.get_key_value(&wanted, &guard) {
            entry.mark();
            visit(entry.object());
        }
    }

    pub(crate) fn put(&self, wanted: Wanted<'_>, object: Arc<Object>, now: Tick) -> Put {
        let weight = self.ledger.capacity.weigh(wanted.bytes.len(), object.weight());
        let limit = self.ledger.limit();
        if weight > limit {
            self.remove(wanted);
            self.too_large.fetch_add(1, Ordering::Relaxed);
            return Put::TooLarge { limit };
        }
        let guard = self.index.guard();
        let replaced = self.index.get_key_value(&wanted, &guard).map_or(0, |(old, ())| old.weight());
        let over = self.ledger.held().saturating_add(weight).saturating_sub(limit.saturating_add(replaced));
        let made = if over > 0 { self.make_room(over, 1, now, &guard) } else { 0 };
        let taken = self.store(wanted, object, weight, now, &guard);
        if made > 0 || taken > limit / UNFREED || self.ledger.over() > 0 {
            guard.flush();
        }
        drop(guard);
        if self.ledger.over() > 0 {
            self.settle(now);
        }
        Put::Stored
    }

    pub(crate) fn remove(&self, wanted: Wanted<'_>) -> bool {
        let guard = self.index.guard();
        let shard = self.shard(wanted.hash);
        let mut queue = shard.lock();
        let held = self.index.remove_entry(&wanted, &guard);
        if let Some((entry, ())) = held {
            queue.remove(entry.node());
            shard.weighed(&queue);
        }
        drop(queue);
        if held.is_some() {
            guard.flush();
        }
        held.is_some()
    }

    pub(crate) fn clear(&self) {
        self.take_out(|_| true);
    }

    pub(crate) fn sweep(&self, now: Tick) -> usize {
        let swept = self.take_out(|entry| entry.object().is_dead(now));
        for (shard, swept) in self.shards.iter().zip(&swept) {
            shard.expired.fetch_add(*swept as u64, Ordering::Relaxed);
        }
        swept.into_iter().sum()
    }

    pub(crate) fn stats(&self) -> ObjectStats {
        let mut stats = ObjectStats {
            capacity: self.ledger.limit(),
            too_large: self.too_large.load(Ordering::Relaxed),
            ..ObjectStats::default()
        };
        for shard in &self.shards {
            let queue = shard.lock();
            stats.entries += queue.len() as u64;
            stats.weight += queue.weight();
            stats.evicted += shard.evicted.load(Ordering::Relaxed);
            stats.expired += shard.expired.load(Ordering::Relaxed);
        }
        stats
    }

    /// Puts the entry into index and queue. Says how much weight left the index by that.
    fn store(&self, wanted: Wanted<'_>, object: Arc<Object>, weight: u64, now: Tick, guard: &LocalGuard<'_>) -> u64 {
        let shard = self.shard(wanted.hash);
        let mut queue = shard.lock();
        let mut taken = 0;
        queue.reap_some(
            REAPED_BY_PUT,
            |ticket| self.index.get_key_value(&ticket, guard).is_none_or(|(entry, ())| entry.object().is_dead(now)),
            |ticket, weight| {
                self.index.remove(&ticket, guard);
                shard.expired.fetch_add(1, Ordering::Relaxed);
                taken += weight;
            },
        );
        let old = self.index.get_key_value(&wanted, guard).map(|(old, ())| old);
        let node = match old {
            Some(old) => {
                taken += old.weight();
                queue.reweigh(old.node(), weight);
                old.node()
            }
            None => self.enter(&mut queue, shard, wanted.hash, weight, now, guard),
        };
        let entry = Entry::new(wanted, node, object, &self.ledger);
        if old.is_some_and(Entry::is_marked) {
            // A value that is loaded anew keeps its place in the queue and what is known of its reads.
            entry.mark();
        }
        self.index.insert(entry, (), guard);
        shard.weighed(&queue);
        taken
    }

    fn enter(
        &self,
        queue: &mut Queue,
        shard: &Shard,
        hash: ShortHash,
        weight: u64,
        now: Tick,
        guard: &LocalGuard<'_>,
    ) -> NodeId {
        loop {
            if let Some(node) = queue.push(hash, weight) {
                return node;
            }
            // Only a shard of four thousand million entries comes here: one leaves, and its node is free.
            self.evict(queue, shard, now, guard);
        }
    }

    /// Takes out at least `least` entries of at least the weight `over`, where there are so many, and a few more if
    /// they are small: so not every put must. Says how much it took out.
    #[cold]
    fn make_room(&self, over: u64, least: usize, now: Tick, guard: &LocalGuard<'_>) -> u64 {
        let goal = over.saturating_add(self.ledger.limit() / SLACK);
        let (mut made, mut entries) = (0, 0);
        let enough = |made: u64, entries: usize| made >= over && entries >= least && (made >= goal || entries >= BURST);
        while !enough(made, entries) {
            // From the heaviest, so that all shards stay alike though each put makes room for itself alone.
            let heaviest = self.shards.iter().max_by_key(|shard| shard.weight.load(Ordering::Relaxed));
            let Some(shard) = heaviest.filter(|shard| shard.weight.load(Ordering::Relaxed) > 0) else {
                break;
            };
            let mut queue = shard.lock();
            for _ in 0..BURST {
                let Some(weight) = self.evict(&mut queue, shard, now, guard) else {
                    break;
                };
                made += weight;
                entries += 1;
                if enough(made, entries) {
                    break;
                }
            }
            shard.weighed(&queue);
        }
        made
    }

    fn evict(&self, queue: &mut Queue, shard: &Shard, now: Tick, guard: &LocalGuard<'_>) -> Option<u64> {
        let gone = queue.evict(|ticket| self.look(ticket, now, guard))?;
        self.index.remove(&gone.ticket, guard);
        let counter = if gone.look == Look::Dead { &shard.expired } else { &shard.evicted };
        counter.fetch_add(1, Ordering::Relaxed);
        Some(gone.weight)
    }

    /// What the queue must know of an entry; takes off its mark.
    fn look(&self, ticket: Ticket, now: Tick, guard: &LocalGuard<'_>) -> Look {
        match self.index.get_key_value(&ticket, guard) {
            Some((entry, ())) if !entry.object().is_dead(now) => {
                if entry.unmark() {
                    Look::Read
                } else {
                    Look::Unread
                }
            }
            _ => Look::Dead,
        }
    }

    /// More memory is held than the capacity: readers delay what was taken out, or several threads stored at once.
    #[cold]
    fn settle(&self, now: Tick) {
        for round in 0..SETTLE_ROUNDS {
            let over = self.ledger.over();
            if over == 0 {
                return;
            }
            let guard = self.index.guard();
            if self.weight() > self.ledger.limit() {
                self.make_room(over, 1, now, &guard);
            } else if round >= SETTLE_ROUNDS / 2 {
                // What still waits was taken out by threads that do something else now, or is fewer entries than there
                // are threads amid a read: fewer cannot be handed over to those. More can.
                self.make_room(over, BURST, now, &guard);
            }
            guard.flush();
            drop(guard);
            hint::spin_loop();
        }
    }

    /// Takes out whatever `which` chooses, and says how many that was in each shard.
    fn take_out(&self, which: impl Fn(&Entry) -> bool) -> Vec<usize> {
        self.shards.iter().map(|shard| self.take_out_of(shard, &which)).collect()
    }

    fn take_out_of(&self, shard: &Shard, which: &impl Fn(&Entry) -> bool) -> usize {
        let mut taken = 0;
        let mut next = Some(0);
        while let Some(from) = next {
            let guard = self.index.guard();
            let mut queue = shard.lock();
            next = queue.reap(
                from,
                REAPED_AT_ONCE,
                |ticket| self.index.get_key_value(&ticket, &guard).is_none_or(|(entry, ())| which(entry)),
                |ticket, _| {
                    self.index.remove(&ticket, &guard);
                    taken += 1;
                },
            );
            shard.weighed(&queue);
            drop(queue);
            guard.flush();
        }
        taken
    }

    fn weight(&self) -> u64 {
        self.shards.iter().map(|shard| shard.weight.load(Ordering::Relaxed)).sum()
    }

    fn shard(&self, hash: ShortHash) -> &Shard {
        // The index uses the low bits, the ghosts those in the middle.
        &self.shards[(hash.spread() >> 56) as usize & (self.shards.len() - 1)]
    }
}

impl Shard {
    fn new() -> Self {
        Shard {
            queue: Mutex::new(Queue::new()),
            weight: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the lock held, after the queue changed.
    fn weighed(&self, queue: &Queue) {
        self.weight.store(queue.weight(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::thread;

    use cache_core::backend::Stamp;
    use cache_core::freshness::Deadlines;
    use cache_core::generation::{Born, GenerationDigest, LocalGeneration};
    use cache_core::policy::Policy;

    use super::audit::audit;
    use super::*;

    pub(super) const NOW: Tick = Tick::from_nanos(1 << 40);

    pub(super) fn object(value: u64, weight: u64) -> Arc<Object> {
        object_until(value, weight, Deadlines::starting(NOW, None, &Policy::never_expiring()))
    }

    pub(super) fn object_until(value: u64, weight: u64, deadlines: Deadlines) -> Arc<Object> {
        let generations = GenerationDigest::default();
        let stamp = Stamp { deadlines, proved: NOW, proved_until: Tick::NEVER, token: None, generations };
        Arc::new(Object::new(value, stamp, Born::now(&Arc::new(LocalGeneration::new())), weight))
    }

    pub(super) fn read(store: &Store, wanted: Wanted<'_>) -> Option<u64> {
        let mut found = None;
        store.visit(wanted, &mut |object| found = object.value().downcast_ref().copied());
        found
    }

    #[test]
    fn keys_of_one_hash_are_kept_apart_in_everything() {
        let long = [7; 200];
        let keys: [&[u8]; 5] = [b"", b"a", b"b", b"ab", &long];
        for hash in [0, 1 << 32, u64::MAX].map(ShortHash::of) {
            let store = Store::new(Capacity::Entries(10));
            let wanted = keys.map(|bytes| Wanted { hash, bytes });
            for (i, wanted) in wanted.into_iter().enumerate() {
                assert_eq!(store.put(wanted, object(i as u64, 8), NOW), Put::Stored);
            }
            assert_eq!(wanted.map(|wanted| read(&store, wanted)), [0, 1, 2, 3, 4].map(Some));
            assert_eq!(store.put(wanted[2], object(9, 8), NOW), Put::Stored);
            assert!(store.remove(wanted[3]));
            assert!(!store.remove(Wanted { hash, bytes: b"c" }));
            assert_eq!(wanted.map(|wanted| read(&store, wanted)), [Some(0), Some(1), Some(9), None, Some(4)]);
            assert_eq!(store.stats().entries, 4);
        }
    }

    #[test]
    fn keys_of_one_hash_make_room_one_by_one_and_the_one_that_is_read_stays() {
        let store = Store::new(Capacity::Entries(3));
        let bytes: Vec<[u8; 1]> = (0..50).map(|i| [i]).collect();
        let wanted: Vec<_> = bytes.iter().map(|bytes| Wanted { hash: ShortHash::of(5 << 32), bytes }).collect();
        for (i, of) in wanted.iter().enumerate() {
            store.put(*of, object(i as u64, 8), NOW);
            assert_eq!(read(&store, wanted[i.min(1)]), Some(i.min(1) as u64));
            assert_eq!(store.stats().entries as usize, store.index.len());
        }
        let left = wanted.iter().enumerate().filter(|(i, of)| match read(&store, **of) {
            Some(found) => found == *i as u64,
            None => false,
        });
        assert_eq!(left.count(), 3);
        assert_eq!(store.stats().evicted, 47);
    }

    #[test]
    fn one_entry_of_the_whole_capacity_takes_the_room_of_every_shard() {
        let limit = 1 << 22;
        let store = Store::new(Capacity::Bytes(limit));
        let spread = |i: u64| ShortHash::of(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for i in 0..3000_u64 {
            store.put(Wanted { hash: spread(i), bytes: &i.to_le_bytes() }, object(i, 100), NOW);
        }
        let whole = limit - Capacity::Bytes(limit).weigh(4, 0);
        let wanted = Wanted { hash: ShortHash::of(3 << 32), bytes: b"huge" };
        assert_eq!(store.put(wanted, object(1, whole), NOW), Put::Stored);
        assert_eq!(read(&store, wanted), Some(1));
        let stats = store.stats();
        assert_eq!((stats.entries, stats.weight, store.ledger.held()), (1, limit, limit));
    }

    #[test]
    fn the_account_is_even_when_all_is_over() {
        let store = Store::new(Capacity::Bytes(1 << 20));
        // An interpreter takes its time.
        let rounds: u64 = if cfg!(miri) { 100 } else { 4000 };
        thread::scope(|scope| {
            for writer in 0..4_u64 {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..rounds {
                        // The same keys in all writers: puts, replacements and removals of one key meet.
                        let hash = ShortHash::of((i % 500).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                        let bytes = (i % 500).to_le_bytes();
                        let wanted = Wanted { hash, bytes: &bytes };
                        if i % 5 == writer {
                            store.remove(wanted);
                        } else {
                            store.put(wanted, object(i % 500, 100 * (i % 70)), NOW);
                        }
                        assert!(read(store, wanted).is_none_or(|value| value == i % 500));
                    }
                });
            }
        });
        let (even, stats) = (audit(&store), store.stats());
        assert_eq!((stats.entries, stats.weight), (even.entries, even.weight));
        assert_eq!(stats.weight, store.weight());
        store.clear();
        assert_eq!((audit(&store).entries, store.stats().weight), (0, 0));
        let ledger = store.ledger.clone();
        drop(store);
        assert_eq!(ledger.held(), 0);
    }
}
