//! What one call asks for beyond the policy of its region.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::outcome::{Outcome, Returns};

/// The terms of a call of a function that returns `R`: what of it is kept (`O`), whether failures are shared (`S`), how
/// values are written (`W`), and the conditions. The attribute writes them; every method takes and gives the terms.
pub struct Terms<R, O: Outcome<R>, S, W> {
    pub(crate) sharing: S,
    pub(crate) ask: Ask,
    pub(crate) keep: Conditions<O::Value>,
    /// How old the proof of a near copy may be for this call; `None` is what the policy says.
    pub(crate) max_staleness: Option<Duration>,
    pub(crate) types: PhantomData<Types<R, O, W>>,
}

/// Named by the terms, and never held.
pub(crate) type Types<R, O, W> = fn() -> (R, O, W);

/// What the arguments decide, before the look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The cache.
    Cache,
    /// The cache, but for nothing that exists: load anew, and store.
    Anew,
    /// The function alone.
    Function,
}

/// What the value decides, after the load.
pub(crate) struct Conditions<V> {
    pub(crate) cache_if: Option<fn(&V) -> bool>,
    pub(crate) only_some: Option<fn(&V) -> bool>,
    pub(crate) ttl_of: Option<fn(&V) -> Option<Duration>>,
    pub(crate) weight: Option<fn(&V) -> usize>,
}

impl<V> Clone for Conditions<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Conditions<V> {}

impl<V> Conditions<V> {
    /// How long `value` is kept: `None` if it is not, else what it says itself, if anything.
    pub(crate) fn keeps(&self, value: &V) -> Option<Option<Duration>> {
        let wanted = [self.cache_if, self.only_some].into_iter().flatten().all(|keep| keep(value));
        let ttl = self.ttl_of.and_then(|ttl_of| ttl_of(value));
        (wanted && ttl != Some(Duration::ZERO)).then_some(ttl)
    }
}

impl<R, O: Outcome<R>, S, W> Terms<R, O, S, W> {
    /// No terms beyond the policy.
    #[inline]
    pub fn new(_returns: Returns<R>, _outcome: O, sharing: S, _wire: W) -> Self {
        Self::of(Ask::Cache, sharing)
    }

    #[inline]
    pub(crate) fn of(ask: Ask, sharing: S) -> Self {
        let keep = Conditions { cache_if: None, only_some: None, ttl_of: None, weight: None };
        Terms { sharing, ask, keep, max_staleness: None, types: PhantomData }
    }

    /// Unless `condition`, the call goes straight through.
    #[must_use]
    #[inline]
    pub fn when(mut self, condition: bool) -> Self {
        if !condition {
            self.ask = Ask::Function;
        }
        self
    }

    /// If `condition`, the value is loaded anew and stored.
    #[must_use]
    #[inline]
    pub fn force(mut self, condition: bool) -> Self {
        if condition && self.ask == Ask::Cache {
            self.ask = Ask::Anew;
        }
        self
    }

    /// A near copy serves this call only if it was shown to be current no longer than `bound` ago.
    #[must_use]
    #[inline]
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        self.max_staleness = Some(bound);
        self
    }

    /// Only a value for which `condition` holds is kept.
    #[must_use]
    #[inline]
    pub fn cache_if(mut self, condition: fn(&O::Value) -> bool) -> Self {
        self.keep.cache_if = Some(condition);
        self
    }

    /// A value is kept for as long as `ttl` says: `None` is the region's, zero is not at all.
    #[must_use]
    #[inline]
    pub fn ttl_of(mut self, ttl: fn(&O::Value) -> Option<Duration>) -> Self {
        self.keep.ttl_of = Some(ttl);
        self
    }

    /// A value weighs what `weight` says, in bytes, in a near tier that is bounded in bytes.
    #[must_use]
    #[inline]
    pub fn weight(mut self, weight: fn(&O::Value) -> usize) -> Self {
        self.keep.weight = Some(weight);
        self
    }
}

impl<R, T, O: Outcome<R, Value = Option<T>>, S, W> Terms<R, O, S, W> {
    /// `None` is not kept.
    #[must_use]
    #[inline]
    pub fn only_some(mut self) -> Self {
        self.keep.only_some = Some(Option::is_some);
        self
    }
}

impl<R, O: Outcome<R>, S, W> fmt::Debug for Terms<R, O, S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("ask", &self.ask).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Alone, OkOnly, Whole};

    fn terms<T: 'static>() -> Terms<T, Whole, Alone, ()> {
        Terms::new(Returns::new(), Whole, Alone, ())
    }

    #[test]
    fn a_value_is_kept_if_every_condition_holds() {
        let keep =
            terms::<u8>().cache_if(|value| *value > 2).ttl_of(|value| (*value == 9).then_some(Duration::ZERO)).keep;
        assert_eq!(keep.keeps(&1), None, "cache_if");
        assert_eq!(keep.keeps(&9), None, "a ttl of zero");
        assert_eq!(keep.keeps(&3), Some(None));
        let some = terms::<Option<u8>>().only_some().cache_if(|value| *value != Some(7)).keep;
        assert_eq!((some.keeps(&None), some.keeps(&Some(7)), some.keeps(&Some(1))), (None, None, Some(None)));
        let result = Terms::<Result<Option<u8>, ()>, _, _, _>::new(Returns::new(), OkOnly, Alone, ()).only_some().keep;
        assert_eq!(result.keeps(&None), None, "only_some looks at what is kept");
        let ttl = terms::<u64>().ttl_of(|value| Some(Duration::from_secs(*value))).keep;
        assert_eq!(ttl.keeps(&4), Some(Some(Duration::from_secs(4))));
    }

    #[test]
    fn whoever_asks_for_the_function_alone_gets_it() {
        assert_eq!(terms::<u8>().when(true).force(false).ask, Ask::Cache);
        assert_eq!(terms::<u8>().force(true).force(false).ask, Ask::Anew);
        assert_eq!(terms::<u8>().force(true).when(false).ask, Ask::Function);
        assert_eq!(terms::<u8>().when(false).force(true).ask, Ask::Function);
    }
}
