//! The queue of one shard: in which order entries make room (S3-FIFO, with one mark per entry).
//!
//! New entries wait in *probation*, a small part of the weight. Who is read there moves to the *main* queue; the others
//! leave, and a key that comes back soon after that enters main at once. Whose turn it is in main goes to its end again
//! as often as it was found read, up to three times more than it was found unread; then it leaves.
//!
//! Invariant: each node is in exactly one of probation, main and the free list; `weight` is the sum over both queues.
//! The queue knows neither keys nor values: it is told by its caller what was read and what is dead.

use crate::entry::{ShortHash, Ticket};
use crate::ghost::Ghosts;

/// The place of an entry in the queue of its shard; used again when the entry is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

impl NodeId {
    #[cfg(test)]
    pub(crate) const FIRST: NodeId = NodeId(0);
    /// The highest number of a node.
    pub(crate) const MOST: u32 = (1 << 31) - 1;
    const NONE: NodeId = NodeId(u32::MAX);

    pub(crate) fn of(number: u32) -> Self {
        NodeId(number)
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// What the queue learns about an entry whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// It was read since it was last looked at; the mark is taken off by the look.
    Read,
    /// It was not read.
    Unread,
    /// It is of no use to anyone.
    Dead,
}

/// An entry that left the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) ticket: Ticket,
    pub(crate) weight: u64,
    pub(crate) look: Look,
}

/// How many entries that were read are passed over for one that was not, before one of them makes room all the same:
/// what bounds the time under the lock.
const MOST_PASSED: usize = 128;
/// Probation's share of the weight is one in so many.
const PROBATION: u64 = 64;
/// How many rounds through main the reads of earlier rounds are good for.
const MOST_CREDIT: u8 = 3;

/// The order in which the entries of one shard make room.
#[derive(Debug)]
pub(crate) struct Queue {
    nodes: Vec<Node>,
    free: NodeId,
    probation: List,
    main: List,
    ghosts: Ghosts,
    /// Where the search for dead entries goes on.
    cursor: usize,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    hash: ShortHash,
    newer: NodeId,
    older: NodeId,
    weight_low: u32,
    weight_high: u16,
    place: Place,
    /// How many more rounds through main it may make unread.
    credit: u8,
}

impl Node {
    /// The weight is kept below 2^48, which is beyond any memory.
    fn weigh(&mut self, weight: u64) {
        let weight = weight.min((1 << 48) - 1);
        (self.weight_low, self.weight_high) = (weight as u32, (weight >> 32) as u16);
    }

    fn weight(&self) -> u64 {
        u64::from(self.weight_high) << 32 | u64::from(self.weight_low)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Free,
    Probation,
    Main,
}

#[derive(Debug)]
struct List {
    oldest: NodeId,
    newest: NodeId,
    len: usize,
    weight: u64,
}

impl Queue {
    /// What an entry takes here: its node, and the ghost that it may leave.
    #[cfg(test)]
    pub(crate) const BYTES_PER_ENTRY: usize = size_of::<Node>() + size_of::<u64>();

