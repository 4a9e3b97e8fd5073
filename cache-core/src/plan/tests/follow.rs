//! Rows of a flight that ended.

use super::*;

fn value(began: u32, proved: u32) -> Followed {
    Followed::Value { began: at(began), proved: at(proved) }
}

#[test]
fn a_value_is_taken_if_it_was_proved_after_the_call_began() {
    assert_eq!(following(brief()).followed(value(5, 10)), Step::Done(Answer::Followed));
    assert_eq!(following(brief()).followed(value(5, 9)), Step::Look, "the next group");
    assert_eq!(following(both()).followed(value(5, 9)), Step::Done(Answer::Followed), "within max_staleness");
    assert_eq!(following(both()).followed(value(5, 8)), Step::Look);
}

#[test]
fn whoever_loads_anew_shares_only_what_began_after_it_came() {
    let anew = Brief { demand: Demand::Anew, ..brief() };
    assert_eq!(following(anew).followed(value(9, 12)), Step::Look);
    assert_eq!(following(anew).followed(value(10, 12)), Step::Done(Answer::Followed));
    assert_eq!(following(anew).followed(Followed::Failed { began: at(9) }), Step::Look);
    let failed = following(anew).followed(Followed::Failed { began: at(10) });
    assert_eq!(failed, Step::Done(Answer::FollowedFailure));
}

#[test]
fn a_failure_for_all_is_the_answer() {
    let failed = following(brief()).followed(Followed::Failed { began: at(5) });
    assert_eq!(failed, Step::Done(Answer::FollowedFailure));
}

#[test]
fn after_a_failure_for_one_there_is_one_more_try_and_then_each_for_itself() {
    let mut plan = following(brief());
    assert_eq!(plan.followed(Followed::FailedAlone), Step::Look);
    assert_eq!(plan.looked(Looked::Flight), FOLLOW);
    assert_eq!(plan.followed(Followed::FailedAlone), ALONE);
}

#[test]
fn a_flight_without_an_end_is_begun_again() {
    let mut plan = following(brief());
    assert_eq!(plan.followed(Followed::Abandoned), Step::Look);
    assert_eq!(plan.looked(Looked::Clear), READ);
}

#[test]
fn spent_patience_overtakes_once_and_then_loads_alone() {
    let mut plan = following(near());
    assert_eq!(plan.followed(Followed::PatienceSpent), Step::Join(Joining::Overtaking));
    assert_eq!(plan.joined(Joined::Follows), FOLLOW);
    assert_eq!(plan.followed(Followed::PatienceSpent), ALONE);
    assert_eq!(plan.loaded(Load::Alone, Loaded::Keep), Step::Done(Answer::Loaded), "and stores nothing");
}

#[test]
fn what_cannot_be_waited_for_is_loaded_alone() {
    assert_eq!(following(near()).followed(Followed::Unusable), ALONE);
}
