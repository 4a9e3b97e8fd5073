//! Each row of the table as a test, without a thread and without a clock.

use std::time::Duration;

use super::*;
use crate::backend::{Claim, Kept, Recall};
use crate::clock::Tick;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Tick {
    Tick::ZERO.after(1000 * SECOND).after(seconds * SECOND)
}

/// A call that began at 10 s, far only.
fn brief() -> Brief {
    Brief {
        started: at(10),
        demand: Demand::Policy,
        tiers: Tiers::Far,
        near_stale: None,
        near_unproved: false,
        proved_from: at(10),
        patience: 30 * SECOND,
    }
}

fn near() -> Brief {
    Brief { tiers: Tiers::Near, ..brief() }
}

fn both() -> Brief {
    Brief { tiers: Tiers::NearOverFar, proved_from: at(9), ..brief() }
}

fn seen(found: Found, claim: Claim) -> Reading {
    Reading::Seen { found, claim, fenced: true, age: ClaimAge::New }
}

const LEADS: Joined = Joined::Leads { inherited: None };
const READ: Step = Step::Read(Recall::Allowed);
const JOIN: Step = Step::Join(Joining::Normally);
const LOAD: Step = Step::Load(Load::Shared);
const ALONE: Step = Step::Load(Load::Alone);
const FOLLOW: Step = Step::Follow(Duration::from_secs(30));

/// A far call up to its read.
fn reading(brief: Brief) -> Plan {
    let mut plan = Plan::new(brief);
    assert_eq!(plan.begin(), Step::Look);
    assert_eq!(plan.looked(Looked::Clear), READ);
    plan
}

/// A far call that won the claim on what was found, and leads.
fn loading(found: Found) -> Plan {
    let mut plan = reading(brief());
    assert_eq!(plan.read(seen(found, Claim::Won)), JOIN);
    assert_eq!(plan.joined(LEADS), LOAD);
    plan
}

/// A call that follows a flight.
fn following(brief: Brief) -> Plan {
    let mut plan = Plan::new(brief);
    assert_eq!(plan.looked(Looked::Flight), FOLLOW);
    plan
}

mod validate;

mod look {
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
        assert_eq!(
            plan.read(seen(Found::Stale(Some(Serving::OnError)), Claim::Elsewhere)),
            Step::Done(Answer::FarStale)
        );
        let mut plan = Plan::new(brief());
        plan.looked(Looked::Left { claim: true, resting: true });
        assert_eq!(plan.read(seen(Found::Nothing, Claim::Elsewhere)), Step::Look);
        assert_eq!(plan.looked(Looked::Left { claim: true, resting: true }), JOIN, "it is our own claim that is out");
    }
}

mod read {
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
        let unfenced =
            Reading::Seen { found: Found::Nothing, claim: Claim::Elsewhere, fenced: false, age: ClaimAge::New };
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
        let overdue = |found| Reading::Seen { found, claim: Claim::Elsewhere, fenced: true, age: ClaimAge::Overdue };
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
}

mod join {
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
}

mod follow {
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
}

mod load {
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
}
