//! The near tier: objects of this process, kept as they are and read by reference.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::Token;
use crate::clock::Tick;
use crate::freshness::{Deadlines, Freshness};
use crate::generation::{Born, GenerationDigest};
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
///
/// It is kept small, and what a hit reads stands together, beside the value: a hit on an object that is not in the
/// processor's cache costs what its lines of memory do.
#[repr(C)]
pub struct Object<V: ?Sized = dyn Any + Send + Sync> {
    weight: u64,
    proved: AtomicU64,
    /// What a value has that comes from a far tier, or that may be served stale.
    more: Option<Box<More>>,
    /// The earlier of "fresh until" and "proved until": the one comparison of a hit.
    serve_until: Until,
    born: Born,
    value: V,
}

/// What of a stamp is most often nothing.
#[derive(Debug)]
struct More {
    fresh: Tick,
    /// The stale windows after `fresh`, in milliseconds: up to 49 days.
    revalidate_ms: u32,
    error_ms: u32,
    /// Zero is none.
    token: u64,
    generations: GenerationDigest,
}

/// An instant, and whether the value was invalidated softly: then none is before it.
#[derive(Debug)]
struct Until(AtomicI64);

impl Until {
    /// Instants beyond this are never.
    const NEVER: i64 = i64::MAX;

    fn new(until: Tick) -> Self {
        Until(AtomicI64::new(Self::nanos(until)))
    }

    fn nanos(tick: Tick) -> i64 {
        // Never zero, which has no sign: nothing is fresh at the clock's very start.
        i64::try_from(tick.as_nanos()).unwrap_or(Self::NEVER).max(1)
    }

    #[inline]
    fn is_after(&self, now: Tick) -> bool {
        (now.as_nanos() as i64) < self.0.load(Ordering::Relaxed)
    }

    fn tick(&self) -> Tick {
        match self.0.load(Ordering::Relaxed).wrapping_abs() {
            Self::NEVER => Tick::NEVER,
            nanos => Tick::from_nanos(nanos as u64),
        }
    }

    fn is_soft(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }

    fn soften(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| (until > 0).then_some(-until));
    }

    /// A later instant, unless the value is soft.
    fn extend(&self, until: Tick) {
        let until = Self::nanos(until);
        let extended = |present: i64| (present > 0 && present < until).then_some(until);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, extended);
    }
}

impl<V> Object<V> {
    /// A value made under the generations `born`. `weight` is the value's own size in bytes.
    pub fn new(value: V, stamp: Stamp, born: Born, weight: u64) -> Self {
        let Stamp { deadlines, proved, proved_until, token, generations } = stamp;
        let more = More {
            fresh: deadlines.fresh,
            revalidate_ms: millis(deadlines.revalidate.since(deadlines.fresh)),
            error_ms: millis(deadlines.error.since(deadlines.fresh)),
            token: token.map_or(0, |token| token.0),
            generations,
        };
        Object {
            weight,
            proved: AtomicU64::new(proved.as_nanos()),
            more: (proved_until < deadlines.fresh || more.is_something()).then(|| Box::new(more)),
            serve_until: Until::new(deadlines.fresh.min(proved_until)),
            born,
            value,
        }
    }

    /// The value, of an object that nobody else holds.
    pub fn into_value(self) -> V {
        self.value
    }
}

impl More {
    /// Whether it says more than until when a value is fresh.
    fn is_something(&self) -> bool {
        let More { fresh: _, revalidate_ms, error_ms, token, generations } = self;
        *revalidate_ms != 0 || *error_ms != 0 || *token != 0 || *generations != GenerationDigest::default()
    }
}

impl<V: ?Sized> Object<V> {
    /// Whether a read that starts at `now` may be answered with this value and nothing else asked.
    #[inline]
    pub fn serves(&self, now: Tick) -> bool {
        self.serve_until.is_after(now) && self.is_current()
    }

    /// The same for a read that says itself how old the proof may be, whoever made the entry.
    pub fn serves_within(&self, max_staleness: Duration, now: Tick) -> bool {
        self.judge(now) == Freshness::Fresh && self.proved().after(max_staleness) > now && self.is_current()
    }

