//! The suite of near backends.
//!
//! Invariant: entries weigh what they say, so that a capacity of any size can be filled without the memory for it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::{Case, SuiteReport, Unmet, Verdict, expect, expect_eq, skip};
use crate::backend::{Object, ObjectBackend, ObjectStats, Put, Stamp};
use crate::clock::Tick;
use crate::freshness::Deadlines;
use crate::generation::{Born, GenerationDigest, LocalGeneration};
use crate::key::{Key, KeyWriter};

type Subject = dyn ObjectBackend;

/// Runs every case against a fresh backend from `make`, which has room for at least 128 entries of 1 KiB.
///
/// # Errors
///
/// The report, if a case failed.
pub fn object_suite(make: impl Fn() -> Arc<dyn ObjectBackend>) -> Result<SuiteReport, SuiteReport> {
    let mut report = SuiteReport::default();
    for Case { name, run } in CASES {
        let backend = make();
        report.note(name, run(&*backend));
    }
    report.finish()
}

const CASES: &[Case<Subject>] = &[
    Case { name: "an empty backend shows nothing", run: get_nothing },
    Case { name: "removing nothing says so", run: delete_nothing },
    Case { name: "what was put is shown, once", run: set_and_get },
    Case { name: "what was removed is gone, and removing it again says so", run: delete_twice },
    Case { name: "a second put replaces the first", run: replace },
    Case { name: "many keys keep their own values", run: many_keys },
    Case { name: "empty and zero values are values", run: zero_like_values },
    Case { name: "values keep their types", run: types },
    Case { name: "two keys with one hash are two keys", run: colliding_keys },
    Case { name: "keys that are nearly alike are told apart", run: similar_keys },
    Case { name: "a key of ten thousand bytes is a key", run: long_key },
    Case { name: "clear removes everything", run: clear },
    Case { name: "an entry outlives its removal while it is held", run: held_entry },
    Case { name: "sweep removes what is dead by age, and nothing else", run: sweep_by_age },
    Case { name: "sweep removes what is dead by generation, and nothing else", run: sweep_by_generation },
    Case { name: "a put removes nothing that is alive", run: put_keeps_the_living },
    Case { name: "entries and weight are counted, and replacing does not add up", run: stats },
    Case { name: "the capacity is never exceeded, and evictions are counted", run: eviction },
    Case { name: "an entry above the capacity is refused, and the old one is gone", run: oversize },
    Case { name: "threads see whole entries of the key they ask for", run: threads },
];

const NOW: Tick = Tick::from_nanos(1_000_000_000_000);

fn key(name: &str) -> Verdict<Key> {
    KeyWriter::key_of("suite", name).map_err(|error| Unmet::Failed(format!("a key of the suite failed: {error}")))
}

fn stamp(lives: Duration) -> Stamp {
    let fresh = NOW.after(lives);
    let deadlines = Deadlines { fresh, revalidate: fresh, error: fresh };
    let generations = GenerationDigest(0);
    Stamp { deadlines, proved: NOW, proved_until: Tick::NEVER, token: None, generations }
}

fn object<V: Any + Send + Sync>(value: V) -> Arc<Object> {
    weighing(value, 8)
}

fn weighing<V: Any + Send + Sync>(value: V, weight: u64) -> Arc<Object> {
    Arc::new(Object::new(value, stamp(Duration::from_secs(60)), Born::now(&Arc::new(LocalGeneration::new())), weight))
}

fn put(backend: &Subject, key: &Key, object: Arc<Object>) -> Verdict {
    let outcome = backend.put(key.as_ref(), object, NOW);
    expect(outcome == Put::Stored, || format!("a put of {key:?} should be stored, not {outcome:?}"))
}

fn shown(backend: &Subject, key: &Key) -> Option<Arc<Object>> {
    let mut shown = None;
    backend.visit(key.as_ref(), &mut |object| shown = Some(object.clone()));
    shown
}

fn value<V: Clone + 'static>(backend: &Subject, key: &Key) -> Option<V> {
    shown(backend, key)?.value().downcast_ref::<V>().cloned()
}

