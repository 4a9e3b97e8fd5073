//! What is counted of one node.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($field:ident $text:literal),* $(,)?) => {
        /// What this process has had with one node.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(#[doc = $text] pub(crate) $field: Counter,)*
        }

        impl Counters {
            /// Each with its name.
            pub(crate) fn told(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field.get())),*].into_iter()
            }
        }
    };
}

counters! {
    connections "connections that are open",
    connected "connections that were made",
    reconnects "connections that were made in place of a dead one, to repeat a request",
    in_flight "operations under way",
    timeouts "operations that the node did not answer in time",
    failures "operations that failed for another reason",
    tombstones "replies that came for callers who had given up",
    sent_bytes "bytes of requests",
    received_bytes "bytes of replies",
}

/// A number that goes up, and for some down.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Never below what was added.
    pub(crate) fn take(&self, count: usize) {
        self.0.fetch_sub(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
