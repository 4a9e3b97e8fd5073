//! Each row of the table as a test, without a thread and without a clock.

use std::time::Duration;

use super::*;
use crate::backend::{Claim, Kept, Recall};
use crate::clock::Tick;

mod follow;
mod join;
mod load;
mod look;
mod read;
mod validate;

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