fn get_nothing(backend: &Subject) -> Verdict {
    expect(shown(backend, &key("k")?).is_none(), || "nothing was put, nothing should be shown".into())?;
    let ObjectStats { entries, weight, .. } = backend.stats();
    expect_eq("entries and weight of an empty backend", (entries, weight), (0, 0))
}

fn delete_nothing(backend: &Subject) -> Verdict {
    expect_eq("`remove` of what is not there", backend.remove(key("k")?.as_ref()), false)
}

fn set_and_get(backend: &Subject) -> Verdict {
    let (key, object) = (key("k")?, object(7u32));
    put(backend, &key, object.clone())?;
    let mut visits = 0;
    let mut same = false;
    backend.visit(key.as_ref(), &mut |shown| {
        visits += 1;
        same = Arc::ptr_eq(shown, &object);
    });
    expect_eq("the number of visits", visits, 1)?;
    expect(same, || "the very object that was put should be shown, not a copy".into())
}

fn delete_twice(backend: &Subject) -> Verdict {
    let key = key("k")?;
    put(backend, &key, object(7u32))?;
    expect_eq("the first `remove`", backend.remove(key.as_ref()), true)?;
    expect(shown(backend, &key).is_none(), || "what was removed should not be shown".into())?;
    expect_eq("the second `remove`", backend.remove(key.as_ref()), false)
}

fn replace(backend: &Subject) -> Verdict {
    let key = key("k")?;
    put(backend, &key, object(1u32))?;
    put(backend, &key, object(2u32))?;
    expect_eq("the value after a second put", value::<u32>(backend, &key), Some(2))
}

fn many_keys(backend: &Subject) -> Verdict {
    let keys = (0..100u32).map(|n| key(&n.to_string())).collect::<Verdict<Vec<Key>>>()?;
    for (n, key) in (0u32..).zip(&keys) {
        put(backend, key, object(n))?;
    }
    for (n, key) in (0u32..).zip(&keys).filter(|(n, _)| n % 3 == 0) {
        expect_eq("`remove` of one of many", backend.remove(key.as_ref()), true)?;
        expect(shown(backend, key).is_none(), || format!("key {n} was removed"))?;
    }
    for (n, key) in (0u32..).zip(&keys).filter(|(n, _)| n % 3 != 0) {
        expect_eq("the value of one of many keys", value::<u32>(backend, key), Some(n))?;
    }
    Ok(())
}

fn zero_like_values(backend: &Subject) -> Verdict {
    let objects = [object(()), object(0u8), object(String::new()), object(None::<u8>), object(Vec::<u8>::new())];
    for (n, object) in objects.into_iter().enumerate() {
        let key = key(&n.to_string())?;
        put(backend, &key, object.clone())?;
        let found = shown(backend, &key).is_some_and(|shown| Arc::ptr_eq(&shown, &object));
        expect(found, || format!("empty value number {n} should be shown"))?;
    }
    Ok(())
}

fn types(backend: &Subject) -> Verdict {
    let (number, text) = (key("number")?, key("text")?);
    put(backend, &number, object(7u64))?;
    put(backend, &text, object("seven".to_owned()))?;
    expect_eq("a number", value::<u64>(backend, &number), Some(7))?;
    expect_eq("a number read as a text", value::<String>(backend, &number), None)?;
    expect_eq("a text", value::<String>(backend, &text), Some("seven".to_owned()))
}

fn colliding_keys(backend: &Subject) -> Verdict {
    let (one, two) = (key("one")?, key("two")?);
    let (one, two) = (one.as_ref().with_hash(42).to_key(), two.as_ref().with_hash(42).to_key());
    put(backend, &one, object(1u32))?;
    expect(shown(backend, &two).is_none(), || "a key with the same hash should show nothing".into())?;
    expect_eq("`remove` of a key with the same hash", backend.remove(two.as_ref()), false)?;
    put(backend, &two, object(2u32))?;
    let both = (value::<u32>(backend, &one), value::<u32>(backend, &two));
    // A backend may keep but one of two such keys; it may not mix them up.
    expect(both == (Some(1), Some(2)) || both == (None, Some(2)), || {
        format!("two keys with one hash should keep 1 and 2, not {both:?}")
    })
}

