//! Rows of a load that ended.

use super::*;

/// A near-only call that leads.
fn near_loading() -> Plan {
    let mut plan = Plan::new(near());
    plan.looked(Looked::Clear);
    plan.joined(LEADS);
    plan.looked_again(false);
    plan
}

#[test]
fn in_memory_the_board_knows_the_verdict() {
    let mut plan = near_loading();
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Land(Land::Local));
    assert_eq!(plan.landed(Land::Local), Step::Done(Answer::Loaded));
    assert_eq!(near_loading().loaded(Load::Shared, Loaded::Discard), Step::Land(Land::Discarded(Verdict::Unknown)));
    assert_eq!(near_loading().loaded(Load::Shared, Loaded::Failed(None)), Step::Land(Land::Failed));
}

#[test]
fn the_verdict_of_a_fill_decides_who_else_gets_the_value() {
    for (verdict, land) in
        [(Verdict::Held, Land::Held), (Verdict::Lost, Land::Lost), (Verdict::Unknown, Land::Unproved)]
    {
        let mut plan = loading(Found::Nothing);
        assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Fill);
        assert_eq!(plan.settled(verdict), Step::Land(land));
        assert_eq!(plan.landed(land), Step::Done(Answer::Loaded), "the leader has its value in any case");
    }
}

#[test]
fn a_value_that_cannot_be_sent_gives_its_claim_back() {
    for (verdict, land) in
        [(Verdict::Held, Land::HeldUnstored), (Verdict::Lost, Land::Lost), (Verdict::Unknown, Land::Unproved)]
    {
        let mut plan = loading(Found::Nothing);
        plan.loaded(Load::Shared, Loaded::Keep);
        assert_eq!(plan.settled(Verdict::Unsent), Step::HandBack);
        assert_eq!(plan.settled(verdict), Step::Land(land));
    }
    let mut plan = reading(brief());
    plan.read(seen(Found::Nothing, Claim::Nobody));
    plan.joined(LEADS);
    plan.loaded(Load::Shared, Loaded::Keep);
    assert_eq!(plan.settled(Verdict::Unsent), Step::Land(Land::Unproved), "it had none");
}

#[test]
fn a_value_that_is_not_to_be_kept_gives_its_claim_back() {
    for verdict in [Verdict::Held, Verdict::Lost, Verdict::Unknown] {
        let mut plan = loading(Found::Nothing);
        assert_eq!(plan.loaded(Load::Shared, Loaded::Discard), Step::HandBack);
        assert_eq!(plan.settled(verdict), Step::Land(Land::Discarded(verdict)));
    }
}

#[test]
fn a_failure_gives_its_claim_back_first() {
    let mut plan = loading(Found::Nothing);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Failed(None)), Step::HandBack);
    assert_eq!(plan.settled(Verdict::Held), Step::Land(Land::Failed));
    assert_eq!(plan.landed(Land::Failed), Step::Done(Answer::Loaded));
}

#[test]
fn a_stale_value_stands_in_for_a_failure_and_keeps_the_claim_while_the_source_rests() {
    for serving in [Serving::OnError, Serving::WhileRevalidating] {
        let mut plan = loading(Found::Stale(Some(serving)));
        assert_eq!(plan.loaded(Load::Shared, Loaded::Failed(Some(serving))), Step::Land(Land::StaleOnError));
        assert_eq!(plan.landed(Land::StaleOnError), Step::Done(Answer::StaleOnError));
    }
    let mut plan = reading(Brief { demand: Demand::Fresh, ..brief() });
    plan.read(seen(Found::Stale(Some(Serving::OnError)), Claim::Won));
    plan.joined(LEADS);
    let failed = plan.loaded(Load::Shared, Loaded::Failed(Some(Serving::OnError)));
    assert_eq!(failed, Step::HandBack, "not inside a load");
}

#[test]
fn a_load_of_ones_own_ends_the_call_whatever_it_gives() {
    for loaded in [Loaded::Keep, Loaded::Discard, Loaded::Failed(Some(Serving::OnError))] {
        let mut plan = following(near());
        plan.followed(Followed::Unusable);
        assert_eq!(plan.loaded(Load::Alone, loaded), Step::Done(Answer::Loaded));
    }
}
