//! The backend as the framework sees it.
//!
//! Invariant: whoever reads a key sees an entry that was put under exactly that key, or nothing.

use std::fmt;
use std::sync::Arc;

use cache_core::backend::{Object, ObjectBackend, ObjectStats, Put};
use cache_core::clock::Tick;
use cache_core::key::KeyRef;

use crate::store::Store;
use crate::weigh::Capacity;

/// Objects of this process, bounded in bytes or entries; when it is full, entries that are not read make room.
///
/// An entry that was replaced, removed or has made room is dropped as soon as no read looks at it, by the thread that
/// took it out or by the last of those readers. Until then it counts as held: an idle backend holds at most its
/// capacity, and so does one under load but for the entries that are being stored at that moment.
///
/// ```
/// use cache_memory::MemoryBackend;
///
/// let bytes = MemoryBackend::builder().capacity_bytes(16 << 20).build()?;
/// let entries = MemoryBackend::from_parameters([("entries", "10000")])?;
/// # Ok::<(), cache_core::error::Error>(())
/// ```
pub struct MemoryBackend {
    store: Store,
    capacity: Capacity,
}

impl MemoryBackend {
    pub(crate) fn with_capacity(capacity: Capacity) -> Self {
        MemoryBackend { store: Store::new(capacity), capacity }
    }
}

impl ObjectBackend for MemoryBackend {
    #[inline]
    fn visit(&self, key: KeyRef<'_>, visit: &mut dyn FnMut(&Arc<Object>)) {
        self.store.visit(key.into(), visit);
    }

    fn put(&self, key: KeyRef<'_>, entry: Arc<Object>, now: Tick) -> Put {
        self.store.put(key.into(), entry, now)
    }

    fn remove(&self, key: KeyRef<'_>) -> bool {
        self.store.remove(key.into())
    }

    fn clear(&self) {
        self.store.clear();
    }

    fn sweep(&self, now: Tick) -> usize {
        self.store.sweep(now)
    }

    fn stats(&self) -> ObjectStats {
        self.store.stats()
    }

    fn weighs(&self) -> bool {
        matches!(self.capacity, Capacity::Bytes(_))
    }
}

impl fmt::Debug for MemoryBackend {
    /// What it holds in numbers; no key and no value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("capacity", &self.capacity).field("stats", &self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::any::Any;
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use cache_core::backend::Stamp;
    use cache_core::freshness::Deadlines;
    use cache_core::generation::{Born, GenerationDigest, LocalGeneration};
    use cache_core::key::{Key, KeyWriter};
    use cache_core::policy::Policy;
    use proptest::prelude::*;

    use super::*;
    use crate::weigh::ENTRY_OVERHEAD;

    const NOW: Tick = Tick::from_nanos(1 << 40);
    const TTL: Duration = Duration::from_secs(10);

    fn key(i: u64) -> Key {
        KeyWriter::key_of("test", &i).unwrap()
    }

    fn object<V: Any + Send + Sync>(value: V, weight: u64, scope: &Arc<LocalGeneration>) -> Arc<Object> {
        let deadlines = Deadlines::starting(NOW, Some(TTL), &Policy::with_ttl(TTL));
        let generations = GenerationDigest::default();
        let stamp = Stamp { deadlines, proved: NOW, proved_until: Tick::NEVER, token: None, generations };
        Arc::new(Object::new(value, stamp, Born::now(scope), weight))
    }

    fn number(i: u64) -> Arc<Object> {
        object(i, 8, &Arc::default())
    }

    fn read(backend: &MemoryBackend, key: &Key) -> Option<u64> {
        let mut found = None;
        backend.visit(key.as_ref(), &mut |object| found = object.value().downcast_ref().copied());
        found
    }

    fn entries(entries: u64) -> MemoryBackend {
        MemoryBackend::builder().entries(entries).build().unwrap()
    }

    fn bytes(bytes: u64) -> MemoryBackend {
        MemoryBackend::builder().capacity_bytes(bytes).build().unwrap()
    }

    /// A value that counts how many of its kind are in memory.
    struct Counted(Arc<AtomicUsize>);