fn similar_keys(backend: &Subject) -> Verdict {
    let pairs = [("", "a"), ("a", "b"), ("a", "a "), ("ab", "b"), ("a_b", "c"), ("a", "b_c"), ("b", "")];
    let mut keys = Vec::new();
    for (namespace, argument) in pairs {
        let key = KeyWriter::key_of(namespace, argument);
        keys.push(key.map_err(|error| Unmet::Failed(format!("a key of the suite failed: {error}")))?);
    }
    for (n, key) in keys.iter().enumerate() {
        put(backend, key, object(n))?;
    }
    for (n, key) in keys.iter().enumerate() {
        expect_eq("the value of a key that is nearly another", value::<usize>(backend, key), Some(n))?;
    }
    Ok(())
}

fn long_key(backend: &Subject) -> Verdict {
    let text = "x".repeat(10_000);
    let (one, two) = (key(&format!("{text}1"))?, key(&format!("{text}2"))?);
    put(backend, &one, object(1u32))?;
    put(backend, &two, object(2u32))?;
    expect_eq("a long key's value", value::<u32>(backend, &one), Some(1))?;
    expect_eq("its neighbour's", value::<u32>(backend, &two), Some(2))
}

fn clear(backend: &Subject) -> Verdict {
    for n in 0..50 {
        put(backend, &key(&n.to_string())?, object(n))?;
    }
    backend.clear();
    for n in 0..50 {
        expect(shown(backend, &key(&n.to_string())?).is_none(), || format!("key {n} should be gone after `clear`"))?;
    }
    let ObjectStats { entries, weight, .. } = backend.stats();
    expect_eq("entries and weight after `clear`", (entries, weight), (0, 0))?;
    let key = key("again")?;
    put(backend, &key, object(1u32))?;
    expect_eq("a value put after `clear`", value::<u32>(backend, &key), Some(1))
}

fn held_entry(backend: &Subject) -> Verdict {
    let key = key("k")?;
    put(backend, &key, object("kept".to_owned()))?;
    let held = shown(backend, &key).ok_or_else(|| Unmet::Failed("what was put should be shown".into()))?;
    backend.remove(key.as_ref());
    expect_eq("a held value", held.value().downcast_ref::<String>().map(String::as_str), Some("kept"))
}

fn sweep_by_age(backend: &Subject) -> Verdict {
    let scope = Arc::new(LocalGeneration::new());
    for n in 0..40u64 {
        let lives = Duration::from_secs(if n % 2 == 0 { 10 } else { 20 });
        let object: Arc<Object> = Arc::new(Object::new(n, stamp(lives), Born::now(&scope), 8));
        put(backend, &key(&n.to_string())?, object)?;
    }
    let later = |seconds| NOW.after(Duration::from_secs(seconds));
    expect_eq("what a sweep removes before any deadline", backend.sweep(later(9)), 0)?;
    expect_eq("what a sweep removes at the deadline of half", backend.sweep(later(10)), 20)?;
    for n in 0..40u64 {
        let there = value::<u64>(backend, &key(&n.to_string())?).is_some();
        expect(there == (n % 2 == 1), || format!("entry {n} should be {}", if there { "gone" } else { "there" }))?;
    }
    let stats = backend.stats();
    expect_eq("entries and expired entries after a sweep", (stats.entries, stats.expired), (20, 20))
}

fn sweep_by_generation(backend: &Subject) -> Verdict {
    let (ended, going) = (Arc::new(LocalGeneration::new()), Arc::new(LocalGeneration::new()));
    for n in 0..10u64 {
        let scope = if n < 4 { &ended } else { &going };
        let object: Arc<Object> = Arc::new(Object::new(n, stamp(Duration::from_secs(60)), Born::now(scope), 8));
        put(backend, &key(&n.to_string())?, object)?;
    }
    ended.bump();
    expect_eq("what a sweep removes after a scope was invalidated", backend.sweep(NOW), 4)?;
    for n in 0..10u64 {
        let there = value::<u64>(backend, &key(&n.to_string())?).is_some();
        expect(there == (n >= 4), || format!("entry {n} should be {}", if there { "gone" } else { "there" }))?;
    }
    Ok(())
}

