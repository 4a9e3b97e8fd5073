//! What is remembered of one key.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::history::{LoadEnd, LoadId};
use super::KEY_BITS;
use crate::clock::Tick;

#[derive(Debug, Default)]
pub(super) struct KeyState {
    /// When the last of those invalidations was called that every read must see.
    must: u64,
    /// The others that are done, in the order in which they returned, with the moment of the call.
    returned: VecDeque<(Tick, u64)>,
    /// The last call of each process whose invalidation is done.
    own: Vec<(u32, u64)>,
    /// Invalidations that have not returned.
    pub(super) open: usize,
    /// Until when an invalidation may have revoked what is here.
    pub(super) touched: Option<Tick>,
    /// Loads that have begun since.
    pub(super) since: u32,
    pub(super) running: Vec<Running>,
    /// The load that began last of those that gave a value, and its process.
    pub(super) loaded: Option<(Tick, u32)>,
    /// Values that count from a later moment than the one in their number.
    sets: VecDeque<(LoadId, u64, Tick)>,
}

/// A load that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: LoadId,
    pub(super) process: u32,
    pub(super) began: Tick,
}

impl KeyState {
    /// Loads that began before the moment that is answered may not be seen by a read that starts at `start`. Starts come
    /// in order, and none has a bound beyond the `longest`.
    pub(super) fn must_see(&mut self, start: Tick, bound: Duration, longest: Duration) -> u64 {
        // Without a bound the order counts: what has returned by now returned before.
        let binds = |returned: Tick, bound: Duration| bound.is_zero() || start > returned.after(bound);
        while let Some((_, called)) = self.returned.front().copied().filter(|(returned, _)| binds(*returned, longest)) {
            self.must = self.must.max(called);
            self.returned.pop_front();
        }
        let others = self.returned.iter().filter(|(returned, _)| binds(*returned, bound)).map(|(_, called)| *called);
        others.fold(self.must, u64::max)
    }

    pub(super) fn own(&self, process: u32) -> u64 {
        self.own.iter().find(|(one, _)| *one == process).map_or(0, |(_, called)| *called)
    }

    pub(super) fn invalidated(&mut self, process: u32, called: u64, now: Tick) {
        self.given_up(now);
        self.returned.push_back((now, called));
        match self.own.iter_mut().find(|(one, _)| *one == process) {
            Some((_, last)) => *last = called.max(*last),
            None => self.own.push((process, called)),
        }
    }

    /// One invalidation less is open; what it revoked it may have revoked until `until`.
    pub(super) fn given_up(&mut self, until: Tick) {
        self.open = self.open.saturating_sub(1);
        self.touched = self.touched.max(Some(until));
        self.since = 0;
    }

    pub(super) fn load_ends(&mut self, id: LoadId, end: LoadEnd) {
        let Some(place) = self.running.iter().position(|one| one.id == id) else { return };
        let Running { began, process, .. } = self.running.swap_remove(place);
        if end == LoadEnd::Loaded {
            self.loaded = self.loaded.max(Some((began, process)));
        }
    }

    pub(super) fn set_counts(&mut self, value: LoadId, order: u64, now: Tick, ttl: Duration) {
        // Nothing is kept for so long that anybody could still return it.
        while self.sets.front().is_some_and(|(_, _, at)| now.since(*at) > 4 * ttl) {
            self.sets.pop_front();
        }
        self.sets.push_back((value, order, now));
    }

    /// How much that is.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.returned.len() + self.own.len() + self.running.len() + self.sets.len()
    }

    /// The moment from which the value counts.
    pub(super) fn began(&self, value: LoadId) -> u64 {
        let later = self.sets.iter().rev().find(|(one, _, _)| *one == value);
        later.map_or(value.0 >> KEY_BITS, |(_, order, _)| *order)
    }
}