    pub(crate) fn new() -> Self {
        Queue {
            nodes: Vec::new(),
            free: NodeId::NONE,
            probation: List::new(),
            main: List::new(),
            ghosts: Ghosts::default(),
            cursor: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.probation.len + self.main.len
    }

    pub(crate) fn weight(&self) -> u64 {
        self.probation.weight + self.main.weight
    }

    /// Who is queued, with hash and weight. Panics unless each node is in exactly one list, and the sums are right.
    #[cfg(test)]
    pub(crate) fn audit(&self) -> Vec<(NodeId, ShortHash, u64)> {
        let mut queued = Vec::new();
        for (list, place) in [(&self.probation, Place::Probation), (&self.main, Place::Main)] {
            let (mut id, mut older, mut len, mut weight) = (list.oldest, NodeId::NONE, 0, 0);
            while id != NodeId::NONE {
                let node = self.node(id);
                assert_eq!((node.place, node.older), (place, older), "{id:?}");
                queued.push((id, node.hash, node.weight()));
                (older, id, len, weight) = (id, node.newer, len + 1, weight + node.weight());
            }
            assert_eq!((list.newest, list.len, list.weight), (older, len, weight), "{place:?}");
        }
        let mut free = self.free;
        let free = std::iter::from_fn(|| {
            let id = (free != NodeId::NONE).then_some(free)?;
            assert_eq!(self.node(id).place, Place::Free, "{id:?}");
            free = self.node(id).newer;
            Some(id)
        });
        assert_eq!(queued.len() + free.count(), self.nodes.len());
        queued
    }

    /// A new entry enters. `None` if there are as many as can be counted.
    pub(crate) fn push(&mut self, hash: ShortHash, weight: u64) -> Option<NodeId> {
        let (newer, older, place) = (NodeId::NONE, NodeId::NONE, Place::Free);
        let mut node = Node { hash, newer, older, weight_low: 0, weight_high: 0, place, credit: 0 };
        node.weigh(weight);
        let id = if self.free == NodeId::NONE {
            let id = u32::try_from(self.nodes.len()).ok().filter(|id| *id <= NodeId::MOST).map(NodeId)?;
            self.nodes.push(node);
            id
        } else {
            let id = self.free;
            self.free = self.node(id).newer;
            *self.node_mut(id) = node;
            id
        };
        let place = if self.ghosts.take(hash.spread(), self.len()) { Place::Main } else { Place::Probation };
        self.link(id, place);
        Some(id)
    }

    /// The entry of `id` is replaced by one of another weight, and keeps its place.
    pub(crate) fn reweigh(&mut self, id: NodeId, weight: u64) {
        let node = self.node_mut(id);
        let (place, old) = (node.place, node.weight());
        node.weigh(weight);
        let weight = node.weight();
        let list = self.list(place);
        list.weight = list.weight - old + weight;
    }

    /// The entry of `id` leaves.
    pub(crate) fn remove(&mut self, id: NodeId) -> u64 {
        self.unlink(id);
        let free = self.free;
        let node = self.node_mut(id);
        node.place = Place::Free;
        node.newer = free;
        let weight = node.weight();
        self.free = id;
        weight
    }

    /// The entry whose turn it is to make room leaves.
    pub(crate) fn evict(&mut self, mut look: impl FnMut(Ticket) -> Look) -> Option<Gone> {
        let mut passed = 0;
        loop {
            let from_probation = self.main.len == 0 || self.probation.weight > self.weight() / PROBATION;
            let place = if from_probation && self.probation.len > 0 { Place::Probation } else { Place::Main };
            let id = self.list(place).oldest;
            if id == NodeId::NONE {
                return None;
            }
            let ticket = Ticket { hash: self.node(id).hash, node: id };
            let look = look(ticket);
            if passed < MOST_PASSED && self.stays(id, look) {
                passed += 1;
                self.unlink(id);
                self.link(id, Place::Main);
                continue;
            }
            let weight = self.remove(id);
            if place == Place::Probation && look == Look::Unread {
                self.ghosts.remember(ticket.hash.spread(), self.len());
            }
            return Some(Gone { ticket, weight, look });
        }
    }

    /// Looks at up to `nodes` entries from where the last call ended, round and round: the dead leave.
    pub(crate) fn reap_some(
        &mut self,
        nodes: usize,
        is_dead: impl FnMut(Ticket) -> bool,
        gone: impl FnMut(Ticket, u64),
    ) {
        self.cursor = self.reap(self.cursor, nodes, is_dead, gone).unwrap_or(0);
    }

    /// Looks at the `nodes` places from `from` on: the dead leave. Says where to go on, or `None` at the end.
    pub(crate) fn reap(
        &mut self,
        from: usize,
        nodes: usize,
        mut is_dead: impl FnMut(Ticket) -> bool,
        mut gone: impl FnMut(Ticket, u64),
    ) -> Option<usize> {
        for place in from..from.saturating_add(nodes) {
            let node = self.nodes.get(place)?;
            let id = NodeId(place as u32);
            let ticket = Ticket { hash: node.hash, node: id };
            if node.place != Place::Free && is_dead(ticket) {
                let weight = self.remove(id);
                gone(ticket, weight);
            }
        }
        Some(from.saturating_add(nodes))
    }

    /// Whether an entry whose turn it is goes to the end of main.
    fn stays(&mut self, id: NodeId, look: Look) -> bool {
        let node = self.node_mut(id);
        match look {
            Look::Dead => false,
            Look::Read => {
                if node.place == Place::Main {
                    node.credit = (node.credit + 1).min(MOST_CREDIT);
                }
                true
            }
            Look::Unread => {
                let stays = node.credit > 0;
                node.credit = node.credit.saturating_sub(1);
                stays
            }
        }
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    fn list(&mut self, place: Place) -> &mut List {
        if place == Place::Probation { &mut self.probation } else { &mut self.main }
    }

    fn link(&mut self, id: NodeId, place: Place) {
        let older = self.list(place).newest;
        let node = self.node_mut(id);
        node.place = place;
        node.older = older;
        node.newer = NodeId::NONE;
        let weight = node.weight();
        if older != NodeId::NONE {
            self.node_mut(older).newer = id;
        }
        let list = self.list(place);
        list.newest = id;
        if older == NodeId::NONE {
            list.oldest = id;
        }
        list.len += 1;
        list.weight += weight;
    }

    fn unlink(&mut self, id: NodeId) {
        let node = self.node(id);
        let (Node { newer, older, place, .. }, weight) = (*node, node.weight());
        if newer != NodeId::NONE {
            self.node_mut(newer).older = older;
        }
        if older != NodeId::NONE {
            self.node_mut(older).newer = newer;
        }
        let list = self.list(place);
        if newer == NodeId::NONE {
            list.newest = older;
        }
        if older == NodeId::NONE {
            list.oldest = newer;
        }
        list.len -= 1;
        list.weight -= weight;
    }
}

impl List {
    fn new() -> Self {
        List { oldest: NodeId::NONE, newest: NodeId::NONE, len: 0, weight: 0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn hash(i: u64) -> ShortHash {
        ShortHash::of((i + 1) << 40 | (i + 1) << 16)
    }

    #[test]
    fn who_was_read_outlives_who_was_not() {
        let mut queue = Queue::new();
        (0..10).for_each(|i| assert!(queue.push(hash(i), 1).is_some()));
        let mut read = HashSet::from([hash(0), hash(1)]);
        let mut look = |ticket: Ticket| if read.remove(&ticket.hash) { Look::Read } else { Look::Unread };
        assert_eq!(queue.evict(&mut look).unwrap().ticket.hash, hash(2));
        assert_eq!(queue.evict(&mut look).unwrap().ticket.hash, hash(3));
    }

    #[test]
    fn what_was_read_in_several_rounds_outlives_as_many_unread() {
        let mut queue = Queue::new();
        (0..4).for_each(|i| assert!(queue.push(hash(i), 1).is_some()));
        let mut looks = HashMap::new();
        let gone = queue.evict(|ticket| {
            let seen = looks.entry(ticket.hash).or_insert(0);
            *seen += 1;
            // The first is read for five looks, the others for two, so that they leave before it does.
            let reads = if ticket.hash == hash(0) { 5 } else { 2 };
            if *seen <= reads { Look::Read } else { Look::Unread }
        });
        assert_eq!(gone.map(|gone| gone.ticket.hash), Some(hash(1)));
        // Two reads, one of them in main, are good for one round more: the fourth look was the last.
        assert_eq!((looks[&hash(1)], looks[&hash(0)]), (4, 4));
    }

    #[test]
    fn a_key_that_comes_back_soon_is_not_on_probation_again() {
        let mut queue = Queue::new();
        (0..100).for_each(|i| assert!(queue.push(hash(i), 1).is_some()));
        assert_eq!(queue.evict(|_| Look::Unread).unwrap().ticket.hash, hash(0));
        queue.push(hash(0), 1).unwrap();
        (100..150).for_each(|i| assert!(queue.push(hash(i), 1).is_some()));
        // It was the hundredth to come, and is the last to go.
        let left = std::iter::from_fn(|| queue.evict(|_| Look::Unread)).map(|gone| gone.ticket.hash);
        assert_eq!(left.collect::<Vec<_>>().iter().position(|left| *left == hash(0)), Some(149));
    }

    #[test]
    fn when_all_are_read_all_the_time_one_leaves_after_a_bounded_search() {
        let mut queue = Queue::new();
        (0..10_000).for_each(|i| assert!(queue.push(hash(i), 1).is_some()));
        let mut looks = 0;
        let gone = queue.evict(|_| {
            looks += 1;
            Look::Read
        });
        assert!(gone.is_some());
        assert_eq!(looks, MOST_PASSED + 1);
    }

    #[test]
    fn the_dead_leave_and_the_round_ends() {
        let mut queue = Queue::new();
        (0..10).for_each(|i| assert!(queue.push(hash(i), 2).is_some()));
        let mut gone = Vec::new();
        let mut next = Some(0);
        let mut calls = 0;
        while let Some(from) = next {
            let is_dead = |ticket: Ticket| ticket.hash <= hash(3);
            next = queue.reap(from, 3, is_dead, |ticket, weight| gone.push((ticket.hash, weight)));
            calls += 1;
        }
        assert_eq!(gone, [0, 1, 2, 3].map(|i| (hash(i), 2)));
        assert_eq!(calls, 4);
        assert_eq!((queue.len(), queue.weight()), (6, 12));
    }

    proptest! {
        /// Lists, weights and reuse of nodes against a plain map, whatever happens in whatever order.
        #[test]
        fn the_queue_holds_exactly_what_entered_and_did_not_leave(
            ops in proptest::collection::vec((0..5_u8, 0..40_u64, 1..20_u64, any::<u64>()), 1..400),
        ) {
            let mut queue = Queue::new();
            let mut model: HashMap<ShortHash, (NodeId, u64)> = HashMap::new();
            for (op, key, weight, marks) in ops {
                let held = model.get(&hash(key)).copied();
                match (op, held) {
                    (0 | 1, None) => {
                        let id = queue.push(hash(key), weight).unwrap();
                        model.insert(hash(key), (id, weight));
                    }
                    (0 | 1, Some((id, _))) => {
                        queue.reweigh(id, weight);
                        model.insert(hash(key), (id, weight));
                    }
                    (2, Some((id, weight))) => {
                        prop_assert_eq!(queue.remove(id), weight);
                        model.remove(&hash(key));
                    }
                    (3, _) => {
                        let gone = queue.evict(|ticket| match (marks >> ((ticket.hash.spread() >> 40) % 64)) & 1 {
                            0 => Look::Unread,
                            _ => Look::Read,
                        });
                        prop_assert_eq!(gone.is_none(), model.is_empty());
                        if let Some(gone) = gone {
                            prop_assert_eq!(model.remove(&gone.ticket.hash), Some((gone.ticket.node, gone.weight)));
                        }
                    }
                    (4, _) => {
                        queue.reap_some(
                            7,
                            |ticket| (marks >> ((ticket.hash.spread() >> 40) % 64)) & 1 == 1,
                            |ticket, weight| assert_eq!(model.remove(&ticket.hash), Some((ticket.node, weight))),
                        );
                    }
                    _ => {}
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.weight(), model.values().map(|(_, weight)| weight).sum::<u64>());
            }
            let left: HashSet<ShortHash> = std::iter::from_fn(|| queue.evict(|_| Look::Unread)).map(|g| g.ticket.hash).collect();
            prop_assert_eq!(left, model.keys().copied().collect::<HashSet<_>>());
        }
    }
}
