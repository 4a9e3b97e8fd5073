//! Rows of what the far tier says.

use super::*;

#[test]
fn a_fresh_value_is_the_answer() {
    assert_eq!(reading(brief()).read(seen(Found::Fresh, Claim::Nobody)), Step::Done(Answer::Far));
    let nested = Brief { demand: Demand::Fresh, ..brief() };
    assert_eq!(reading(nested).read(seen(Found::Fresh, Claim::Nobody)), Step::Done(Answer::Far));
}

#[test]
fn whoever_loads_anew_only_takes_the_fence_of_a_fresh_value() {
    let mut plan = reading(Brief { demand: Demand::Anew, ..brief() });
    assert_eq!(plan.read(seen(Found::Fresh, Claim::Nobody)), JOIN);
    assert_eq!(plan.joined(LEADS), LOAD);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Fill);
    let mut plan = Plan::new(Brief { demand: Demand::Anew, ..near() });
    plan.looked(Looked::Clear);
    assert_eq!(plan.joined(LEADS), LOAD, "and does not look near again");
}

#[test]
fn whoever_wins_the_claim_leads_and_fills_under_it() {
    for found in [Found::Nothing, Found::Stale(None), Found::Stale(Some(Serving::WhileRevalidating)), Found::Dead] {
        assert_eq!(loading(found).loaded(Load::Shared, Loaded::Keep), Step::Fill, "{found:?}");
    }
}

#[test]
fn a_stale_value_is_served_while_somebody_else_reloads() {
    let stale =
        |serving, demand| reading(Brief { demand, ..brief() }).read(seen(Found::Stale(serving), Claim::Elsewhere));
    assert_eq!(stale(Some(Serving::WhileRevalidating), Demand::Policy), Step::Done(Answer::FarStale));
    assert_eq!(stale(Some(Serving::OnError), Demand::Policy), Step::Look, "it waits");
    assert_eq!(stale(None, Demand::Policy), Step::Look);
    assert_eq!(stale(Some(Serving::WhileRevalidating), Demand::Fresh), Step::Look);
    assert_eq!(stale(Some(Serving::WhileRevalidating), Demand::Anew), Step::Look);
}

#[test]
fn a_stale_value_without_any_claim_is_read_again_before_one_is_taken_on_it() {
    let nobody = || seen(Found::Stale(Some(Serving::WhileRevalidating)), Claim::Nobody);
    let mut plan = reading(brief());
    assert_eq!(plan.read(nobody()), READ, "it became stale while the node answered");
    let elsewhere = seen(Found::Stale(Some(Serving::WhileRevalidating)), Claim::Elsewhere);
    assert_eq!(plan.read(elsewhere), Step::Done(Answer::FarStale), "one has it");
    let mut plan = reading(brief());
    plan.read(nobody());
    assert_eq!(plan.read(seen(Found::Stale(None), Claim::Won)), JOIN);
    let mut plan = reading(brief());
    plan.read(nobody());
    assert_eq!(plan.read(nobody()), Step::Take(Kept::Stale), "the node gives none by itself");
    assert_eq!(plan.read(nobody()), Step::Take(Kept::Stale));
    assert_eq!(plan.read(nobody()), JOIN, "under its fence");
    plan.joined(LEADS);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Fill);
}

#[test]
fn what_somebody_else_loads_is_followed_here_or_waited_for_in_pauses() {
    let mut plan = reading(brief());
    assert_eq!(plan.read(seen(Found::Nothing, Claim::Elsewhere)), Step::Look);
    assert_eq!(plan.looked(Looked::Flight), FOLLOW);

    let mut plan = reading(brief());
    plan.read(seen(Found::Nothing, Claim::Elsewhere));
    assert_eq!(plan.looked(Looked::Clear), Step::Pause(Duration::from_millis(1)));
    assert_eq!(plan.paused(at(10)), READ);
}

#[test]
fn pauses_grow_with_the_wait_and_end_with_the_patience() {
    let mut plan = reading(brief());
    let pause = |plan: &mut Plan| {
        assert_eq!(plan.read(seen(Found::Nothing, Claim::Elsewhere)), Step::Look);
        plan.looked(Looked::Clear)
    };
    pause(&mut plan);
    plan.paused(at(10));
    assert_eq!(pause(&mut plan), Step::Pause(Duration::from_millis(1)));
    plan.paused(at(10).after(Duration::from_millis(100)));
    assert_eq!(pause(&mut plan), Step::Pause(Duration::from_millis(25)), "a quarter of the wait");
    plan.paused(at(20));
    assert_eq!(pause(&mut plan), Step::Pause(Duration::from_millis(250)), "bounded");
    assert_eq!(plan.paused(at(40).before(Duration::from_nanos(1))), READ);
    pause(&mut plan);
    assert_eq!(plan.paused(at(40)), JOIN, "patience is spent: it leads here");
    assert_eq!(plan.joined(LEADS), LOAD);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Fill, "fenced by what it saw");
}

#[test]
fn a_driver_that_cannot_wait_leads_at_once() {
    let mut plan = reading(brief());
    assert_eq!(plan.read(seen(Found::Nothing, Claim::Elsewhere)), Step::Look);
    assert!(matches!(plan.looked(Looked::Clear), Step::Pause(_)));
    assert_eq!(plan.paused(Tick::NEVER), JOIN, "and does not read in a circle");
}

#[test]
fn nobody_waits_for_what_cannot_be_stored() {
    let mut plan = reading(brief());
    let unfenced = Reading::Seen { found: Found::Nothing, claim: Claim::Elsewhere, fenced: false, age: ClaimAge::New };
    assert_eq!(plan.read(unfenced), JOIN);
    assert_eq!(plan.joined(LEADS), LOAD);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Land(Land::Unproved));
}

