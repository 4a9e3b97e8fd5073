//! The invalidations of one node that it has not been shown to have carried out.
//!
//! Invariant: an entry leaves only by a reply to a request that was sent after the entry was made, or made again; or for
//! a stronger one that takes its place. Until then every request of this process that touches its key carries it in
//! front.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use cache_core::key::FarKey;

use crate::batch::Batch;
use crate::proto::{Code, Delete, Key, Mode, Request, Set};

/// How many keys are remembered. Beyond it the keys of a region are forgotten for another generation of the region.
const MOST: usize = 10_000;

/// What has to reach the node. A stronger one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The item is marked stale.
    Soft,
    /// The item is deleted.
    Hard,
    /// The scope gets another generation.
    Bump,
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    entries: BTreeMap<FarKey, Entry>,
    /// The regions' scopes, by the number that entries have.
    regions: Vec<FarKey>,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    due: Due,
    /// When it was made, or made again.
    number: u64,
    /// None for a scope.
    region: Option<usize>,
    /// Whether a caller has gone without its answer. Until then he who asked is about to settle it himself.
    left: bool,
}

/// What was due when a request was sent, and how to tell whether it still is.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    pub(crate) key: FarKey,
    pub(crate) due: Due,
    number: u64,
}

impl Pending {
    /// Notes an invalidation of a key of this region. The stronger of two for one key stays, as if both had been made
    /// now.
    pub(crate) fn add(&mut self, key: &FarKey, due: Due, region: &FarKey) {
        let number = self.region(region);
        if self.entries.len() >= MOST && !self.entries.contains_key(key) {
            self.entries.retain(|_, entry| entry.region != Some(number));
            return self.add_scope(region);
        }
        self.insert(key, due, Some(number));
    }

    /// Notes that a scope needs another generation.
    pub(crate) fn add_scope(&mut self, scope: &FarKey) {
        self.insert(scope, Due::Bump, None);
    }

    fn insert(&mut self, key: &FarKey, due: Due, region: Option<usize>) {
        self.last += 1;
        let number = self.last;
        let entry = self.entries.entry(key.clone()).or_insert(Entry { due, number, region, left: false });
        (entry.due, entry.number) = (entry.due.max(due), number);
    }

    fn region(&mut self, region: &FarKey) -> usize {
        self.regions.iter().position(|known| known == region).unwrap_or_else(|| {
            self.regions.push(region.clone());
            self.regions.len() - 1
        })
    }

    /// What is due for this key or scope itself.
    pub(crate) fn of(&self, key: &FarKey) -> Option<Replay> {
        let entry = self.entries.get(key)?;
        Some(Replay { key: key.clone(), due: entry.due, number: entry.number })
    }

    /// A caller who invalidated this has gone without its answer. Whether it is due still.
    pub(crate) fn leave(&mut self, key: &FarKey) -> bool {
        self.entries.get_mut(key).map(|entry| entry.left = true).is_some()
    }

    /// Whether any was left.
    pub(crate) fn any_left(&self) -> bool {
        self.entries.values().any(|entry| entry.left)
    }

    /// Up to so many of those that were left, whatever their keys.
    pub(crate) fn left(&self, most: usize) -> Vec<Replay> {
        let replay =
            |(key, entry): (&FarKey, &Entry)| Replay { key: key.clone(), due: entry.due, number: entry.number };
        self.entries.iter().filter(|(_, entry)| entry.left).take(most).map(replay).collect()
    }

    /// The node has answered this replay. The entry goes, unless it was made again meanwhile.
    pub(crate) fn done(&mut self, replay: &Replay) {
        if self.entries.get(&replay.key).is_some_and(|entry| entry.number == replay.number) {
            self.entries.remove(&replay.key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Replay {
    /// Writes the request.
    pub(crate) fn push(&self, batch: &mut Batch) {
        let delete = Delete::new(Key::checked_before(self.key.as_str()));
        match self.due {
            Due::Hard => batch.push(&Request::Delete(delete)),
            // Without T: the item keeps its life, however often it is softened.
            Due::Soft => batch.push(&Request::Delete(Delete { mark_stale: true, ..delete })),
            // Without a fence: a delayed one brings another random number, never an old one.
            Due::Bump => push_generation(batch, &self.key, Mode::Set),
        }
    }

    /// Whether a reply of this kind means that it was carried out.
    pub(crate) fn is_done_by(code: &Code) -> bool {
        matches!(code, Code::Done | Code::NotFound)
    }
}

/// A new generation. It never expires: a scope whose generation is gone is invalidated by that.
pub(crate) fn push_generation(batch: &mut Batch, scope: &FarKey, mode: Mode) {
    // Keyed by the system's random numbers: no two calls of any process give the same but by chance.
    let value = RandomState::new().hash_one(()).to_le_bytes();
    batch.push(&Request::Set(Set { mode, ..Set::new(Key::checked_before(scope.as_str()), &value) }));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(text: &str) -> FarKey {
        FarKey::new(text).unwrap()
    }

    #[test]
    fn the_stronger_stays_and_a_late_reply_does_not_answer_a_newer_entry() {
        let (key, region) = (key("k"), key("region"));
        let mut pending = Pending::default();
        pending.add(&key, Due::Hard, &region);
        pending.add(&key, Due::Soft, &region);
        let sent = pending.of(&key).unwrap();
        assert_eq!(sent.due, Due::Hard, "a soft invalidation does not soften a hard one");
        pending.add(&key, Due::Soft, &region);
        pending.done(&sent);
        assert_eq!(pending.len(), 1, "made again after the request was sent");
        pending.done(&pending.of(&key).unwrap());
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn what_a_caller_is_about_to_settle_is_not_left_to_others() {
        let (key, region) = (key("k"), key("region"));
        let mut pending = Pending::default();
        assert!(!pending.leave(&key), "nothing is due");
        pending.add(&key, Due::Hard, &region);
        assert!(!pending.any_left() && pending.left(10).is_empty() && pending.of(&key).is_some());
        assert!(pending.leave(&key) && pending.any_left());
        pending.add(&key, Due::Hard, &region);
        let [left] = &pending.left(10)[..] else { panic!("made again, it is left still") };
        pending.done(left);
        assert!(!pending.any_left() && pending.len() == 0);
    }

    #[test]
    fn too_many_of_a_region_become_one_generation() {
        let (one, other) = (key("one"), key("other"));
        let mut pending = Pending::default();
        pending.add(&key("elsewhere"), Due::Hard, &other);
        for n in 1..MOST {
            pending.add(&key(&format!("k{n}")), Due::Soft, &one);
        }
        assert_eq!(pending.len(), MOST);
        pending.add(&key("k1"), Due::Hard, &one);
        assert_eq!(pending.of(&key("k1")).unwrap().due, Due::Hard, "it is known already");
        pending.add(&key("one-too-many"), Due::Hard, &one);
        assert_eq!(pending.len(), 2);
        assert_eq!(pending.of(&one).unwrap().due, Due::Bump);
        assert_eq!(pending.of(&key("elsewhere")).unwrap().due, Due::Hard, "another region's");
    }
}
