//! What a namespace counts, and the plain struct that tells it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::cells::Cells;

macro_rules! counts {
    ($($variant:ident $field:ident $text:literal),* $(,)?) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Count {
            $(#[doc = $text] $variant,)*
        }

        impl Count {
            pub(crate) const ALL: &[Count] = &[$(Count::$variant),*];

            /// The count's name, as a metric would be called.
            pub fn name(self) -> &'static str {
                match self { $(Count::$variant => stringify!($field),)* }
            }
        }

        /// What a namespace, or all namespaces of a region together, counted since the region was configured.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $(#[doc = $text] pub $field: u64,)*
            /// The misses, by what stood in place of a value.
            pub misses_by_reason: BTreeMap<&'static str, u64>,
        }

        impl Counts {
            /// Each count with its name and its meaning.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($field), $text, self.$field)),*].into_iter()
            }

            fn slot(&mut self, count: Count) -> &mut u64 {
                match count { $(Count::$variant => &mut self.$field,)* }
            }
        }
    };
}

counts! {
    NearHit near_hits "calls answered by the near tier",
    Validated validated "calls answered by the near tier after the far one showed, without the value, that its copy is current",
    FarHit far_hits "calls answered by the far tier",
    StaleHit stale_hits "calls answered with a stale value, under a stale policy",
    Shared shared "calls answered by a load that another caller led",
    Miss misses "calls that found no value to serve and loaded one",
    Load loads "times a function ran to fill the cache",
    LoadFailed failed_loads "loads that ended in an error, which is not kept",
    LoadAbandoned abandoned_loads "loads whose caller panicked or was dropped",
    Wait waits "times a caller waited for a load of this process",
    Pause pauses "times a caller waited for a load of another process",
    PatienceSpent patience_spent "times a wait lasted longer than `patience`",
    LongLoad long_loads "loads that lasted longer than `lease`",
    Takeover takeovers "times a claim was taken on a record that gives none by itself",
    Alone unshared "loads that ran unshared: inside themselves, or after patience was spent twice, or without a timer",
    Bypass bypassed "calls that went straight through: `when`, paused, no face of the backend for this kind of call, a policy that the region cannot keep",
    Discarded discarded "values that were not kept: `cache_if`, `only_some`, `ttl_of`",
    Stored stored "values stored in the far tier",
    SentBytes sent_bytes "bytes of the records sent to the far tier; an observer is told of the records alone",
    Set sets "values given by `set`",
    Superseded superseded "values not stored because an invalidation, or another writer, came first",
    NotFenced unfenced "values not stored far because the node gave no fence",
    TooLarge too_large "values too large for a tier",
    Unweighed unweighed "values not stored near because nobody can tell their size",
    Unreadable unreadable "values that stay near because the codec cannot write them, or reads them back as another",
    Invalidation invalidations "invalidations of single keys",
    ScopeInvalidation scope_invalidations "invalidations of a namespace or the region",
    Pending pending "invalidations that had not reached their node when they answered",
    FarError far_errors "requests that the far tier failed",
    KeyError key_errors "calls whose arguments could not be written as a key",
    OtherType type_clashes "values of another type found under a key",
    Unreachable unreachable "operations by name whose arguments no cached function of the namespace takes",
}

/// The live counters of one namespace.
pub(crate) struct Counters {
    near_hits: Cells,
    rest: Box<[AtomicU64]>,
    misses_by_reason: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let rest = Count::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Counters { near_hits: Cells::new(), rest, misses_by_reason: Mutex::default() }
    }

    #[inline]
    pub(crate) fn near_hit(&self) {
        self.near_hits.raise();
    }

    pub(crate) fn add(&self, count: Count) {
        self.add_many(count, 1);
    }

    pub(crate) fn add_many(&self, count: Count, times: u64) {
        if let Some(counter) = self.rest.get(count as usize) {
            counter.fetch_add(times, Ordering::Relaxed);
        }
    }

    /// A call found nothing to serve, for this reason.
    pub(crate) fn miss(&self, reason: &'static str) {
        self.add(Count::Miss);
        *self.misses_by_reason.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Adds what was counted to `sum`.
    pub(crate) fn add_to(&self, sum: &mut Counts) {
        for (count, counter) in Count::ALL.iter().zip(&self.rest) {
            *sum.slot(*count) += counter.load(Ordering::Relaxed);
        }
        sum.near_hits += self.near_hits.sum();
        for (reason, times) in &*self.misses_by_reason.lock().unwrap_or_else(PoisonError::into_inner) {
            *sum.misses_by_reason.entry(reason).or_default() += times;
        }
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sum = Counts::default();
        self.add_to(&mut sum);
        sum.fmt(f)
    }
}

impl Counts {
    /// Calls that were answered without running the function, among all that asked the cache; `None` before the first.
    pub fn hit_ratio(&self) -> Option<f64> {
        let hits = self.near_hits + self.validated + self.far_hits + self.stale_hits + self.shared;
        let calls = hits + self.loads + self.unshared;
        (calls > 0).then(|| hits as f64 / calls as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_reaches_its_own_field() {
        for (index, count) in Count::ALL.iter().enumerate() {
            let counters = Counters::new();
            counters.add(*count);
            let mut counts = Counts::default();
            counters.add_to(&mut counts);
            let raised: Vec<_> = counts.iter().filter(|(_, _, value)| *value == 1).map(|(name, ..)| name).collect();
            assert_eq!(raised, [count.name()]);
            assert_eq!(counts.iter().nth(index).map(|(name, ..)| name), Some(count.name()));
        }
    }

    #[test]
    fn the_hit_ratio_counts_whoever_did_not_run_the_function() {
        assert_eq!(Counts::default().hit_ratio(), None);
        let counts = Counts { near_hits: 2, shared: 1, loads: 1, ..Counts::default() };
        assert_eq!(counts.hit_ratio(), Some(0.75));
    }
}