    impl Counted {
        fn new(alive: &Arc<AtomicUsize>) -> Self {
            alive.fetch_add(1, Ordering::SeqCst);
            Counted(alive.clone())
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_was_put_is_read_until_it_is_replaced_or_removed() {
        let backend = entries(10);
        assert_eq!(read(&backend, &key(1)), None);
        assert_eq!(backend.put(key(1).as_ref(), number(10), NOW), Put::Stored);
        assert_eq!(read(&backend, &key(1)), Some(10));
        assert_eq!(backend.put(key(1).as_ref(), number(11), NOW), Put::Stored);
        assert_eq!(read(&backend, &key(1)), Some(11));
        assert_eq!(backend.stats().entries, 1);
        assert!(backend.remove(key(1).as_ref()));
        assert!(!backend.remove(key(1).as_ref()));
        assert_eq!(read(&backend, &key(1)), None);
        assert_eq!(backend.stats().entries, 0);
    }

    #[test]
    fn replacing_in_a_full_backend_makes_nobody_leave() {
        let backend = entries(3);
        (0..3).for_each(|i| assert_eq!(backend.put(key(i).as_ref(), number(i), NOW), Put::Stored));
        for round in 1..50 {
            assert_eq!(backend.put(key(1).as_ref(), number(round), NOW), Put::Stored);
            assert_eq!([0, 1, 2].map(|i| read(&backend, &key(i))), [Some(0), Some(round), Some(2)]);
        }
        assert_eq!(backend.stats().evicted, 0);
    }

    #[test]
    fn entries_that_are_read_survive_a_scan() {
        let backend = entries(1000);
        for i in 0..500 {
            backend.put(key(i).as_ref(), number(i), NOW);
            assert_eq!(read(&backend, &key(i)), Some(i));
        }
        for i in 0..20_000 {
            backend.put(key(1_000_000 + i).as_ref(), number(i), NOW);
            // One of the hot keys for each of the scan: as many reads as the scan has writes.
            let _ = read(&backend, &key(i % 500));
        }
        let hot = (0..500).filter(|i| read(&backend, &key(*i)).is_some()).count();
        // When the first had to make room, all were marked: a few left after the bounded search, and came back never.
        assert!(hot >= 490, "{hot} of 500");
    }

    #[test]
    fn a_value_that_weighs_more_than_the_capacity_is_refused_counted_and_what_it_replaced_is_gone() {
        let backend = bytes(10_000);
        let fits = 10_000 - ENTRY_OVERHEAD - key(1).as_ref().bytes().len() as u64;
        assert_eq!(backend.put(key(1).as_ref(), object(1_u64, fits, &Arc::default()), NOW), Put::Stored);
        assert_eq!(backend.stats().weight, 10_000);
        let too_large = object(2_u64, fits + 1, &Arc::default());
        assert_eq!(backend.put(key(1).as_ref(), too_large, NOW), Put::TooLarge { limit: 10_000 });
        assert_eq!(read(&backend, &key(1)), None);
        let stats = backend.stats();
        assert_eq!((stats.entries, stats.weight, stats.too_large), (0, 0, 1));
        let lies = object(3_u64, u64::MAX, &Arc::default());
        assert_eq!(backend.put(key(1).as_ref(), lies, NOW), Put::TooLarge { limit: 10_000 });
    }

    #[test]
    fn puts_remove_entries_that_died_of_age() {
        let backend = entries(1000);
        let alive = Arc::default();
        for i in 0..100 {
            backend.put(key(i).as_ref(), object(Counted::new(&alive), 8, &Arc::default()), NOW);
        }
        let later = NOW.after(TTL);
        for i in 0..100 {
            let scope = Arc::default();
            let deadlines = Deadlines::starting(later, None, &Policy::never_expiring());
            let (token, generations) = (None, GenerationDigest::default());
            let stamp = Stamp { deadlines, proved: later, proved_until: Tick::NEVER, token, generations };
            let fresh: Arc<Object> = Arc::new(Object::new(i, stamp, Born::now(&scope), 8));
            backend.put(key(1000 + i).as_ref(), fresh, later);
        }
        let stats = backend.stats();
        assert_eq!((stats.entries, stats.expired, stats.evicted), (100, 100, 0));
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn puts_remove_entries_of_an_ended_generation_before_any_that_live() {
        let backend = entries(100);
        let (ended, current) = (Arc::new(LocalGeneration::new()), Arc::new(LocalGeneration::new()));
        (0..100).for_each(|i| assert_eq!(backend.put(key(i).as_ref(), object(i, 8, &ended), NOW), Put::Stored));
        ended.bump();
        (100..200).for_each(|i| assert_eq!(backend.put(key(i).as_ref(), object(i, 8, &current), NOW), Put::Stored));
        let living = (100..200).filter(|i| read(&backend, &key(*i)).is_some()).count();
        let stats = backend.stats();
        assert_eq!((living, stats.expired, stats.evicted), (100, 100, 0));
    }

    #[test]
    fn what_is_removed_or_replaced_is_dropped_before_the_call_returns() {
        let backend = entries(100_000);
        let alive = Arc::default();
        let counted = || object(Counted::new(&alive), 8, &Arc::default());
        (0..10).for_each(|i| assert_eq!(backend.put(key(i).as_ref(), counted(), NOW), Put::Stored));
        for i in 0..10 {
            assert!(backend.remove(key(i).as_ref()));
            assert_eq!(alive.load(Ordering::SeqCst), 9 - i as usize);
        }
        let small = entries(3);
        for _ in 0..10 {
            small.put(key(1).as_ref(), counted(), NOW);
            assert_eq!(alive.load(Ordering::SeqCst), 1);
        }
    }

    #[test]
    fn a_sweep_removes_the_dead_alone_and_says_how_many() {
        let backend = entries(100_000);
        let alive = Arc::default();
        let (ended, current) = (Arc::new(LocalGeneration::new()), Arc::new(LocalGeneration::new()));
        for i in 0..3000 {
            let scope = if i % 3 == 0 { &ended } else { &current };
            backend.put(key(i).as_ref(), object(Counted::new(&alive), 8, scope), NOW);
        }
        assert_eq!(backend.sweep(NOW), 0);
        ended.bump();
        assert_eq!(backend.sweep(NOW), 1000);
        assert_eq!(alive.load(Ordering::SeqCst), 2000);
        assert_eq!(backend.stats().entries, 2000);
        assert_eq!(backend.sweep(NOW.after(TTL)), 2000);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert_eq!(backend.stats().expired, 3000);
    }

    #[test]
    fn clear_leaves_nothing_and_counts_no_eviction() {
        let backend = bytes(64 << 20);
        let alive = Arc::default();
        for i in 0..5000 {
            backend.put(key(i).as_ref(), object(Counted::new(&alive), 100, &Arc::default()), NOW);
        }
        backend.clear();
        let stats = backend.stats();
        assert_eq!((stats.entries, stats.weight, stats.evicted, stats.expired), (0, 0, 0, 0));
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert!((0..5000).all(|i| read(&backend, &key(i)).is_none()));
        backend.put(key(1).as_ref(), number(1), NOW);
        assert_eq!(read(&backend, &key(1)), Some(1));
    }

    #[test]
    fn what_is_shown_says_no_key_and_no_value() {
        let backend = entries(10);
        let secret = KeyWriter::key_of("test", "secret").unwrap();
        backend.put(secret.as_ref(), object("secret".to_owned(), 8, &Arc::default()), NOW);
        let shown = format!("{backend:?}");
        assert!(shown.contains("entries: 1") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn readers_see_their_own_key_while_writers_put_evict_remove_and_clear() {
        // An interpreter takes its time.
        let (room, keys, rounds, readers) =
            if cfg!(miri) { (20, 40, 5, &[2][..]) } else { (300, 1000, 8, &[2, 4, 8][..]) };
        for threads in readers.iter().copied() {
            let backend = entries(room);
            let alive = Arc::new(AtomicUsize::new(0));
            let keys: Vec<Key> = (0..keys).map(key).collect();
            let done = AtomicBool::new(false);
            let seen = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            for (i, key) in keys.iter().enumerate() {
                                backend.visit(key.as_ref(), &mut |object| {
                                    let (of, _) = object.value().downcast_ref::<(usize, Counted)>().unwrap();
                                    assert_eq!(*of, i);
                                    seen.fetch_add(1, Ordering::Relaxed);
                                });
                            }
                        }
                    });
                }
                let writers: Vec<_> = (0..2)
                    .map(|writer| {
                        let (backend, keys, alive) = (&backend, &keys, &alive);
                        scope.spawn(move || {
                            for round in 0..rounds {
                                for (i, key) in keys.iter().enumerate() {
                                    let value = (i, Counted::new(alive));
                                    backend.put(key.as_ref(), object(value, 8, &Arc::default()), NOW);
                                    if i % 7 == writer {
                                        backend.remove(key.as_ref());
                                    }
                                }
                                if round == 4 {
                                    backend.clear();
                                }
                            }
                        })
                    })
                    .collect();
                let failed = writers.into_iter().map(|writer| writer.join().is_err()).filter(|failed| *failed).count();
                done.store(true, Ordering::Relaxed);
                assert_eq!(failed, 0);
            });
            assert!(seen.load(Ordering::Relaxed) > 0);
            let stats = backend.stats();
            assert!(stats.weight <= room && stats.entries == stats.weight, "{stats:?}");
            // Idle: what was taken out is free, but for what a thread could not free because of running readers.
            let alive_now = alive.load(Ordering::SeqCst) as u64;
            assert!(alive_now <= room, "{alive_now} are held");
            backend.clear();
            assert_eq!(backend.stats().weight, 0);
            drop(backend);
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Put { key: u64, weight: u64 },
        Read { key: u64 },
        Remove { key: u64 },
        Bump { scope: usize },
        Advance { seconds: u64 },
        Sweep,
        Clear,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            12 => (0..60_u64, 0..3000_u64).prop_map(|(key, weight)| Op::Put { key, weight }),
            8 => (0..60_u64).prop_map(|key| Op::Read { key }),
            2 => (0..60_u64).prop_map(|key| Op::Remove { key }),
            1 => (0..3_usize).prop_map(|scope| Op::Bump { scope }),
            1 => (0..4_u64).prop_map(|seconds| Op::Advance { seconds }),
            1 => Just(Op::Sweep),
            1 => Just(Op::Clear),
        ]
    }

    proptest! {
        /// Whatever happens: the capacity holds for what is in memory, the figures are true, and a read finds the last
        /// value that was put, or nothing.
        #[test]
        fn the_capacity_is_never_exceeded_and_reads_are_true(
            capacity in prop_oneof![(1..40_u64).prop_map(Capacity::Entries), (400..30_000_u64).prop_map(Capacity::Bytes)],
            ops in proptest::collection::vec(op(), 1..300),
        ) {
            let backend = MemoryBackend::with_capacity(capacity);
            let alive = Arc::new(AtomicUsize::new(0));
            let scopes: [Arc<LocalGeneration>; 3] = Default::default();
            let mut model: HashMap<u64, (usize, u64)> = HashMap::new();
            let mut now = NOW;
            for (i, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Put { key: k, weight } => {
                        let key = key(k);
                        let object = object((i, Counted::new(&alive)), weight, &scopes[k as usize % 3]);
                        let weight = capacity.weigh(key.as_ref().bytes().len(), weight);
                        let put = backend.put(key.as_ref(), object, now);
                        let limit = capacity.limit();
                        prop_assert_eq!(put, if weight > limit { Put::TooLarge { limit } } else { Put::Stored });
                        model.remove(&k);
                        if put == Put::Stored {
                            model.insert(k, (i, weight));
                        }
                    }
                    Op::Read { key: k } => backend.visit(key(k).as_ref(), &mut |object| {
                        let (found, _) = object.value().downcast_ref::<(usize, Counted)>().unwrap();
                        assert_eq!(Some(*found), model.get(&k).map(|(i, _)| *i));
                    }),
                    Op::Remove { key: k } => {
                        let there = model.remove(&k).is_some();
                        prop_assert!(!backend.remove(key(k).as_ref()) || there);
                    }
                    Op::Bump { scope } => scopes[scope].bump(),
                    Op::Advance { seconds } => now = now.after(Duration::from_secs(seconds)),
                    Op::Sweep => {
                        backend.sweep(now);
                    }
                    Op::Clear => {
                        backend.clear();
                        model.clear();
                    }
                }
                let mut entries = 0;
                let mut weight = 0;
                for (k, (_, weighed)) in &model {
                    backend.visit(key(*k).as_ref(), &mut |_| {
                        entries += 1;
                        weight += weighed;
                    });
                }
                let stats = backend.stats();
                prop_assert_eq!((stats.entries, stats.weight), (entries, weight));
                prop_assert!(weight <= stats.capacity);
                // What left may wait for the next operations to be freed, but never beyond the capacity.
                let held = alive.load(Ordering::SeqCst) as u64;
                prop_assert!(held >= entries);
                if let Capacity::Entries(limit) = capacity {
                    prop_assert!(held <= limit, "{} objects in memory, capacity {}", held, limit);
                }
            }
        }
    }
}
