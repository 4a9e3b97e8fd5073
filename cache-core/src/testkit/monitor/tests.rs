//! What a monitor finds, and what it lets pass.

#![allow(clippy::unwrap_used)]

use super::*;

const MILLI: Duration = Duration::from_millis(1);
const BOUND: Duration = Duration::from_secs(1);

fn rules(max_staleness: Duration) -> Rules {
    Rules {
        max_staleness,
        longest_staleness: 2 * max_staleness,
        own: OwnReads::AtOnce,
        loads: Loads::Once,
        ttl: 60 * BOUND,
        lease: 2 * BOUND,
        way: 5 * MILLI,
        memory: Duration::ZERO,
        processes: 2,
        aftermath: 3 * BOUND,
        longest_read: 10 * BOUND,
        longest_invalidation: BOUND,
    }
}

struct Hand {
    clock: ManualClock,
    monitor: Monitor,
}

impl Hand {
    fn new(max_staleness: Duration) -> Self {
        let clock = ManualClock::new();
        Hand { monitor: Monitor::new(clock.clone(), 4, rules(max_staleness)), clock }
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn load(&self, process: u32, key: u32) -> LoadId {
        self.monitor.load_begins(process, key).ends(LoadEnd::Loaded)
    }

    fn invalidate(&self, process: u32, key: u32) {
        self.monitor.invalidate_called(process, key..key + 1).is_done();
    }

    fn read(&self, process: u32, key: u32, value: LoadId) {
        self.monitor.read_ends(self.monitor.read_starts(process, key), value);
    }

    /// Stale reads, double loads, long waits, unknown values.
    fn found(&self) -> (u64, u64, u64, u64) {
        let Tally { stale, double_loads, unbounded_waits, unknown, .. } = self.monitor.tally();
        (stale, double_loads, unbounded_waits, unknown)
    }
}

#[test]
fn a_value_loaded_before_an_invalidation_and_read_after_it_is_stale() {
    let hand = Hand::new(Duration::ZERO);
    let old = hand.load(1, 0);
    hand.read(3, 0, old);
    assert_eq!(hand.found(), (0, 0, 0, 0));
    hand.invalidate(2, 0);
    hand.read(3, 0, old);
    assert_eq!(hand.found(), (1, 0, 0, 0));
    let text = hand.monitor.findings()[0].to_string();
    assert!(text.starts_with("stale: key 0 read by process 3 from 3600s to 3600s returned a load"), "{text}");
}

#[test]
fn what_began_after_the_call_or_started_before_the_return_is_good() {
    let hand = Hand::new(Duration::ZERO);
    let before = hand.load(1, 0);
    let run = hand.monitor.invalidate_called(2, 0..1);
    let between = hand.load(1, 0);
    let read = hand.monitor.read_starts(3, 0);
    run.is_done();
    hand.monitor.read_ends(read, before);
    hand.read(3, 0, between);
    assert_eq!(hand.found(), (0, 0, 0, 0));
    hand.read(3, 0, before);
    assert_eq!(hand.found(), (1, 0, 0, 0));
}

#[test]
fn others_may_lag_by_the_bound_and_the_process_itself_may_not() {
    let hand = Hand::new(BOUND);
    let old = hand.load(1, 0);
    hand.invalidate(2, 0);
    hand.pass(BOUND);
    hand.read(3, 0, old);
    assert_eq!(hand.found(), (0, 0, 0, 0));
    hand.read(2, 0, old);
    assert_eq!(hand.found(), (1, 0, 0, 0));
    hand.pass(Duration::from_nanos(1));
    hand.read(3, 0, old);
    assert_eq!(hand.found(), (2, 0, 0, 0));
}

#[test]
fn a_read_may_say_itself_how_stale_its_value_may_be() {
    let hand = Hand::new(BOUND);
    let old = hand.load(1, 0);
    hand.invalidate(2, 0);
    let reads = |after: Duration, bound: Duration| {
        hand.pass(after);
        hand.monitor.read_ends(hand.monitor.read_starts_within(3, 0, bound), old);
    };
    reads(BOUND / 2, BOUND / 2);
    assert_eq!(hand.found(), (0, 0, 0, 0));
    reads(MILLI, BOUND / 2);
    assert_eq!(hand.found(), (1, 0, 0, 0));
    reads(MILLI, Duration::ZERO);
    assert_eq!(hand.found(), (2, 0, 0, 0));
    reads(BOUND, 2 * BOUND);
    hand.read(3, 0, old);
    assert_eq!(hand.found(), (3, 0, 0, 0), "longer than the others, which are bound by now");
    reads(BOUND, 2 * BOUND);
    assert_eq!(hand.found(), (4, 0, 0, 0));
}

#[test]
fn of_two_invalidations_the_one_called_last_counts_even_if_it_returned_first() {
    let hand = Hand::new(Duration::ZERO);
    let slow = hand.monitor.invalidate_called(2, 0..4);
    let old = hand.load(1, 3);
    hand.invalidate(2, 3);
    slow.is_done();
    hand.read(3, 3, old);
    assert_eq!(hand.found(), (1, 0, 0, 0));
}

#[test]
fn an_invalidation_that_is_not_done_promises_nothing() {
    let hand = Hand::new(Duration::ZERO);
    let old = hand.load(1, 0);
    drop(hand.monitor.invalidate_called(2, 0..1));
    hand.read(3, 0, old);
    assert_eq!((hand.found(), hand.monitor.tally().invalidations), ((0, 0, 0, 0), 0));
}

#[test]
fn a_set_may_count_from_later_than_its_value_was_made() {
    let hand = Hand::new(Duration::ZERO);
    let run = hand.monitor.set_begins(0);
    let (early, late) = (run.id(), hand.monitor.set_begins(0));
    hand.invalidate(2, 0);
    hand.monitor.set_counts_from_now(late.id());
    let late = late.ends(LoadEnd::Loaded);
    hand.read(3, 0, late);
    assert_eq!(hand.found(), (0, 0, 0, 0));
    hand.read(3, 0, early);
    assert_eq!(hand.found(), (1, 0, 0, 0));
}

#[test]
fn a_value_is_as_old_as_its_part() {
    let hand = Hand::new(Duration::ZERO);
    let part = hand.load(1, 0);
    let whole = hand.load(1, 1);
    let read = hand.monitor.read_starts(1, 2);
    hand.invalidate(1, 2);
    hand.monitor.read_ends_with_part(read, part);
    hand.read(1, 1, whole);
    hand.monitor.read_ends_with_part(hand.monitor.read_starts(1, 2), part);
    assert_eq!(hand.found(), (1, 0, 0, 0));
}

#[test]
fn a_load_beside_another_one_is_found_and_so_is_one_that_was_not_needed() {
    let hand = Hand::new(Duration::ZERO);
    let first = hand.monitor.load_begins(1, 0);
    let other_key = hand.monitor.load_begins(2, 1);
    let second = hand.monitor.load_begins(2, 0);
    assert_eq!(hand.found(), (0, 1, 0, 0));
    for run in [first, second, other_key] {
        run.ends(LoadEnd::Loaded);
    }
    hand.pass(BOUND);
    hand.load(2, 1);
    assert_eq!(hand.found(), (0, 2, 0, 0));
    let texts: Vec<String> = hand.monitor.findings().iter().map(ToString::to_string).collect();
    assert!(texts[0].starts_with("double load: key 0 loaded by process 2"), "{texts:?}");
    assert!(texts[1].starts_with("needless load: key 1 loaded by process 2"), "{texts:?}");
}

#[test]
fn a_load_is_explained_by_an_invalidation_by_trouble_by_a_failure_and_by_time() {
    let hand = Hand::new(Duration::ZERO);
    let explained = |explain: &dyn Fn()| {
        hand.load(1, 0);
        hand.pass(10 * MILLI);
        explain();
        hand.load(2, 0);
        // Far enough from the next.
        hand.pass(100 * BOUND);
    };
    explained(&|| hand.invalidate(1, 0));
    explained(&|| drop(hand.monitor.invalidate_called(1, 0..4)));
    explained(&|| hand.monitor.trouble());
    explained(&|| hand.monitor.stands_still(1, BOUND));
    explained(&|| hand.pass(60 * BOUND));
    explained(&|| drop(hand.monitor.set_begins(0)));
    assert_eq!(hand.found(), (0, 0, 0, 0));
    explained(&|| hand.invalidate(1, 1));
    assert_eq!(hand.found(), (0, 1, 0, 0), "of another key");
    hand.monitor.load_begins(1, 0).ends(LoadEnd::Failed);
    hand.load(1, 0);
    let slow = hand.monitor.load_begins(1, 1);
    hand.pass(2 * BOUND);
    hand.load(2, 1);
    assert_eq!(hand.found(), (0, 1, 0, 0), "a lease has ended");
    drop(slow);
}

#[test]
fn who_remembers_generations_may_load_once_more() {
    let hand = Hand::new(Duration::ZERO);
    hand.monitor.state().rules.memory = 100 * MILLI;
    hand.load(1, 0);
    hand.pass(BOUND);
    hand.invalidate(1, 0);
    hand.pass(50 * MILLI);
    for process in [1, 2, 1] {
        hand.load(process, 0);
    }
    assert_eq!(hand.found(), (0, 0, 0, 0), "one for each process, and one that is good");
    hand.load(2, 0);
    assert_eq!(hand.found(), (0, 1, 0, 0));
}

#[test]
fn the_past_explains_no_load() {
    let hand = Hand::new(Duration::ZERO);
    hand.invalidate(1, 0);
    hand.monitor.trouble();
    hand.pass(10 * BOUND);
    hand.load(1, 0);
    hand.load(2, 0);
    assert_eq!(hand.found(), (0, 1, 0, 0));
}

#[test]
fn a_wait_counts_while_its_process_runs() {
    let hand = Hand::new(Duration::ZERO);
    let value = hand.load(1, 0);
    let (one, two) = (hand.monitor.read_starts(1, 0), hand.monitor.read_starts(2, 0));
    let failed = hand.monitor.read_starts(2, 1);
    let run = hand.monitor.invalidate_called(2, 0..1);
    hand.monitor.stands_still(1, 5 * BOUND);
    hand.pass(12 * BOUND);
    hand.monitor.read_ends(one, value);
    assert_eq!(hand.found(), (0, 0, 0, 0));
    hand.monitor.read_ends(two, value);
    hand.monitor.read_fails(failed);
    run.answered();
    assert_eq!(hand.found(), (0, 0, 3, 0));
    assert!(hand.monitor.findings()[2].to_string().contains("the invalidation of key 0 by process 2"));
}

#[test]
fn a_value_that_no_load_of_the_key_gave_is_unknown() {
    let hand = Hand::new(Duration::ZERO);
    let other = hand.load(1, 1);
    hand.read(1, 0, other);
    hand.read(1, 0, LoadId(0));
    hand.read(1, 0, LoadId(u64::MAX));
    assert_eq!(hand.found(), (0, 0, 0, 3));
}

#[test]
fn what_is_remembered_does_not_grow() {
    let hand = Hand::new(BOUND);
    for _ in 0..10_000 {
        let value = hand.load(1, 0);
        hand.read(1, 0, value);
        let run = hand.monitor.set_begins(0);
        hand.monitor.set_counts_from_now(run.ends(LoadEnd::Loaded));
        hand.invalidate(1, 0);
        hand.pass(BOUND);
    }
    let state = hand.monitor.state();
    assert!(state.keys[0].remembered() < 300, "{:?}", state.keys[0].remembered());
    assert_eq!(state.tally.invalidations, 10_000);
}
