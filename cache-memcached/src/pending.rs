//! The invalidations of one node that it has not been shown to have carried out.
//!
//! Invariant: an entry leaves only by a reply to a request that was sent after the entry was made, or made again. Until
//! then every request of this process that touches its key carries it in front.

use std::collections::BTreeMap;

use cache_core::key::FarKey;

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
    entries: BTreeMap<FarKey, (Due, u64)>,
    last: u64,
}

/// What was due when a request was sent, and how to tell whether it still is.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    pub(crate) key: FarKey,
    pub(crate) due: Due,
    number: u64,
}

impl Pending {
    /// Makes an entry. The stronger of two for one key stays, as if both had been made now.
    pub(crate) fn add(&mut self, key: &FarKey, due: Due) {
        self.last += 1;
        let number = self.last;
        let entry = self.entries.entry(key.clone()).or_insert((due, number));
        *entry = (entry.0.max(due), number);
    }

    pub(crate) fn of(&self, key: &FarKey) -> Option<Replay> {
        let (due, number) = self.entries.get(key)?;
        Some(Replay { key: key.clone(), due: *due, number: *number })
    }

    /// The node has answered this replay. The entry goes, unless it was made again meanwhile.
    pub(crate) fn done(&mut self, replay: &Replay) {
        if self.entries.get(&replay.key).is_some_and(|(_, number)| *number == replay.number) {
            self.entries.remove(&replay.key);
        }
    }

    pub(crate) fn len(&self) -> usize {
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
        pending.add(&key, Due::Hard);
        pending.add(&key, Due::Soft);
        let sent = pending.of(&key).unwrap();
        assert_eq!(sent.due, Due::Hard, "a soft invalidation does not soften a hard one");
        pending.add(&key, Due::Soft);
        pending.done(&sent);
        assert_eq!(pending.len(), 1, "made again after the request was sent");
        pending.done(&pending.of(&key).unwrap());
        assert_eq!(pending.len(), 0);
    }
}
