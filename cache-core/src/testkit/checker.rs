//! Judges a history: was an invalidation lost, and did two loads of one key overlap?
//!
//! Invariant: an invalidation that was called at c and returned `Ok` at r is lost if a read that started after
//! r + `max_staleness` returned a value whose load began before c. A load that began between c and r is good: the
//! source had been changed before c.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::history::{Events, Invalidation, Load, LoadId, Moment, Origin, ReadOf, Returned};

/// What the checker found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Reads that returned what had been invalidated.
    pub lost: Vec<Lost>,
    /// Pairs of loads of one key that ran at the same time.
    pub overlapping: Vec<Overlap>,
    /// Reads that named a load that is not in the history, or is of another key, or gave no value.
    pub unknown: Vec<ReadOf>,
    /// How many loads there were, without `set`s.
    pub loads: usize,
    /// How many invalidations returned `Ok`.
    pub invalidations: usize,
    /// How many reads returned a value.
    pub reads: usize,
}

/// An invalidation that was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The read that shows it.
    pub read: ReadOf,
    /// The load of the value that it returned.
    pub load: Load,
    /// The invalidation.
    pub invalidation: Invalidation,
}

/// Two loads of one key at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The one that began first.
    pub first: (LoadId, Load),
    /// The one that began before the first had ended.
    pub second: (LoadId, Load),
}

impl Report {
    /// Whether no invalidation was lost and every value is accounted for. Overlapping loads are judged by the caller:
    /// faults allow some.
    pub fn keeps_invalidations(&self) -> bool {
        self.lost.is_empty() && self.unknown.is_empty()
    }
}

/// Judges `events` for a region whose near copies may be this much too old.
pub fn check(events: &Events, max_staleness: Duration) -> Report {
    let mut report = Report {
        overlapping: overlaps(&events.loads),
        loads: events.loads.iter().filter(|load| load.origin == Origin::Load).count(),
        ..Report::default()
    };
    let by_key = by_key(events);
    report.invalidations =
        events.invalidations.iter().filter(|one| matches!(one.returned, Some((_, Returned::Done)))).count();
    for read in &events.reads {
        let Some(LoadId(id)) = read.value else { continue };
        report.reads += 1;
        let load = usize::try_from(id).ok().and_then(|id| events.loads.get(id));
        let Some(load) = load.filter(|load| load.key == read.key && load.began < read.ended.unwrap_or(load.began))
        else {
            report.unknown.push(read.clone());
            continue;
        };
        let invalidations = by_key.get(read.key.as_str()).map_or(&[][..], Vec::as_slice);
        // Those that had to be seen are in front; of these, the one that was called last accuses most.
        let must_see = invalidations.partition_point(|past| is_after(read.started, past.returned, max_staleness));
        let latest = must_see.checked_sub(1).map(|last| &invalidations[last].latest_called);
        if let Some((called, index)) = latest
            && load.began < *called
        {
            let invalidation = events.invalidations[*index].clone();
            report.lost.push(Lost { read: read.clone(), load: load.clone(), invalidation });
        }
    }
    report
}

/// An invalidation of one key, in the order in which they returned.
struct Past {
    returned: Moment,
    /// When the one of these and all before it that was called last was called, and which that is.
    latest_called: (Moment, usize),
}

fn by_key(events: &Events) -> BTreeMap<&str, Vec<Past>> {
    let mut by_key: BTreeMap<&str, Vec<Past>> = BTreeMap::new();
    for (index, invalidation) in events.invalidations.iter().enumerate() {
        if let Some((returned, Returned::Done)) = invalidation.returned {
            let keys: BTreeSet<&str> = invalidation.keys.iter().map(String::as_str).collect();
            for key in keys {
                let past = Past { returned, latest_called: (invalidation.called, index) };
                by_key.entry(key).or_default().push(past);
            }
        }
    }
    for past in by_key.values_mut() {
        past.sort_by_key(|past| past.returned);
        let mut latest: Option<(Moment, usize)> = None;
        for one in past {
            latest = latest.max(Some(one.latest_called));
            one.latest_called = latest.unwrap_or(one.latest_called);
        }
    }
    by_key
}