    /// Whether no scope of the entry was invalidated in this process since its load began.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.born.is_current()
    }

    /// The generations of this process that it was made under.
    pub(crate) fn born(&self) -> &Born {
        &self.born
    }

    /// Whether the entry is of no use any more, to anyone.
    pub fn is_dead(&self, now: Tick) -> bool {
        now >= self.deadlines().dead() || !self.is_current()
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &V {
        &self.value
    }

    /// Until when it may be served, by age. Stale windows are kept in whole milliseconds.
    pub fn deadlines(&self) -> Deadlines {
        let (fresh, revalidate, error) = match &self.more {
            Some(more) => (more.fresh, more.revalidate_ms, more.error_ms),
            None => (self.serve_until.tick(), 0, 0),
        };
        let window = |millis: u32| fresh.after(Duration::from_millis(millis.into()));
        Deadlines { fresh, revalidate: window(revalidate), error: window(error) }
    }

    /// The fence of the far record that this is a copy of. A fence of 0, which memcached never gives, is not kept.
    pub fn token(&self) -> Option<Token> {
        let token = self.more.as_ref().map_or(0, |more| more.token);
        (token != 0).then_some(Token(token))
    }

    /// The far generations of that record's scopes.
    pub fn generations(&self) -> GenerationDigest {
        self.more.as_ref().map_or_else(GenerationDigest::default, |more| more.generations)
    }

    /// What may be done with the value at `now`, by its age and by soft invalidation.
    pub fn judge(&self, now: Tick) -> Freshness {
        match self.deadlines().judge(now) {
            Freshness::Fresh if self.serve_until.is_soft() => Freshness::Stale,
            freshness => freshness,
        }
    }

    /// The value is stale from now on: it is served only while somebody reloads it.
    pub fn soften(&self) {
        self.serve_until.soften();
    }

    /// The instant before the request that last showed the value current was sent.
    pub fn proved(&self) -> Tick {
        Tick::from_nanos(self.proved.load(Ordering::Relaxed))
    }

    /// The value was shown current again by a request sent at `proved`, which is good until `until`.
    ///
    /// An older proof than the present one changes nothing, and nothing makes a softly invalidated value fresh.
    pub fn renew(&self, proved: Tick, until: Tick) {
        if self.proved.fetch_max(proved.as_nanos(), Ordering::Relaxed) < proved.as_nanos() {
            self.serve_until.extend(self.deadlines().fresh.min(until));
        }
    }

    /// The value's own size in bytes, without key and overhead; 0 if nobody weighed it.
    pub fn weight(&self) -> u64 {
        self.weight
    }
}

fn millis(window: Duration) -> u32 {
    u32::try_from(window.as_millis()).unwrap_or(u32::MAX)
}

impl<V: ?Sized> fmt::Debug for Object<V> {
    /// Everything but the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Object");
        out.field("deadlines", &self.deadlines()).field("proved", &self.proved()).field("weight", &self.weight);
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::LocalGeneration;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Tick {
        Tick::ZERO.after(seconds * SECOND)
    }

    /// Fresh until 10 s, then stale until 12 s, then of use on errors until 20 s; proved at 1 s, which is good until 3 s.
    fn object(scope: &Arc<LocalGeneration>) -> Object<u64> {
        let deadlines = Deadlines { fresh: at(10), revalidate: at(12), error: at(20) };
        let generations = GenerationDigest(7);
        let stamp = Stamp { deadlines, proved: at(1), proved_until: at(3), token: Some(Token(9)), generations };
        Object::new(42, stamp, Born::now(scope), 8)
    }

    #[test]
    fn it_serves_while_it_is_fresh_and_proved_and_its_scope_lasts() {
        let scope = Arc::new(LocalGeneration::new());
        let object = object(&scope);
        assert!(object.serves(at(3).before(Duration::from_nanos(1))));
        assert!(!object.serves(at(3)), "the proof is over");
        object.renew(at(5), at(7));
        assert!(object.serves(at(6)) && !object.serves(at(7)));
        object.renew(at(4), at(9));
        assert!(!object.serves(at(7)), "an older proof changes nothing");
        object.renew(at(8), at(30));
        assert!(object.serves(at(9)) && !object.serves(at(10)), "no proof outlasts the ttl");
        scope.bump();
        assert!(!object.serves(at(2)) && !object.is_current() && object.is_dead(at(2)));
    }

    #[test]
    fn a_read_may_say_itself_how_old_the_proof_may_be() {
        let scope = Arc::new(LocalGeneration::new());
        let object = object(&scope);
        assert!(
            object.serves_within(SECOND, at(1)) && !object.serves_within(SECOND, at(2)),
            "sooner than the entry says"
        );
        assert!(
            object.serves_within(9 * SECOND, at(9)) && !object.serves_within(20 * SECOND, at(10)),
            "no longer than it is fresh"
        );
        assert!(!object.serves_within(Duration::ZERO, at(1)));
        scope.bump();
        assert!(!object.serves_within(SECOND, at(1)), "its scope has ended");
    }

    #[test]
    fn it_keeps_what_it_was_given() {
        let scope = Arc::new(LocalGeneration::new());
        let object = object(&scope);
        assert_eq!(object.deadlines(), Deadlines { fresh: at(10), revalidate: at(12), error: at(20) });
        assert_eq!((object.proved(), object.token(), object.generations().0), (at(1), Some(Token(9)), 7));
        assert_eq!((object.weight(), *object.value()), (8, 42));
        assert!(!object.is_dead(at(20).before(Duration::from_nanos(1))) && object.is_dead(at(20)));
        assert_eq!(object.into_value(), 42);
    }

    #[test]
    fn a_soft_invalidation_makes_it_stale_for_good() {
        let object = object(&Arc::new(LocalGeneration::new()));
        assert_eq!(object.judge(at(2)), Freshness::Fresh);
        object.soften();
        assert!(!object.serves(at(2)));
        assert_eq!(object.judge(at(2)), Freshness::Stale);
        object.renew(at(5), at(7));
        assert!(!object.serves(at(6)), "a proof does not make it fresh");
        assert_eq!(object.judge(at(13)), Freshness::StaleIfError);
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Object<()>>() <= 40, "{}", size_of::<Object<()>>());
    }
}
