//! Near copies of far records, asked about without their values: the same scenarios on both faces.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use common::*;

twins! {
    a_copy_that_holds_is_good_for_another_while,
    a_copy_that_was_replaced_is_read_anew,
    a_copy_that_was_invalidated_is_loaded_anew,
    a_copy_whose_scope_was_invalidated_is_loaded_anew,
    a_copy_that_was_softened_elsewhere_is_reloaded,
    the_same_number_after_a_restart_proves_nothing,
    without_the_far_tier_a_copy_that_is_due_is_loaded,
    a_read_asks_about_a_copy_too,
    whoever_asks_each_time_moves_no_value,
    a_copy_of_what_was_set_is_asked_about_too,
}

/// Two processes, one of which has a copy that is due; the other one has none.
fn due(face: Face) -> (Network, Process, Process) {
    let network = Network::new();
    let (here, there) = (network.process(Tiers::Both), network.process(Tiers::Both));
    assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
    here.clock.advance(2 * SECOND);
    (network, here, there)
}

fn a_copy_that_holds_is_good_for_another_while(face: Face) {
    let (network, here, _) = due(face);
    let site = numbers();
    assert_eq!(ask(face, &here, site, 1, 11), 10);
    assert_eq!(ask(face, &here, site, 1, 12), 10, "shown to be current just now");
    here.expect(&[("misses", 1), ("loads", 1), ("stored", 1), ("validated", 1), ("near_hits", 1)]);
    network.clock.advance(2 * SECOND);
    assert_eq!(ask(face, &here, site, 1, 13), 10);
    assert_eq!(here.count("validated"), 2);
    here.clock.advance(TTL);
    assert_eq!(ask(face, &here, site, 1, 14), 14, "no proof outlasts the ttl");
}

fn a_copy_that_was_replaced_is_read_anew(face: Face) {
    let (_network, here, there) = due(face);
    face.set(there.region.set("numbers", 1, 20u64)).unwrap();
    assert_eq!(ask(face, &here, numbers(), 1, 11), 20);
    here.expect(&[("misses", 1), ("loads", 1), ("stored", 1), ("far_hits", 1)]);
}

fn a_copy_that_was_invalidated_is_loaded_anew(face: Face) {
    let (_network, here, there) = due(face);
    face.invalidate(there.region.invalidate("numbers", 1)).unwrap();
    assert_eq!(ask(face, &here, numbers(), 1, 11), 11);
}

fn a_copy_whose_scope_was_invalidated_is_loaded_anew(face: Face) {
    for whole in [false, true] {
        let (_network, here, there) = due(face);
        let scope = if whole { there.region.clear() } else { there.region.invalidate_namespace("numbers") };
        face.invalidate(scope).unwrap();
        assert_eq!(ask(face, &here, numbers(), 1, 11), 11, "its number has not changed, its generation has");
    }
}

fn a_copy_that_was_softened_elsewhere_is_reloaded(face: Face) {
    let (_network, here, there) = due(face);
    face.invalidate(there.region.invalidate("numbers", 1).soft()).unwrap();
    assert_eq!(ask(face, &here, numbers(), 1, 11), 11, "the first who finds it stale reloads it");
    assert_eq!(here.count("validated"), 0);
}

fn the_same_number_after_a_restart_proves_nothing(face: Face) {
    let (network, here, there) = due(face);
    network.nodes.restart(0);
    assert_eq!(ask(face, &there, numbers(), 1, 20), 20, "the same exchange as before: it is given the same numbers");
    assert_eq!(ask(face, &here, numbers(), 1, 11), 20);
}

fn without_the_far_tier_a_copy_that_is_due_is_loaded(face: Face) {
    let (_network, here, _) = due(face);
    here.far.cut(0);
    assert_eq!(ask(face, &here, numbers(), 1, 11), 11);
    assert_eq!((here.count("far_errors"), here.count("validated")), (1, 0));
}

fn a_read_asks_about_a_copy_too(face: Face) {
    let (_network, here, there) = due(face);
    assert_eq!(face.get(here.region.get::<u64>("numbers", 1)).unwrap(), Some(10));
    assert_eq!((here.count("validated"), here.count("far_hits")), (1, 0));
    face.invalidate(there.region.invalidate("numbers", 1)).unwrap();
    here.clock.advance(2 * SECOND);
    assert_eq!(face.get(here.region.get::<u64>("numbers", 1)).unwrap(), None);
}

fn whoever_asks_each_time_moves_no_value(face: Face) {
    let network = Network::new();
    let here = network.process_with(Tiers::Both, |settings| settings.max_staleness(std::time::Duration::ZERO));
    let site = numbers();
    for value in 10..15 {
        assert_eq!(ask(face, &here, site, 1, value), 10);
    }
    here.expect(&[("misses", 1), ("loads", 1), ("stored", 1), ("validated", 4)]);
}

fn a_copy_of_what_was_set_is_asked_about_too(face: Face) {
    let network = Network::new();
    let here = network.process(Tiers::Both);
    face.set(here.region.set("numbers", 1, 10u64)).unwrap();
    here.clock.advance(2 * SECOND);
    assert_eq!(ask(face, &here, numbers(), 1, 11), 10);
    assert_eq!((here.count("validated"), here.count("far_hits")), (1, 0));
}
