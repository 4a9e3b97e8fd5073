//! Rows of the first look: nothing was asked yet, and the board may have what is wanted.

use super::*;

#[test]
fn a_load_in_flight_is_followed() {
    following(brief());
    following(near());
}

#[test]
fn one_who_asks_for_all_is_waited_for_and_then_the_load_that_began_meanwhile() {
    let mut plan = Plan::new(brief());
    assert_eq!(plan.looked(Looked::Asked), FOLLOW);
    assert_eq!(plan.followed(Followed::Begun), FOLLOW);
    assert_eq!(plan.followed(Followed::Value { began: at(11), proved: at(11) }), Step::Done(Answer::Followed));
    let mut plan = Plan::new(brief());
    plan.looked(Looked::Asked);
    assert_eq!(plan.followed(Followed::Abandoned), Step::Look);
    assert_eq!(plan.looked(Looked::Clear), READ);
    let stale = Brief { near_stale: Some(Serving::WhileRevalidating), ..both() };
    assert_eq!(Plan::new(stale).looked(Looked::Asked), Step::Done(Answer::NearStale));
    let asked_for = |proved| {
        let mut plan = Plan::new(both());
        plan.looked(Looked::Asked);
        plan.followed(Followed::Value { began: proved, proved })
    };
    assert_eq!(asked_for(at(10)), Step::Done(Answer::Followed));
    assert_eq!(asked_for(at(9)), Step::Look, "within `max_staleness`, but asked for before the call came");
}

#[test]
fn a_proved_stale_value_is_served_instead_of_waiting() {
    let serve = |near_stale, looked, demand| Plan::new(Brief { near_stale, demand, ..near() }).looked(looked);
    let (revalidating, on_error) = (Some(Serving::WhileRevalidating), Some(Serving::OnError));
    let resting = Looked::Left { claim: false, resting: true };
    assert_eq!(serve(revalidating, Looked::Flight, Demand::Policy), Step::Done(Answer::NearStale));
    assert_eq!(serve(on_error, Looked::Flight, Demand::Policy), FOLLOW, "nothing has failed yet");
    assert_eq!(serve(on_error, resting, Demand::Policy), Step::Done(Answer::NearStale));
    assert_eq!(serve(revalidating, resting, Demand::Policy), Step::Done(Answer::NearStale));
    assert_eq!(serve(revalidating, Looked::Clear, Demand::Policy), JOIN, "the first one reloads");
    assert_eq!(serve(revalidating, Looked::Flight, Demand::Fresh), FOLLOW, "never inside a load");
    assert_eq!(serve(revalidating, Looked::Flight, Demand::Anew), FOLLOW);
    assert_eq!(serve(on_error, resting, Demand::Fresh), JOIN);
}

#[test]
fn without_a_flight_the_far_tier_is_read_or_the_lead_taken() {
    reading(brief());
    reading(both());
    assert_eq!(Plan::new(near()).looked(Looked::Clear), JOIN);
}

#[test]
fn a_claim_that_was_left_is_inherited_unless_the_source_rests() {
    let mut plan = Plan::new(brief());
    assert_eq!(plan.looked(Looked::Left { claim: true, resting: false }), JOIN);
    assert_eq!(plan.joined(Joined::Leads { inherited: Some(Kept::Stub) }), LOAD);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Fill, "under the inherited claim");
    let mut plan = Plan::new(brief());
    assert_eq!(plan.looked(Looked::Left { claim: true, resting: true }), READ, "there may be a stale value far");
    assert_eq!(plan.read(seen(Found::Stale(Some(Serving::OnError)), Claim::Elsewhere)), Step::Done(Answer::FarStale));
    let mut plan = Plan::new(brief());
    plan.looked(Looked::Left { claim: true, resting: true });
    assert_eq!(plan.read(seen(Found::Nothing, Claim::Elsewhere)), Step::Look);
    assert_eq!(plan.looked(Looked::Left { claim: true, resting: true }), JOIN, "it is our own claim that is out");
}
