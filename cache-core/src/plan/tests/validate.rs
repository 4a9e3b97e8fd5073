//! Rows of a near copy whose proof is too old.

use super::*;

/// A call that has such a copy, up to its validation.
fn validating() -> Plan {
    let mut plan = Plan::new(Brief { near_unproved: true, ..both() });
    assert_eq!(plan.looked(Looked::Clear), Step::Validate);
    plan
}

#[test]
fn a_copy_that_holds_is_the_answer() {
    assert_eq!(validating().validated(Validated::Holds), Step::Done(Answer::Validated));
}

#[test]
fn a_copy_that_has_changed_is_read_and_not_asked_about_again() {
    let mut plan = validating();
    assert_eq!(plan.validated(Validated::Changed), READ);
    assert_eq!(plan.read(seen(Found::Nothing, Claim::Elsewhere)), Step::Look);
    assert_eq!(plan.looked(Looked::Flight), FOLLOW);
    assert_eq!(plan.followed(Followed::Abandoned), Step::Look);
    assert_eq!(plan.looked(Looked::Clear), READ);
}

#[test]
fn without_the_far_tier_the_call_loads() {
    let mut plan = validating();
    assert_eq!(plan.validated(Validated::Failed), JOIN);
    assert_eq!(plan.joined(LEADS), Step::LookAgain);
    assert_eq!(plan.looked_again(false), LOAD);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Land(Land::Unproved), "there is no fence");
}

#[test]
fn a_load_in_flight_goes_first_and_whoever_loads_anew_asks_nothing() {
    let unproved = |demand| Plan::new(Brief { near_unproved: true, demand, ..both() });
    assert_eq!(unproved(Demand::Policy).looked(Looked::Flight), FOLLOW);
    assert_eq!(unproved(Demand::Fresh).looked(Looked::Clear), Step::Validate, "inside a load it is as good as read");
    assert_eq!(unproved(Demand::Anew).looked(Looked::Clear), READ);
}
