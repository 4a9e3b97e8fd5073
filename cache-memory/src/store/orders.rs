//! Puts, removals, evictions, sweeps and reads of the same keys, in every order in which threads can reach the locks and
//! atomics of this crate, sampled.
//!
//! The index is not taken apart: an operation on it is one step, which it promises to be. All threads of the checker are one to
//! the index, so that what one of them took out waits for all who are amid an operation, as under real threads at worst.

#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::time::Duration;

use cache_core::freshness::Deadlines;
use cache_core::policy::Policy;

use super::audit::{Audit, audit};
use super::tests::{NOW, object, object_until, read};
use super::*;

const LATER: Tick = Tick::from_nanos((1 << 40) + 2_000_000_000);

/// A store of two shards, and what its threads did.
struct Scene {
    store: Store,
    puts: AtomicU64,
    removed: AtomicU64,
}

/// A key by its number: the even ones in one shard, the odd ones in the other.
struct Numbered([u8; 8]);

impl Numbered {
    fn new(number: u64) -> Self {
        Numbered(number.to_le_bytes())
    }

    fn wanted(&self) -> Wanted<'_> {
        let number = u64::from_le_bytes(self.0);
        Wanted { hash: ShortHash::of(number << 56 | number << 48 | (number + 1) << 40), bytes: &self.0 }
    }
}

impl Scene {
    fn new(capacity: Capacity) -> Arc<Self> {
        Arc::new(Scene { store: Store::of_shards(capacity, 2), puts: AtomicU64::new(0), removed: AtomicU64::new(0) })
    }

    /// Values tell their key, so that each read can be judged.
    fn put(&self, key: u64, value: u64, weight: u64) -> Put {
        self.put_object(key, object(10 * key + value, weight))
    }

    fn put_object(&self, key: u64, object: Arc<Object>) -> Put {
        let put = self.store.put(Numbered::new(key).wanted(), object, NOW);
        if put == Put::Stored {
            self.puts.fetch_add(1, Ordering::Relaxed);
        }
        put
    }

    fn put_all(&self, keys: Range<u64>) {
        keys.for_each(|key| assert_eq!(self.put(key, 1, 100), Put::Stored));
    }

    fn read(&self, key: u64) -> Option<u64> {
        let found = read(&self.store, Numbered::new(key).wanted());
        found.map(|value| {
            assert_eq!(value / 10, key, "the value of another key");
            value % 10
        })
    }

    fn remove(&self, key: u64) {
        if self.store.remove(Numbered::new(key).wanted()) {
            self.removed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type Part = fn(&Scene);

/// Runs these at once, and looks at what they leave.
fn together(capacity: Capacity, parts: &[Part], after: impl Fn(&Scene, &Audit)) {
    let scene = Scene::new(capacity);
    let run = |part: &Part| {
        let (scene, part) = (scene.clone(), *part);
        shuttle::thread::spawn(move || part(&scene))
    };
    let threads: Vec<_> = parts.iter().map(run).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let even = audit(&scene.store);
    after(&scene, &even);
    scene.store.clear();
    assert_eq!(audit(&scene.store), Audit { weight: 0, entries: 0 });
}

fn check(scene: fn()) {
    shuttle::check_random(scene, 800);
    shuttle::check_pct(scene, 400, 3);
}

/// A value that is dead at [`LATER`].
fn brief(value: u64) -> Arc<Object> {
    let second = Duration::from_secs(1);
    object_until(value, 100, Deadlines::starting(NOW, Some(second), &Policy::with_ttl(second)))
}

/// Room for three entries of 100 bytes.
fn three() -> Capacity {
    Capacity::Bytes(3 * Capacity::Bytes(0).weigh(8, 100))
}

#[test]
fn what_was_removed_replaced_or_cleared_does_not_come_back() {
    check(|| {
        let removes: Part = |scene| {
            scene.put(0, 1, 100);
            scene.remove(0);
            assert_ne!(scene.read(0), Some(1), "it was removed");
            scene.put(0, 2, 100);
            assert_eq!(scene.put(0, 3, u64::MAX), Put::TooLarge { limit: three().limit() });
            assert_ne!(scene.read(0), Some(2), "it was replaced, if by nothing");
        };
        let clears: Part = |scene| {
            scene.put(0, 4, 100);
            scene.put(0, 5, 50);
            assert_ne!(scene.read(0), Some(4), "it was replaced");
            scene.put(1, 4, 100);
            scene.store.clear();
            assert_eq!(scene.read(1), None, "it was cleared");
            scene.put(0, 6, 100);
        };
        let others: Part = |scene| {
            scene.put_all(2..6);
            // Marks what is there, and so has it stay.
            (0..6).for_each(|key| _ = scene.read(key));
        };
        together(three(), &[removes, clears, others], |scene, _| {
            assert!(matches!(scene.read(0), None | Some(6)), "{:?}", scene.read(0));
            assert_eq!(scene.read(1), None);
        });
    });
}

#[test]
fn each_entry_leaves_once_and_is_counted_once() {
    check(|| {
        let dies: Part = |scene| {
            (0..3).for_each(|key| assert_eq!(scene.put_object(key, brief(10 * key)), Put::Stored));
            scene.remove(0);
        };
        let lives: Part = |scene| {
            scene.put_all(3..6);
            scene.remove(3);
        };
        let removes: Part = |scene| (0..6).rev().step_by(2).for_each(|key| scene.remove(key));
        let sweeps: Part = |scene| {
            scene.store.sweep(LATER);
            scene.put_all(6..8);
        };
        together(three(), &[dies, lives, removes, sweeps], |scene, even| {
            let stats = scene.store.stats();
            let (puts, removed) = (scene.puts.load(Ordering::Relaxed), scene.removed.load(Ordering::Relaxed));
            assert_eq!(puts, even.entries + removed + stats.evicted + stats.expired, "{stats:?}, {removed} removed");
            assert_eq!((stats.entries, stats.weight), (even.entries, even.weight));
        });
    });
}

#[test]
fn puts_of_several_threads_leave_no_more_than_there_is_room_for() {
    check(|| {
        let heavy: Part = |scene| assert_eq!(scene.put(0, 1, three().limit() / 2), Put::Stored);
        let some: Part = |scene| scene.put_all(1..4);
        let same: Part = |scene| (0..4).for_each(|value| _ = scene.put(1, value, 200 * value));
        let reads: Part = |scene| (0..4).for_each(|key| _ = scene.read(key));
        together(three(), &[heavy, some, same, reads], |_, _| {});
    });
}
