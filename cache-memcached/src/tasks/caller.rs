//! A caller whose batch is queued, as those see him who will tell him what came of it.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::generation::Generation;
use smallvec::SmallVec;

use super::slot::Slot;
use crate::replies::Replies;
use crate::trouble::Trouble;

#[derive(Debug)]
pub(super) struct Caller {
    pub(super) slot: Arc<Slot>,
    /// The places of his scopes among the generations that are read behind his requests.
    pub(super) scopes: SmallVec<[usize; 2]>,
    deadline: Instant,
    is_told: bool,
}

impl Caller {
    pub(super) fn new(slot: Arc<Slot>, scopes: SmallVec<[usize; 2]>, deadline: Instant) -> Self {
        Caller { slot, scopes, deadline, is_told: false }
    }

    /// Tells him that nothing comes, unless he was told before.
    pub(super) fn fail(&mut self, trouble: Trouble) {
        if !self.is_told {
            self.is_told = true;
            self.slot.tell(Err::<iter::Empty<_>, _>(trouble));
        }
    }

    /// Takes the replies for him. Whether he still waits for them.
    pub(super) fn put(&self, replies: &mut Replies) -> bool {
        if self.is_told {
            replies.take(&mut Vec::new());
            return false;
        }
        self.slot.put(replies)
    }

    /// Tells him that his replies are there, given the generations that were read behind his requests.
    pub(super) fn answer(&mut self, generations: &[Option<Generation>]) {
        if !self.is_told {
            self.is_told = true;
            let of_scope = |place: &usize| generations.get(*place).copied().flatten();
            self.slot.tell(Ok(self.scopes.iter().map(of_scope)));
        }
    }

    /// Tells him if his time is over; otherwise, when it will be.
    pub(super) fn look(&mut self, budget: Duration, now: Instant) -> Option<Instant> {
        if self.is_told {
            return None;
        }
        if self.deadline > now {
            return Some(self.deadline);
        }
        self.fail(Trouble::TimedOut(budget));
        None
    }
}
