//! Who loads, who follows, what is void: one short lock per key, and nothing under it that waits.
//!
//! | call | under the key's lock |
//! |---|---|
//! | [`Visit::look_in_turn`] | what is here; and of very many callers, who asks elsewhere and who waits ([`Look::Asked`]) |
//! | [`Visit::join`] | a load in flight is followed, or else one is begun |
//! | [`Lead::land`] | is the flight void? + near put + the flight leaves the board |
//! | [`Visit::put`] | was the key voided since the mark? + near put |
//! | [`Board::void`] | the flight is void + near drop |
//!
//! The last three make rule R5: void and drop are one step, check and put another, so nothing that was loaded before
//! an invalidation stays near after it. The order of `land` is what makes one load of many calls: whoever takes the
//! lead after it finds the value near.
//!
//! The board knows no backend, no clock and no executor; waiting is the driver's (`drive`).

mod flight;
mod loading;
mod turns;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::backend::{Kept, Token};
use crate::clock::Tick;
use crate::generation::GenerationDigest;
use crate::key::{HasKey, Key, KeyRef};
use crate::sync::{Mutex, MutexGuard, lock};

pub use flight::{Flight, Follow, Landing, LedBy};
pub use loading::{Relation, WaitsFor, is_loading, loading, relation};
pub use turns::Patient;
use turns::{Turn, Turns};

/// Locks that the keys are spread over.
const SHARDS: usize = 64;
/// Claims that a shard keeps for successors, at the most.
const LEFT_PER_SHARD: usize = 256;

/// The loads in flight of one region.
pub struct Board {
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    slots: HashMap<Key, Slot, BuildHasherDefault<Prehashed>>,
    /// How many slots have something `left`.
    left: usize,
}

/// What the board knows of one key, for as long as anyone visits it or left something behind.
#[derive(Default)]
struct Slot {
    visitors: usize,
    voids: u64,
    flight: Option<Arc<Flight>>,
    left: Option<Left>,
    /// Who asks elsewhere, and who waits for them: threads, and tasks.
    turns: [Turns; 2],
}

/// What a load that ended without a value leaves to the next one in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The claim that it had won and did not use, if any: a successor loads under it instead of waiting for its end.
    pub fence: Option<Fence>,
    /// Until then nobody loads who has a stale value to serve: the source has just failed.
    pub rests_until: Tick,
    /// Until when there is anything to it.
    pub ends: Tick,
}

/// What a value must pass to be stored far (rule R3), read before its load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// What the slot showed.
    pub token: Token,
    /// What stood in it.
    pub kept: Kept,
    /// The digest of the owner's generations.
    pub digest: GenerationDigest,
    /// Whether the claim was won, so that it must be used or handed back.
    pub won: bool,
}

/// How often a key had been voided at some instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

/// Whether a flight, or a mark, is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The key was not invalidated in this process since.
    Current,
    /// It was.
    Void,
}

/// What a visitor finds without taking part.
#[derive(Debug, Clone)]
pub enum Look {
    /// A load is in flight.
    Flight(Arc<Flight>),
    /// None is, but the last one left something.
    Left(Left),
    /// Nothing.
    Clear,
    /// None is, but so many ask elsewhere that this is waited for, whose leader asks for all.
    Asked(Arc<Flight>),
}

/// What a visitor becomes.
#[derive(Debug)]
pub enum Joined {
    /// The one who loads.
    Leads(Box<Lead>),
    /// One who waits.
    Follows(Arc<Flight>),
}

impl Board {
    /// An empty board.
    pub fn new() -> Self {
        Board { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Announces a call that may load or store `key`. Until the visit ends, the key's voids are counted.
    pub fn visit(self: &Arc<Self>, key: KeyRef<'_>) -> Visit {
        let key = self.shard_of(key.hash()).enter(key);
        Visit { board: self.clone(), key, turn: None }
    }

    /// The key was invalidated: its flight and everything that visitors hold is void. `and` runs in the same step; it
    /// drops the near copy.
    pub fn void(&self, key: KeyRef<'_>, and: impl FnOnce()) {
        let mut shard = self.shard_of(key.hash());
        shard.change(key, Slot::void);
        and();
    }

    /// Everything in `namespace`, or on the whole board, was invalidated.
    pub fn void_all(&self, namespace: Option<&str>) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let shard = &mut *shard;
            for (key, slot) in &mut shard.slots {
                if namespace.is_none_or(|namespace| key.as_ref().namespace() == namespace) {
                    shard.left -= usize::from(slot.left.is_some());
                    slot.void();
                }
            }
            shard.slots.retain(|_, slot| !slot.is_empty());
        }
    }

