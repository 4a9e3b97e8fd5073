//! The account of what a backend holds.
//!
//! Invariant: `held` is the weight of every entry whose memory is not free yet, also of those that left the index and
//! wait for readers, so that what is bounded is memory and not a wish.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::weigh::Capacity;

/// What is held against what may be.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Ledger {
    held: AtomicU64,
    pub(crate) capacity: Capacity,
}

impl Ledger {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Ledger { held: AtomicU64::new(0), capacity }
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The most that may be held.
    pub(crate) fn limit(&self) -> u64 {
        self.capacity.limit()
    }

    /// How much more is held than may be.
    pub(crate) fn over(&self) -> u64 {
        self.held().saturating_sub(self.limit())
    }

    pub(crate) fn charge(&self, weight: u64) {
        self.held.fetch_add(weight, Ordering::Relaxed);
    }

    pub(crate) fn credit(&self, weight: u64) {
        self.held.fetch_sub(weight, Ordering::Relaxed);
    }
}