#[test]
fn a_second_patience_is_a_whole_one_and_the_last() {
    let mut plan = reading(brief());
    plan.read(seen(Found::Nothing, Claim::Elsewhere));
    plan.looked(Looked::Clear);
    plan.paused(at(10));
    plan.read(seen(Found::Nothing, Claim::Elsewhere));
    plan.looked(Looked::Clear);
    assert_eq!(plan.paused(at(40)), JOIN);
    assert_eq!(plan.joined(Joined::Follows), FOLLOW);
    assert_eq!(plan.followed(Followed::PatienceSpent), ALONE);
}

#[test]
fn a_claim_that_is_out_too_long_is_taken_over_where_it_does_not_end_by_itself() {
    let overdue = |found| Reading::Seen { found, claim: Claim::Elsewhere, fenced: true, age: ClaimAge::Ownerless };
    let mut plan = reading(brief());
    assert_eq!(plan.read(overdue(Found::Stale(None))), Step::Take(Kept::Stale));
    assert_eq!(plan.read(seen(Found::Stale(None), Claim::Won)), JOIN);
    let mut plan = reading(brief());
    assert_eq!(plan.read(overdue(Found::Dead)), Step::Take(Kept::Dead));
    assert_eq!(plan.read(seen(Found::Dead, Claim::Elsewhere)), Step::Look, "another one took it");
    let mut plan = reading(brief());
    let served = plan.read(overdue(Found::Stale(Some(Serving::WhileRevalidating))));
    assert_eq!(served, Step::Take(Kept::Stale), "somebody must, or it stays stale for ever");
}

#[test]
fn a_reload_elsewhere_that_takes_its_time_has_failed_as_far_as_others_can_tell() {
    let out = |age, serving| {
        let found = Found::Stale(serving);
        reading(brief()).read(Reading::Seen { found, claim: Claim::Elsewhere, fenced: true, age })
    };
    assert_eq!(out(ClaimAge::New, Some(Serving::OnError)), Step::Look, "it may succeed");
    assert_eq!(out(ClaimAge::Slow, Some(Serving::OnError)), Step::Done(Answer::FarStale));
    assert_eq!(out(ClaimAge::Slow, None), Step::Look, "no policy allows it");
    let mut strict = reading(Brief { demand: Demand::Fresh, ..brief() });
    let found = Found::Stale(Some(Serving::OnError));
    let slow = Reading::Seen { found, claim: Claim::Elsewhere, fenced: true, age: ClaimAge::Slow };
    assert_eq!(strict.read(slow), Step::Look, "never inside a load");
}

#[test]
fn a_dead_record_gives_no_claim_by_itself_so_one_is_taken() {
    let mut plan = reading(brief());
    assert_eq!(plan.read(seen(Found::Dead, Claim::Nobody)), Step::Take(Kept::Dead));
    assert_eq!(plan.read(seen(Found::Dead, Claim::Won)), JOIN);
    let mut plan = reading(brief());
    plan.read(seen(Found::Dead, Claim::Nobody));
    assert_eq!(plan.read(seen(Found::Fresh, Claim::Nobody)), Step::Done(Answer::Far), "somebody filled meanwhile");
}

#[test]
fn claims_are_taken_twice_and_no_more() {
    let mut plan = reading(brief());
    assert_eq!(plan.read(seen(Found::Dead, Claim::Nobody)), Step::Take(Kept::Dead));
    assert_eq!(plan.read(seen(Found::Dead, Claim::Nobody)), Step::Take(Kept::Dead));
    assert_eq!(plan.read(seen(Found::Dead, Claim::Nobody)), JOIN);
}

#[test]
fn remembered_generations_never_reject() {
    let mut plan = reading(brief());
    assert_eq!(plan.read(seen(Found::Doubtful, Claim::Nobody)), Step::Read(Recall::Never));
    assert_eq!(plan.read(seen(Found::Doubtful, Claim::Nobody)), Step::Take(Kept::Dead), "asked once");
}

#[test]
fn a_record_of_a_higher_version_is_left_alone() {
    let mut plan = reading(brief());
    assert_eq!(plan.read(seen(Found::HigherVersion, Claim::Nobody)), JOIN);
    plan.joined(LEADS);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Land(Land::Unproved), "stored nowhere far");
    let mut plan = reading(brief());
    assert_eq!(plan.read(seen(Found::HigherVersion, Claim::Won)), Step::HandBack, "won by accident");
    assert_eq!(plan.settled(Verdict::Held), JOIN);
    plan.joined(LEADS);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Land(Land::Unproved));
}

#[test]
fn without_the_far_tier_one_of_this_process_loads() {
    let mut plan = reading(brief());
    assert_eq!(plan.read(Reading::Failed), JOIN);
    assert_eq!(plan.joined(LEADS), LOAD);
    assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Land(Land::Unproved));
}

#[test]
fn without_a_fence_nothing_is_stored_far() {
    for claim in [Claim::Nobody, Claim::Won] {
        let mut plan = reading(brief());
        let unfenced = Reading::Seen { found: Found::Nothing, claim, fenced: false, age: ClaimAge::New };
        assert_eq!(plan.read(unfenced), JOIN);
        plan.joined(LEADS);
        assert_eq!(plan.loaded(Load::Shared, Loaded::Keep), Step::Land(Land::Unproved));
    }
    let mut plan = reading(brief());
    let dead = Reading::Seen { found: Found::Dead, claim: Claim::Nobody, fenced: false, age: ClaimAge::New };
    assert_eq!(plan.read(dead), JOIN, "and nothing can be taken");
}