    /// Loads in flight, and visitors of all keys.
    pub fn census(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(flights, visitors), shard| {
            let shard = lock(shard);
            let here = shard.slots.values().filter(|slot| slot.flight.is_some()).count();
            (flights + here, visitors + shard.slots.values().map(|slot| slot.visitors).sum::<usize>())
        })
    }

    fn shard_of(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The high bits: the maps inside use the low ones.
        lock(&self.shards[(hash >> 58) as usize % SHARDS])
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (flights, visitors) = self.census();
        write!(f, "Board {{ flights: {flights}, visitors: {visitors} }}")
    }
}

impl Shard {
    /// Changes a slot that may be there, keeps count of what is left, and forgets the slot once it is empty.
    fn change<T>(&mut self, key: KeyRef<'_>, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let slot = self.slots.get_mut(&key as &dyn HasKey)?;
        let before = usize::from(slot.left.is_some());
        let answer = change(slot);
        self.left = self.left - before + usize::from(slot.left.is_some());
        if slot.is_empty() {
            self.slots.remove(&key as &dyn HasKey);
        }
        Some(answer)
    }

    /// A visitor more at `key`, which is theirs together.
    fn enter(&mut self, key: KeyRef<'_>) -> Key {
        let there = self.slots.get_key_value(&key as &dyn HasKey).map(|(key, _)| key.clone());
        let key = there.unwrap_or_else(|| key.to_key());
        self.slots.entry(key.clone()).or_default().visitors += 1;
        key
    }

    /// Whether a slot more may keep something; what is over is forgotten first.
    fn may_keep(&mut self, now: Tick) -> bool {
        if self.left >= LEFT_PER_SHARD {
            for slot in self.slots.values_mut() {
                slot.left = slot.left.take_if(|left| now < left.ends);
            }
            self.slots.retain(|_, slot| !slot.is_empty());
            self.left = self.slots.values().filter(|slot| slot.left.is_some()).count();
        }
        self.left < LEFT_PER_SHARD
    }
}

impl Slot {
    fn void(&mut self) {
        self.voids += 1;
        self.flight = None;
        self.left = None;
    }

    fn is_empty(&self) -> bool {
        self.visitors == 0 && self.flight.is_none() && self.left.is_none()
    }

    fn is_led_by(&self, flight: &Arc<Flight>) -> bool {
        self.flight.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, flight))
    }
}

/// A call's presence at one key.
pub struct Visit {
    board: Arc<Board>,
    key: Key,
    /// Its part among those of its kind who ask elsewhere.
    turn: Option<(LedBy, Turn)>,
}