fn put_keeps_the_living(backend: &Subject) -> Verdict {
    let scope = Arc::new(LocalGeneration::new());
    let later = NOW.after(Duration::from_secs(15));
    for n in 0..40u64 {
        let lives = Duration::from_secs(if n % 2 == 0 { 10 } else { 60 });
        let object: Arc<Object> = Arc::new(Object::new(n, stamp(lives), Born::now(&scope), 8));
        let at = if n < 20 { NOW } else { later };
        let outcome = backend.put(key(&n.to_string())?.as_ref(), object, at);
        expect_eq("a put into a backend with room", outcome, Put::Stored)?;
    }
    for n in (1..40u64).step_by(2) {
        let found = value::<u64>(backend, &key(&n.to_string())?);
        expect_eq("an entry that is alive while others are put", found, Some(n))?;
    }
    Ok(())
}

fn stats(backend: &Subject) -> Verdict {
    let (one, two) = (key("one")?, key("two")?);
    put(backend, &one, weighing(1u32, 100))?;
    let first = backend.stats();
    expect(first.entries == 1 && first.weight > 0, || format!("one entry should weigh something: {first:?}"))?;
    for _ in 0..20 {
        put(backend, &one, weighing(1u32, 100))?;
    }
    let again = backend.stats();
    expect_eq("entries and weight after replacing", (again.entries, again.weight), (first.entries, first.weight))?;
    put(backend, &two, weighing(2u32, 300))?;
    let both = backend.stats();
    expect_eq("entries", both.entries, 2)?;
    if backend.weighs() {
        expect_eq("what 200 bytes more weigh", both.weight - first.weight, first.weight + 200)?;
    }
    backend.remove(two.as_ref());
    let less = backend.stats();
    expect_eq("entries and weight after a removal", (less.entries, less.weight), (first.entries, first.weight))
}

fn eviction(backend: &Subject) -> Verdict {
    let capacity = backend.stats().capacity;
    // In entries each weighs one; in bytes each takes a sixteenth, and no real memory for it.
    let (weight, puts) = if backend.weighs() { (capacity / 16, 200) } else { (1, capacity.saturating_mul(2)) };
    if capacity == u64::MAX || puts > 4_000_000 {
        return Err(skip("the backend is not bounded, or too large to be filled"));
    }
    for n in 0..puts {
        let key = key(&n.to_string())?;
        if let Put::TooLarge { limit } = backend.put(key.as_ref(), weighing(n, weight), NOW) {
            return Err(Unmet::Failed(format!("a sixteenth of the capacity should be admitted, the limit is {limit}")));
        }
        let stats = backend.stats();
        expect(stats.weight <= capacity, || format!("weight should stay within the capacity: {stats:?}"))?;
    }
    let stats = backend.stats();
    expect(stats.evicted > 0, || format!("evictions should be counted: {stats:?}"))?;
    expect(stats.entries > 0, || "a full backend should hold something".into())?;
    let mut found = 0;
    for n in 0..puts {
        if let Some(value) = value::<u64>(backend, &key(&n.to_string())?) {
            expect_eq("the value of an entry that was not evicted", value, n)?;
            found += 1;
        }
    }
    expect_eq("the entries that are shown, and those that are counted", found, stats.entries)
}

fn oversize(backend: &Subject) -> Verdict {
    let capacity = backend.stats().capacity;
    if !backend.weighs() || capacity == u64::MAX {
        return Err(skip("no entry can be too large"));
    }
    let key = key("k")?;
    put(backend, &key, object(1u32))?;
    match backend.put(key.as_ref(), weighing(2u32, capacity + 1), NOW) {
        Put::TooLarge { limit } => {
            expect(limit <= capacity, || format!("the limit {limit} should be within the capacity {capacity}"))?;
        }
        Put::Stored => return Err(Unmet::Failed("an entry above the capacity should be refused".into())),
    }
    expect(shown(backend, &key).is_none(), || "the entry that was there before should be gone".into())?;
    expect_eq("the count of entries that were too large", backend.stats().too_large, 1)
}

