//! Rows of taking the lead.

use super::*;

#[test]
fn whoever_leads_looks_near_once_more() {
    let mut plan = Plan::new(near());
    plan.looked(Looked::Clear);
    assert_eq!(plan.joined(LEADS), Step::LookAgain);
    assert_eq!(plan.looked_again(false), LOAD);
    let mut plan = Plan::new(near());
    plan.looked(Looked::Clear);
    plan.joined(LEADS);
    assert_eq!(plan.looked_again(true), Step::Land(Land::Found));
    assert_eq!(plan.landed(Land::Found), Step::Done(Answer::Near));
}

#[test]
fn a_value_found_near_under_an_inherited_claim_gives_the_claim_back() {
    let mut plan = Plan::new(both());
    plan.looked(Looked::Left { claim: true, resting: false });
    assert_eq!(plan.joined(Joined::Leads { inherited: Some(Kept::Stub) }), Step::LookAgain);
    assert_eq!(plan.looked_again(true), Step::HandBack);
    assert_eq!(plan.settled(Verdict::Held), Step::Land(Land::Found));
}

#[test]
fn whoever_has_won_a_claim_has_no_need_to_look_near() {
    let mut plan = reading(both());
    plan.read(seen(Found::Nothing, Claim::Won));
    assert_eq!(plan.joined(LEADS), LOAD);
}

#[test]
fn whoever_finds_a_flight_gives_its_claim_back_and_follows() {
    let mut plan = reading(brief());
    plan.read(seen(Found::Nothing, Claim::Won));
    assert_eq!(plan.joined(Joined::Follows), Step::HandBack);
    assert_eq!(plan.settled(Verdict::Held), FOLLOW);
    let mut plan = reading(brief());
    plan.read(seen(Found::Nothing, Claim::Nobody));
    assert_eq!(plan.joined(Joined::Follows), FOLLOW, "a fence need not be given back");
}