/// Whether a read that started at `start` lies after `returned` + `bound`.
fn is_after(start: Moment, returned: Moment, bound: Duration) -> bool {
    if bound.is_zero() { start.order > returned.order } else { start.tick > returned.tick.after(bound) }
}

fn overlaps(loads: &[Load]) -> Vec<Overlap> {
    let mut found = Vec::new();
    let mut running: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut order: Vec<usize> = (0..loads.len()).filter(|load| loads[*load].origin == Origin::Load).collect();
    order.sort_by_key(|load| loads[*load].began);
    for second in order {
        let same_key = running.entry(&loads[second].key).or_default();
        same_key.retain(|first| loads[*first].ended.is_none_or(|(ended, _)| ended > loads[second].began));
        found.extend(same_key.iter().map(|first| Overlap {
            first: (LoadId(*first as u64), loads[*first].clone()),
            second: (LoadId(second as u64), loads[second].clone()),
        }));
        same_key.push(second);
    }
    found
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { lost, overlapping, unknown, loads, invalidations, reads } = self;
        write!(f, "{reads} reads, {loads} loads, {invalidations} invalidations: ")?;
        write!(f, "{} lost, {} overlaps, {} unknown values", lost.len(), overlapping.len(), unknown.len())?;
        for Lost { read, load, invalidation } in lost {
            let returned = invalidation.returned.map(|(moment, _)| moment);
            write!(
                f,
                "\nlost: `{}` read by process {} at {} returned a load of process {} that began at {}, though process \
                 {} invalidated it from {} to {}",
                read.key,
                read.process,
                read.started,
                load.process,
                load.began,
                invalidation.process,
                invalidation.called,
                returned.unwrap_or(invalidation.called),
            )?;
        }
        for Overlap { first: (_, first), second: (_, second) } in overlapping {
            write!(
                f,
                "\noverlap: `{}` loaded by process {} at {} while a load of process {} ran since {}",
                first.key, second.process, second.began, first.process, first.began
            )?;
        }
        for read in unknown {
            write!(f, "\nunknown: `{}` read by process {} returned {:?}", read.key, read.process, read.value)?;
        }
        Ok(())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (#{})", self.tick, self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::{History, LoadEnd};
    use super::*;
    use crate::clock::ManualClock;

    const BOUND: Duration = Duration::from_secs(1);

    struct Hand {
        clock: ManualClock,
        history: History,
    }

    impl Hand {
        fn new() -> Self {
            let clock = ManualClock::new();
            Hand { history: History::new(clock.clone()), clock }
        }

        fn load(&self, key: &str) -> LoadId {
            let load = self.history.load_begins(1, key);
            self.history.load_ends(load, LoadEnd::Loaded);
            load
        }

        fn invalidate(&self, key: &str, returned: Returned) {
            let noted = self.history.invalidate_called(2, [key]);
            self.history.invalidate_returned(noted, returned);
        }

        fn read(&self, key: &str, value: LoadId) {
            let read = self.history.read_starts(3, key);
            self.history.read_ends(read, Some(value));
        }

        fn pass(&self, milliseconds: u64) {
            self.clock.advance(Duration::from_millis(milliseconds));
        }

        fn check(&self, bound: Duration) -> Report {
            check(&self.history.events(), bound)
        }
    }

    #[test]
    fn a_value_loaded_before_an_invalidation_and_read_after_it_is_lost() {
        let hand = Hand::new();
        let old = hand.load("k");
        hand.invalidate("k", Returned::Done);
        hand.read("k", old);
        let report = hand.check(Duration::ZERO);
        assert_eq!((report.lost.len(), report.reads, report.loads, report.invalidations), (1, 1, 1, 1));
        assert!(!report.keeps_invalidations());
        assert!(report.to_string().contains("lost: `k` read by process 3"), "{report}");
    }

    #[test]
    fn a_read_within_the_bound_may_be_old_and_one_just_after_it_may_not() {
        let hand = Hand::new();
        let old = hand.load("k");
        hand.invalidate("k", Returned::Done);
        hand.pass(1000);
        hand.read("k", old);
        assert!(hand.check(BOUND).keeps_invalidations());
        hand.pass(1);
        hand.read("k", old);
        assert_eq!(hand.check(BOUND).lost.len(), 1);
    }

    #[test]
    fn a_load_between_call_and_return_is_good_and_one_before_the_call_is_not() {
        let hand = Hand::new();
        let before = hand.load("k");
        let noted = hand.history.invalidate_called(2, ["k"]);
        let between = hand.load("k");
        hand.history.invalidate_returned(noted, Returned::Done);
        hand.read("k", between);
        assert!(hand.check(Duration::ZERO).keeps_invalidations());
        hand.read("k", before);
        assert_eq!(hand.check(Duration::ZERO).lost.len(), 1);
    }

    #[test]
    fn a_read_that_started_before_the_return_is_good() {
        let hand = Hand::new();
        let old = hand.load("k");
        let noted = hand.history.invalidate_called(2, ["k"]);
        let read = hand.history.read_starts(3, "k");
        hand.history.invalidate_returned(noted, Returned::Done);
        hand.history.read_ends(read, Some(old));
        assert!(hand.check(Duration::ZERO).keeps_invalidations());
    }

    #[test]
    fn pending_invalidations_and_those_of_other_keys_promise_nothing() {
        let hand = Hand::new();
        let old = hand.load("k");
        hand.invalidate("k", Returned::Pending);
        hand.invalidate("other", Returned::Done);
        hand.history.invalidate_called(2, ["k"]);
        hand.read("k", old);
        let report = hand.check(Duration::ZERO);
        assert!(report.keeps_invalidations());
        assert_eq!(report.invalidations, 1);
    }

    #[test]
    fn a_scope_invalidation_covers_each_of_its_keys() {
        let hand = Hand::new();
        let (one, two) = (hand.load("one"), hand.load("two"));
        let noted = hand.history.invalidate_called(2, ["one", "two"]);
        hand.history.invalidate_returned(noted, Returned::Done);
        hand.read("one", one);
        hand.read("two", two);
        assert_eq!(hand.check(Duration::ZERO).lost.len(), 2);
    }

    #[test]
    fn of_two_invalidations_the_one_called_last_counts_even_if_it_returned_first() {
        let hand = Hand::new();
        let slow = hand.history.invalidate_called(2, ["k"]);
        let old = hand.load("k");
        hand.invalidate("k", Returned::Done);
        hand.history.invalidate_returned(slow, Returned::Done);
        hand.read("k", old);
        let report = hand.check(Duration::ZERO);
        assert_eq!(report.lost.len(), 1, "the quick one was called after the load began");
    }

    #[test]
    fn loads_that_overlap_are_told_and_sets_are_not() {
        let hand = Hand::new();
        let first = hand.history.load_begins(1, "k");
        let other = hand.history.load_begins(1, "other");
        let set = hand.history.set_begins(1, "k");
        assert!(hand.check(Duration::ZERO).overlapping.is_empty());
        let second = hand.history.load_begins(2, "k");
        for load in [first, other, set, second] {
            hand.history.load_ends(load, LoadEnd::Loaded);
        }
        hand.load("k");
        let report = hand.check(Duration::ZERO);
        let pairs: Vec<_> = report.overlapping.iter().map(|overlap| (overlap.first.0, overlap.second.0)).collect();
        assert_eq!(pairs, [(first, second)]);
        assert!(report.to_string().contains("overlap: `k` loaded by process 2"), "{report}");
    }

    #[test]
    fn a_cancelled_load_ends_when_its_guard_is_dropped() {
        let hand = Hand::new();
        let guard = hand.history.load_guard(hand.history.load_begins(1, "k"));
        drop(guard);
        hand.load("k");
        assert!(hand.check(Duration::ZERO).overlapping.is_empty());
    }

    #[test]
    fn a_value_that_no_load_gave_is_unknown() {
        let hand = Hand::new();
        let other = hand.load("other");
        hand.read("k", other);
        hand.read("k", LoadId(77));
        let report = hand.check(Duration::ZERO);
        assert_eq!(report.unknown.len(), 2);
        assert!(!report.keeps_invalidations());
    }
}
