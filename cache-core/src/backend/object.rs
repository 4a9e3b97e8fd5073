//! The near tier: objects of this process, kept as they are and read by reference.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::backend::Token;
use crate::clock::Tick;
use crate::freshness::{Deadlines, Freshness};
use crate::generation::{GenerationDigest, LocalGeneration};
use crate::key::KeyRef;

/// A store of objects in this process. Operations neither wait for I/O nor fail.
///
/// Two puts, or a put and a removal, of one key are never made at the same time by the framework: the board's lock
/// of that key is held. Reads come at any time.
pub trait ObjectBackend: Send + Sync + fmt::Debug {
    /// Shows `visit` what is stored under `key`; `visit` is not called if there is nothing.
    ///
    /// This is the path of a hit: it should take no lock and write to no cache line that other threads write to.
    /// `visit` is short, and calls no operation of this backend.
    fn visit(&self, key: KeyRef<'_>, visit: &mut dyn FnMut(&Arc<Object>));

    /// Stores `entry` under `key` in place of what is there, and removes a few entries that are dead at `now`.
    ///
    /// When `Put::TooLarge` is answered, what was stored under `key` before is gone.
    fn put(&self, key: KeyRef<'_>, entry: Arc<Object>, now: Tick) -> Put;

    /// Removes what is stored under `key`, and says whether there was something.
    fn remove(&self, key: KeyRef<'_>) -> bool;

    /// Removes everything.
    fn clear(&self);

    /// Removes every entry that is dead at `now`, and says how many there were.
    fn sweep(&self, now: Tick) -> usize;

    /// What the backend holds, and what it did.
    fn stats(&self) -> ObjectStats;

    /// Whether the capacity is counted in bytes, so that each value must be weighed before it is put.
    fn weighs(&self) -> bool;
}

/// What became of a [`put`](ObjectBackend::put).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Stored,
    /// It weighs more than the backend admits for one entry (bytes), and was not stored.
    TooLarge {
        /// The most that one entry may weigh, in bytes.
        limit: u64,
    },
}

/// What a near backend holds, and what it did since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectStats {
    /// Entries stored now, dead ones included.
    pub entries: u64,
    /// What they weigh together: bytes with keys and overhead, or entries.
    pub weight: u64,
    /// The most that they may weigh together, in the same unit.
    pub capacity: u64,
    /// Entries that made room for others.
    pub evicted: u64,
    /// Dead entries that were removed.
    pub expired: u64,
    /// Entries that were too large to be stored.
    pub too_large: u64,
}

/// When a value was loaded, how long it is good, and what shows that it is still current.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Until when it may be served, by age.
    pub deadlines: Deadlines,
    /// The instant before the request that showed it current was sent (rule R1).
    pub proved: Tick,
    /// Until when that proof is good: `proved` + `max_staleness`, or never where this tier is the only one.
    pub proved_until: Tick,
    /// The fence of the far record that this is a copy of.
    pub token: Option<Token>,
    /// The far generations of that record's scopes.
    pub generations: GenerationDigest,
}

/// A value in the near tier, with its stamp. `Arc<Object<V>>` coerces to `Arc<Object>`.
pub struct Object<V: ?Sized = dyn Any + Send + Sync> {
    /// The earlier of "fresh until" and "proved until": the one comparison of a hit.
    serve_until: AtomicU64,
    proved: AtomicU64,
    /// Whether it was invalidated softly.
    soft: AtomicBool,
    scope: Arc<LocalGeneration>,
    born_in: u64,
    stamp: Stamp,
    weight: u64,
    value: V,
}

impl<V> Object<V> {
    /// A value made while `scope` was at generation `born_in`. `weight` is the value's own size in bytes.
    pub fn new(value: V, stamp: Stamp, scope: Arc<LocalGeneration>, born_in: u64, weight: u64) -> Self {
        let serve_until = stamp.deadlines.fresh.min(stamp.proved_until);
        Object {
            serve_until: AtomicU64::new(serve_until.as_nanos()),
            proved: AtomicU64::new(stamp.proved.as_nanos()),
            soft: AtomicBool::new(false),
            scope,
            born_in,
            stamp,
            weight,
            value,
        }
    }
}

impl<V> Object<V> {
    /// The value, of an object that nobody else holds.
    pub fn into_value(self) -> V {
        self.value
    }
}

impl<V: ?Sized> Object<V> {
    /// Whether a read that starts at `now` may be answered with this value and nothing else asked.
    #[inline]
    pub fn serves(&self, now: Tick) -> bool {
        now.as_nanos() < self.serve_until.load(Ordering::Relaxed) && self.is_current()
    }

    /// Whether no scope of the entry was invalidated in this process since its load began.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.scope.current() == self.born_in
    }

    /// Whether the entry is of no use any more, to anyone.
    pub fn is_dead(&self, now: Tick) -> bool {
        now >= self.stamp.deadlines.dead() || !self.is_current()
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &V {
        &self.value
    }

    /// The stamp as it was when the entry was made; see [`proved`](Object::proved) for the proof as it is now.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// What may be done with the value at `now`, by its age and by soft invalidation.
    pub fn judge(&self, now: Tick) -> Freshness {
        match self.stamp.deadlines.judge(now) {
            Freshness::Fresh if self.soft.load(Ordering::Relaxed) => Freshness::Stale,
            freshness => freshness,
        }
    }

    /// The value is stale from now on: it is served only while somebody reloads it.
    pub fn soften(&self) {
        self.soft.store(true, Ordering::Relaxed);
        self.serve_until.store(0, Ordering::Relaxed);
    }

    /// The instant before the request that last showed the value current was sent.
    pub fn proved(&self) -> Tick {
        Tick::from_nanos(self.proved.load(Ordering::Relaxed))
    }

    /// The value was shown current again by a request sent at `proved`, which is good until `until`.
    ///
    /// An older proof than the present one changes nothing.
    pub fn renew(&self, proved: Tick, until: Tick) {
        let newer = self.proved.fetch_max(proved.as_nanos(), Ordering::Relaxed) < proved.as_nanos();
        if newer && !self.soft.load(Ordering::Relaxed) {
            let serve_until = self.stamp.deadlines.fresh.min(until);
            self.serve_until.fetch_max(serve_until.as_nanos(), Ordering::Relaxed);
        }
    }

    /// The value's own size in bytes, without key and overhead; 0 if nobody weighed it.
    pub fn weight(&self) -> u64 {
        self.weight
    }
}

impl<V: ?Sized> fmt::Debug for Object<V> {
    /// Everything but the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("stamp", &self.stamp).field("weight", &self.weight).finish_non_exhaustive()
    }
}
