//! The invalidations of one node that it has not been shown to have carried out.
//!
//! Invariant: an entry leaves only by a reply to a request that was sent after the entry was made, or made again; or for
//! a stronger one that takes its place. Until then every request of this process that touches its key carries it in
//! front.

use std::collections::BTreeMap;

use cache_core::key::FarKey;

use crate::batch::Batch;
use crate::proto::{Code, Delete, Key, Mode, Request, Set};
use crate::random::random;

/// How many keys and scopes are remembered when their callers have gone. Beyond it those of a region are forgotten for
/// another generation of the region. What a caller is about to settle himself is in his own memory anyway.
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
    /// How many entries were left.
    left: usize,
}

#[derive(Debug)]
struct Entry {
    due: Due,
    /// When it was made, or made again.
    number: u64,
    region: usize,
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
    /// Notes an invalidation of a key or a scope of this region. The stronger of two for one key stays, as if both had
    /// been made now.
    pub(crate) fn add(&mut self, key: &FarKey, due: Due, region: &FarKey) {
        let region = self.region(region);
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
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let region = entry.region;
        self.left += usize::from(!entry.left);
        entry.left = true;
        if self.left > MOST {
            self.forget(region);
        }
        true
    }

    /// Forgets what was left of this region; another generation of it stands for all of that.
    fn forget(&mut self, region: usize) {
        let Some(scope) = self.regions.get(region).cloned() else { return };
        self.entries.retain(|_, entry| !(entry.left && entry.region == region));
        self.add(&scope, Due::Bump, &scope);
        if let Some(bump) = self.entries.get_mut(&scope) {
            bump.left = true;
        }
        self.left = self.entries.values().filter(|entry| entry.left).count();
    }

    /// Whether any was left.
    pub(crate) fn any_left(&self) -> bool {
        self.left > 0
    }

    /// Up to so many of those that were left, whatever their keys.
    pub(crate) fn left(&self, most: usize) -> Vec<Replay> {
        let replay =
            |(key, entry): (&FarKey, &Entry)| Replay { key: key.clone(), due: entry.due, number: entry.number };
        self.entries.iter().filter(|(_, entry)| entry.left).take(most).map(replay).collect()
    }

    /// The node has answered this replay. The entry goes, unless it was made again meanwhile.
    pub(crate) fn done(&mut self, replay: &Replay) {
        if self.entries.get(&replay.key).is_some_and(|entry| entry.number == replay.number)
            && let Some(done) = self.entries.remove(&replay.key)
        {
            self.left -= usize::from(done.left);
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
    let value = random().to_le_bytes();
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
        for due in [Due::Soft, Due::Bump] {
            let mut pending = Pending::default();
            let mut leave = |text: &str, due: Due, region: &FarKey| {
                pending.add(&key(text), due, region);
                assert!(pending.leave(&key(text)));
                pending.left
            };
            leave("elsewhere", Due::Hard, &other);
            for n in 1..MOST {
                assert_eq!(leave(&format!("k{n}"), due, &one), 1 + n);
            }
            assert_eq!(leave("k1", Due::Hard, &one), MOST, "it is known already");
            assert_eq!(leave("one-too-many", Due::Hard, &one), 2);
            let left = pending.left(10);
            assert_eq!(
                left.iter().map(|replay| (&replay.key, replay.due)).collect::<Vec<_>>(),
                [(&key("elsewhere"), Due::Hard), (&one, Due::Bump)]
            );
            left.iter().for_each(|replay| pending.done(replay));
            assert!(!pending.any_left() && pending.len() == 0);
        }
    }

    #[test]
    fn what_callers_are_about_to_settle_is_never_too_much() {
        let (region, keys) = (key("region"), (0..2 * MOST).map(|n| key(&format!("k{n}"))).collect::<Vec<_>>());
        let mut pending = Pending::default();
        keys.iter().for_each(|key| pending.add(key, Due::Hard, &region));
        assert_eq!((pending.len(), pending.any_left()), (2 * MOST, false));
        for key in &keys {
            pending.done(&pending.of(key).unwrap());
        }
        assert!(pending.of(&region).is_none() && pending.len() == 0);
    }

    #[test]
    fn what_stands_for_many_is_due_until_it_was_sent_after_all_of_them() {
        let region = key("region");
        let mut pending = Pending::default();
        let fill = |pending: &mut Pending| {
            for n in 0..=MOST {
                pending.add(&key(&format!("k{n}")), Due::Hard, &region);
                pending.leave(&key(&format!("k{n}")));
            }
        };
        fill(&mut pending);
        let sent = pending.of(&region).unwrap();
        fill(&mut pending);
        pending.done(&sent);
        assert!(pending.of(&region).is_some(), "more was forgotten for it since it was sent");
    }
}