impl Visit {
    /// The key.
    pub fn key(&self) -> KeyRef<'_> {
        self.key.as_ref()
    }

    /// The key, to keep.
    pub fn owned_key(&self) -> Key {
        self.key.clone()
    }

    /// How often the key was voided by now: taken before the request whose answer is to be [put](Visit::put).
    pub fn mark(&self) -> Mark {
        self.slot(|slot| Mark(slot.voids))
    }

    /// What is here, without taking part.
    pub fn look(&self, now: Tick) -> Look {
        self.slot(|slot| match (&slot.flight, slot.left) {
            (Some(flight), _) => Look::Flight(flight.clone()),
            (None, Some(left)) if now < left.ends => Look::Left(left),
            _ => Look::Clear,
        })
    }

    /// What is here for a caller who will ask elsewhere if it is clear: of very many who would, some do.
    pub fn look_in_turn(&mut self, patient: Patient, face: LedBy, now: Tick) -> Look {
        let mut turn = self.turn.take().map(|(_, turn)| turn).unwrap_or_default();
        let looked = self.slot(|slot| match (&slot.flight, slot.left) {
            (Some(flight), _) => Look::Flight(flight.clone()),
            (None, Some(left)) if now < left.ends => Look::Left(left),
            _ => match slot.turns[face as usize].of(&mut turn, patient, face, now) {
                Some(asked) => Look::Asked(asked),
                None => Look::Clear,
            },
        });
        self.turn = Some((face, turn));
        looked
    }

    /// Whether others wait for what this visitor comes to.
    pub fn is_awaited(&self) -> bool {
        self.turn.as_ref().is_some_and(|(_, turn)| turn.is_awaited())
    }

    /// Tells those who wait for this visitor what it came to, and ends its turn.
    pub fn answer(&mut self, landing: Landing) {
        let Some((face, turn)) = self.turn.take() else { return };
        let awaited = self.slot(|slot| slot.turns[face as usize].end(turn));
        if let Some(flight) = awaited {
            flight.land(landing);
        }
    }

    /// Follows the load in flight, or begins one.
    pub fn join(&self, led_by: LedBy, now: Tick) -> Joined {
        self.join_unless(|_| false, led_by, now)
    }

    /// As [`join`](Visit::join), but `flight`, which took too long, is no longer waited for: of all who say so one
    /// leads anew, and the others follow it.
    pub fn overtake(&self, flight: &Arc<Flight>, led_by: LedBy, now: Tick) -> Joined {
        self.join_unless(|mine| Arc::ptr_eq(mine, flight), led_by, now)
    }

    fn join_unless(&self, gone: impl FnOnce(&Arc<Flight>) -> bool, led_by: LedBy, now: Tick) -> Joined {
        let joined = self.slot(|slot| match slot.flight.take_if(|flight| !gone(flight)) {
            Some(flight) => {
                slot.flight = Some(flight.clone());
                Err(flight)
            }
            None => {
                let flight = Arc::new(Flight::new(led_by, now));
                slot.flight = Some(flight.clone());
                let released = slot.turns.each_mut().map(Turns::let_go);
                Ok((flight, Mark(slot.voids), slot.left.take(), released))
            }
        });
        match joined {
            Ok((flight, mark, left, released)) => {
                released.into_iter().for_each(|released| released.tell(&flight));
                let fence = left.filter(|left| now < left.ends).and_then(|left| left.fence);
                // The visit of the lead is another one: it outlives the call's if the call is dropped first.
                let visit = self.board.visit(self.key());
                Joined::Leads(Box::new(Lead { visit, flight, mark, inherited: fence, leaves: None, landed: false }))
            }
            Err(flight) => Joined::Follows(flight),
        }
    }

    /// Runs `put`, which stores near what was read since `mark`, unless the key was voided meanwhile.
    pub fn put(&self, mark: Mark, put: impl FnOnce()) -> Standing {
        self.slot(|slot| {
            if Mark(slot.voids) == mark {
                put();
                Standing::Current
            } else {
                Standing::Void
            }
        })
    }

    /// Leaves a claim that this call won and will not use to the next load of this process, unless one is running.
    pub fn leave(&self, left: Left, now: Tick) {
        let mut shard = self.shard();
        if shard.may_keep(now) {
            shard.change(self.key(), |slot| {
                if slot.flight.is_none() && slot.left.is_none() {
                    slot.left = Some(left);
                }
            });
        }
    }

    /// As [`put`](Visit::put), for a value that comes from elsewhere than a load: what is loading is older, and void.
    pub fn replace(&self, mark: Mark, put: impl FnOnce()) -> Standing {
        self.slot(|slot| {
            if Mark(slot.voids) != mark {
                return Standing::Void;
            }
            slot.void();
            put();
            Standing::Current
        })
    }

    fn shard(&self) -> MutexGuard<'_, Shard> {
        self.board.shard_of(self.key().hash())
    }

    fn slot<T>(&self, change: impl FnOnce(&mut Slot) -> T) -> T {
        let mut shard = self.shard();
        let shard = &mut *shard;
        let slot = shard.slots.entry(self.key.clone()).or_default();
        let before = usize::from(slot.left.is_some());
        let answer = change(slot);
        shard.left = shard.left - before + usize::from(slot.left.is_some());
        answer
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.answer(Landing::Abandoned);
        self.shard().change(self.key(), |slot| slot.visitors -= 1);
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({:?})", self.key)
    }
}

/// The right to load one key in this process. Dropped without landing, it hands the work on.
#[derive(Debug)]
pub struct Lead {
    visit: Visit,
    flight: Arc<Flight>,
    mark: Mark,
    inherited: Option<Fence>,
    leaves: Option<Left>,
    landed: bool,
}

impl Lead {
    /// The flight that is led.
    pub fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// The claim that an earlier load of this process left, if it is not over.
    pub fn inherited(&self) -> Option<Fence> {
        self.inherited
    }

    /// What to leave to the next load, if this one ends without a value.
    pub fn leave(&mut self, left: Option<Left>) {
        self.leaves = left;
    }

    /// Ends the flight: `conclude` learns whether it is void, stores near what may be stored, and says what the
    /// followers get.
    pub fn land(mut self, now: Tick, conclude: impl FnOnce(Standing) -> Landing) {
        self.end(now, conclude);
    }

    fn end(&mut self, now: Tick, conclude: impl FnOnce(Standing) -> Landing) {
        self.landed = true;
        let mut shard = self.visit.shard();
        let leaves = self.leaves.take().filter(|_| shard.may_keep(now));
        let landing = shard.change(self.visit.key(), |slot| {
            let standing = if Mark(slot.voids) == self.mark { Standing::Current } else { Standing::Void };
            let landing = conclude(standing);
            if slot.is_led_by(&self.flight) {
                slot.flight = None;
                slot.left = leaves;
            }
            landing
        });
        drop(shard);
        self.flight.land(landing.unwrap_or(Landing::Abandoned));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.landed {
            let now = self.flight.began();
            self.end(now, |_| Landing::Abandoned);
        }
    }
}

/// Keys bring their hash with them.
#[derive(Default)]
struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys write one `u64` and nothing else.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests;