fn threads(backend: &Subject) -> Verdict {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 2_000;
    let keys = (0..8u64).map(|n| key(&n.to_string())).collect::<Verdict<Vec<Key>>>()?;
    let mixed_up = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let keys = &keys;
            move || {
                let mut mixed_up = 0;
                for round in 0..ROUNDS {
                    let at = (round * 7 + thread) % 8;
                    let key = &keys[at as usize];
                    // Each thread writes its own keys and reads all.
                    if at % THREADS == thread {
                        match round % 5 {
                            0 => drop(backend.remove(key.as_ref())),
                            _ => drop(backend.put(key.as_ref(), object((at, round)), NOW)),
                        }
                    }
                    mixed_up += u64::from(value::<(u64, u64)>(backend, key).is_some_and(|(of, _)| of != at));
                }
                mixed_up
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
    });
    expect_eq("entries of another key that a thread was shown", mixed_up, 0)?;
    for (n, key) in (0u64..).zip(&keys) {
        put(backend, key, object((n, ROUNDS)))?;
        expect_eq("the last value after the threads", value(backend, key), Some((n, ROUNDS)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::key::KeyRef;
    use crate::testkit::MapBackend;

    #[test]
    fn the_map_backend_passes() {
        let report = object_suite(|| Arc::new(MapBackend::new(256 * 1024))).unwrap();
        assert_eq!(report.passed.len(), CASES.len(), "{report}");
    }

    /// What is wrong with a backend.
    #[derive(Debug, Clone, Copy)]
    enum Flaw {
        ForgetsRemovals,
        MixesUpHashes,
        SweepsEverything,
        AdmitsEverything,
        RemoveSaysYes,
        ShowsTwice,
    }

    #[derive(Debug)]
    struct Flawed(MapBackend, Flaw);

    impl Flawed {
        fn named<T>(&self, key: KeyRef<'_>, act: impl FnOnce(KeyRef<'_>) -> T) -> T {
            match self.1 {
                Flaw::MixesUpHashes => act(KeyWriter::key_of("hash", &key.hash()).unwrap().as_ref()),
                _ => act(key),
            }
        }
    }

    impl ObjectBackend for Flawed {
        fn visit(&self, key: KeyRef<'_>, visit: &mut dyn FnMut(&Arc<Object>)) {
            self.named(key, |key| {
                self.0.visit(key, visit);
                if let Flaw::ShowsTwice = self.1 {
                    self.0.visit(key, visit);
                }
            });
        }
        fn put(&self, key: KeyRef<'_>, entry: Arc<Object>, now: Tick) -> Put {
            match (self.named(key, |key| self.0.put(key, entry, now)), self.1) {
                (Put::TooLarge { .. }, Flaw::AdmitsEverything) => Put::Stored,
                (outcome, _) => outcome,
            }
        }
        fn remove(&self, key: KeyRef<'_>) -> bool {
            match self.1 {
                Flaw::ForgetsRemovals => shown(self, &key.to_key()).is_some(),
                Flaw::RemoveSaysYes => {
                    self.0.remove(key);
                    true
                }
                _ => self.named(key, |key| self.0.remove(key)),
            }
        }
        fn clear(&self) {
            self.0.clear();
        }
        fn sweep(&self, now: Tick) -> usize {
            match self.1 {
                Flaw::SweepsEverything => {
                    let entries = self.0.stats().entries as usize;
                    self.0.clear();
                    entries
                }
                _ => self.0.sweep(now),
            }
        }
        fn stats(&self) -> ObjectStats {
            self.0.stats()
        }
        fn weighs(&self) -> bool {
            true
        }
    }

    #[test]
    fn every_flaw_is_found_by_the_case_that_is_about_it() {
        let flaws = [
            (Flaw::ForgetsRemovals, "what was removed is gone"),
            (Flaw::MixesUpHashes, "two keys with one hash"),
            (Flaw::SweepsEverything, "sweep removes what is dead by age"),
            (Flaw::AdmitsEverything, "an entry above the capacity"),
            (Flaw::RemoveSaysYes, "removing nothing says so"),
            (Flaw::ShowsTwice, "what was put is shown, once"),
        ];
        for (flaw, case) in flaws {
            let report = object_suite(|| Arc::new(Flawed(MapBackend::new(256 * 1024), flaw))).unwrap_err();
            assert!(report.failed.iter().any(|(name, _)| name.starts_with(case)), "{flaw:?}: {report}");
        }
    }
}
