//! The invalidations of one client that have not been shown to be done.
//!
//! Invariant: an entry leaves only by a reply to a request that was sent after the entry was made, or made again.

use std::collections::BTreeMap;

use crate::key::FarKey;

/// What has to reach the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The item is marked stale.
    Soft,
    /// The item is deleted.
    Hard,
    /// The scope gets another generation.
    Bump,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    entries: BTreeMap<(usize, FarKey), (Due, u64)>,
    last: u64,
}

/// What was due when a request was sent, and how to tell whether it still is.
#[derive(Debug, Clone)]
pub(super) struct Replay {
    pub(super) key: FarKey,
    pub(super) due: Due,
    number: u64,
}

impl Pending {
    /// Makes an entry. The stronger of two for one key stays, as if both had been made now.
    pub(super) fn add(&mut self, node: usize, key: &FarKey, due: Due) {
        self.last += 1;
        let number = self.last;
        let entry = self.entries.entry((node, key.clone())).or_insert((due, number));
        *entry = (entry.0.max(due), number);
    }

    pub(super) fn of(&self, node: usize, key: &FarKey) -> Option<Replay> {
        let (due, number) = self.entries.get(&(node, key.clone()))?;
        Some(Replay { key: key.clone(), due: *due, number: *number })
    }

    /// The node has answered this replay. Whether the entry is gone with it: not if it was made again meanwhile.
    pub(super) fn done(&mut self, node: usize, replay: &Replay) -> bool {
        let slot = (node, replay.key.clone());
        let same = self.entries.get(&slot).is_some_and(|(_, number)| *number == replay.number);
        if same {
            self.entries.remove(&slot);
        }
        same
    }

    pub(super) fn slots(&self) -> Vec<(usize, FarKey)> {
        self.entries.keys().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_stronger_stays_and_a_late_reply_does_not_answer_a_newer_entry() {
        let key = FarKey::new("k").unwrap();
        let mut pending = Pending::default();
        pending.add(0, &key, Due::Hard);
        pending.add(0, &key, Due::Soft);
        let sent = pending.of(0, &key).unwrap();
        assert_eq!(sent.due, Due::Hard, "a soft invalidation does not soften a hard one");
        pending.add(0, &key, Due::Soft);
        assert!(!pending.done(0, &sent), "made again after the request was sent");
        assert!(pending.of(1, &key).is_none(), "another node owes nothing");
        let sent = pending.of(0, &key).unwrap();
        assert!(pending.done(0, &sent) && !pending.done(0, &sent));
        assert_eq!(pending.len(), 0);
    }
}
