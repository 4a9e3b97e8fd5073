//! The plan of one call for one key.

use std::time::Duration;

use super::step::{
    Answer, Brief, ClaimAge, Demand, Followed, Found, Joined, Joining, Land, Load, Loaded, Looked, Reading, Serving,
    Step, Tiers, Validated, Verdict,
};
use crate::backend::{Claim, Kept, Recall};
use crate::clock::Tick;

/// A pause is a share of the time waited so far: what is loaded elsewhere is seen late by no more than that share.
const PAUSES: Pauses = Pauses { shortest: Duration::from_millis(1), longest: Duration::from_millis(250), share: 4 };

struct Pauses {
    shortest: Duration,
    longest: Duration,
    share: u32,
}

/// Claims that are taken before a call waits instead.
const TAKES: u8 = 2;

/// The state of one call.
#[derive(Debug)]
pub struct Plan {
    brief: Brief,
    claim: Hold,
    then: Then,
    /// Whether the board said that the source has just failed.
    resting: bool,
    /// Whether the near copy has been asked about.
    validated: bool,
    /// Whether the call waits for one who asks for many.
    in_turn: bool,
    /// Whether a node's own generations have been asked for.
    asked: bool,
    /// Whether a stale value was read again that had come without a claim.
    reread: bool,
    /// Whether the call leads already, and reads only to have the stale value in hand if its load fails.
    leads: bool,
    takes: u8,
    failures: u8,
    spent: u8,
    waiting_since: Option<Tick>,
    waited: Duration,
}

/// What the call may write far with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Nothing.
    Nothing,
    /// A fence, whose claim is nobody's or another's.
    Fence,
    /// A claim of its own.
    Claim(Kept),
}

/// What comes after the step in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Read,
    Wait,
    Join,
    Follow,
    Land(Land),
    LandDiscarded,
    LandUnstored,
}

impl Plan {
    /// The plan of a call.
    pub fn new(brief: Brief) -> Self {
        Plan {
            brief,
            claim: Hold::Nothing,
            then: Then::Read,
            resting: false,
            validated: false,
            in_turn: false,
            asked: false,
            reread: false,
            leads: false,
            takes: 0,
            failures: 0,
            spent: 0,
            waiting_since: None,
            waited: Duration::ZERO,
        }
    }

    /// The first step.
    pub fn begin(&mut self) -> Step {
        self.restart()
    }

    /// Answers [`Step::Look`].
    pub fn looked(&mut self, looked: Looked) -> Step {
        self.resting |= matches!(looked, Looked::Left { resting: true, .. });
        let serves = self.may_serve(self.brief.near_stale);
        match (looked, self.then) {
            (Looked::Flight | Looked::Asked | Looked::Left { resting: true, .. }, _) if serves => {
                Step::Done(Answer::NearStale)
            }
            (Looked::Flight, _) => self.follow(),
            (Looked::Asked, _) => {
                self.in_turn = true;
                self.follow()
            }
            (Looked::Left { claim: true, .. }, _) if !self.resting => Step::Join(Joining::Normally),
            (Looked::Left { claim: true, .. }, Then::Wait) => Step::Join(Joining::Normally),
            (_, Then::Wait) => self.pause(),
            _ if self.brief.tiers == Tiers::Near => Step::Join(Joining::Normally),
            _ if self.may_validate() => Step::Validate,
            _ => Step::Read(Recall::Allowed),
        }
    }

    /// Answers [`Step::Validate`].
    pub fn validated(&mut self, validated: Validated) -> Step {
        self.validated = true;
        match validated {
            Validated::Holds => Step::Done(Answer::Validated),
            Validated::Changed => Step::Read(Recall::Allowed),
            Validated::Failed => Step::Join(Joining::Normally),
        }
    }

    /// Answers [`Step::Read`] and [`Step::Take`].
    pub fn read(&mut self, reading: Reading) -> Step {
        // The claim that was inherited stays: if it has ended meanwhile, the fill will be refused.
        if std::mem::take(&mut self.leads) {
            return Step::Load(Load::Shared);
        }
        let Reading::Seen { found, claim, fenced, age } = reading else {
            self.claim = Hold::Nothing;
            return Step::Join(Joining::Normally);
        };
        let kept = match found {
            Found::Fresh if self.brief.demand != Demand::Anew => return Step::Done(Answer::Far),
            Found::Doubtful if !self.asked => {
                self.asked = true;
                return Step::Read(Recall::Never);
            }
            Found::HigherVersion => return self.leave_alone(claim),
            Found::Fresh | Found::Stale(_) => Kept::Stale,
            Found::Nothing => Kept::Stub,
            Found::Dead | Found::Doubtful => Kept::Dead,
        };
        self.claim = match claim {
            _ if !fenced => Hold::Nothing,
            Claim::Won => Hold::Claim(kept),
            Claim::Elsewhere | Claim::Nobody => Hold::Fence,
        };
        let takes = fenced && self.takes < TAKES;
        match (claim, found) {
            // Before it is served: a claim on a stale value ends by itself only with the value.
            (Claim::Elsewhere, _) if age == ClaimAge::Ownerless && takes => self.take(kept),
            (Claim::Elsewhere, Found::Stale(serving)) if self.may_serve_beside(serving, age) => {
                Step::Done(Answer::FarStale)
            }
            // Where the node gives no fence, nobody can store what they wait for.
            (Claim::Elsewhere, _) if !fenced => Step::Join(Joining::Normally),
            (Claim::Elsewhere, _) => self.wait(),
            // A node that looked for a claim before a second of its clock ended, and at its clock after that, gives none on
            // what has just become stale. Its next answer does.
            (Claim::Nobody, Found::Stale(_)) if fenced && !self.reread => {
                self.reread = true;
                Step::Read(Recall::Allowed)
            }
            (Claim::Nobody, Found::Stale(_) | Found::Dead | Found::Doubtful) if takes => self.take(kept),
            (Claim::Won | Claim::Nobody, _) => Step::Join(Joining::Normally),
        }
    }

    /// Answers [`Step::Join`].
    pub fn joined(&mut self, joined: Joined) -> Step {
        match (joined, self.claim) {
            (Joined::Follows, Hold::Claim(_)) => self.hand_back(Then::Follow),
            (Joined::Follows, _) => self.follow(),
            (Joined::Leads { .. }, Hold::Claim(_)) => Step::Load(Load::Shared),
            (Joined::Leads { inherited }, _) => {
                if let Some(kept) = inherited {
                    self.claim = Hold::Claim(kept);
                }
                if inherited == Some(Kept::Stale) && self.brief.near_stale.is_none() {
                    self.leads = true;
                    return Step::Read(Recall::Allowed);
                }
                let again = self.brief.tiers != Tiers::Far && self.brief.demand != Demand::Anew;
                if again { Step::LookAgain } else { Step::Load(Load::Shared) }
            }
        }
    }

    /// Answers [`Step::LookAgain`]: whether a fresh value is near.
    pub fn looked_again(&mut self, found: bool) -> Step {
        match (found, self.claim) {
            (false, _) => Step::Load(Load::Shared),
            (true, Hold::Claim(_)) => self.hand_back(Then::Land(Land::Found)),
            (true, _) => Step::Land(Land::Found),
        }
    }

    /// Answers [`Step::Follow`].
    pub fn followed(&mut self, followed: Followed) -> Step {
        let Brief { started, demand, mut proved_from, .. } = self.brief;
        // An invalidation voids no turn, as it does a flight: what was asked for before the call came may have been
        // invalidated here since, and nobody's own writes are stale to himself.
        if followed != Followed::Begun && std::mem::take(&mut self.in_turn) {
            proved_from = started;
        }
        match followed {
            // R1; and whoever loads anew shares no load that began before.
            Followed::Value { began, proved } => {
                let enough = if demand == Demand::Anew { began >= started } else { proved >= proved_from };
                if enough { Step::Done(Answer::Followed) } else { self.restart() }
            }
            Followed::Failed { began } if demand == Demand::Anew && began < started => self.restart(),
            Followed::Failed { .. } => Step::Done(Answer::FollowedFailure),
            Followed::FailedAlone => {
                self.failures += 1;
                if self.failures > 1 { Step::Load(Load::Alone) } else { self.restart() }
            }
            Followed::Abandoned => self.restart(),
            Followed::Begun => self.follow(),
            Followed::PatienceSpent => self.patience_spent(Joining::Overtaking),
            Followed::Unusable => Step::Load(Load::Alone),
        }
    }

    /// Answers [`Step::Pause`].
    pub fn paused(&mut self, now: Tick) -> Step {
        let since = *self.waiting_since.get_or_insert(now);
        self.waited = now.since(since);
        // Never is the answer of a driver that cannot wait: there is no patience to be spent.
        if self.waited < self.brief.patience && now < Tick::NEVER {
            return Step::Read(Recall::Allowed);
        }
        (self.waiting_since, self.waited) = (None, Duration::ZERO);
        self.patience_spent(Joining::Normally)
    }

    /// Answers [`Step::Load`].
    pub fn loaded(&mut self, load: Load, loaded: Loaded) -> Step {
        if load == Load::Alone {
            return Step::Done(Answer::Loaded);
        }
        match (loaded, self.claim) {
            (Loaded::Keep, Hold::Nothing) if self.brief.tiers == Tiers::Near => Step::Land(Land::Local),
            // R3: no fence, not stored far.
            (Loaded::Keep, Hold::Nothing) => Step::Land(Land::Unproved),
            (Loaded::Keep, Hold::Fence | Hold::Claim(_)) => Step::Fill,
            (Loaded::Discard, Hold::Claim(_)) => self.hand_back(Then::LandDiscarded),
            (Loaded::Discard, _) => Step::Land(Land::Discarded(Verdict::Unknown)),
            // The claim is kept while the source rests; see the board's `Left`.
            (Loaded::Failed(Some(_)), _) if self.brief.demand == Demand::Policy => Step::Land(Land::StaleOnError),
            (Loaded::Failed(_), Hold::Claim(_)) => self.hand_back(Then::Land(Land::Failed)),
            (Loaded::Failed(_), _) => Step::Land(Land::Failed),
        }
    }

    /// Answers [`Step::Fill`] and [`Step::HandBack`].
    pub fn settled(&mut self, verdict: Verdict) -> Step {
        let held = std::mem::replace(&mut self.claim, Hold::Nothing);
        let then = std::mem::replace(&mut self.then, Then::Read);
        match (then, verdict, held) {
            // Only a fill is left unsent. It leaves the claim, if there is one, to be handed back.
            (_, Verdict::Unsent, Hold::Claim(kept)) => {
                self.claim = Hold::Claim(kept);
                self.hand_back(Then::LandUnstored)
            }
            (_, Verdict::Unsent, _) => Step::Land(Land::Unproved),
            (Then::Join, ..) => Step::Join(Joining::Normally),
            (Then::Follow, ..) => self.follow(),
            (Then::Land(land), ..) => Step::Land(land),
            (Then::LandDiscarded, verdict, _) => Step::Land(Land::Discarded(verdict)),
            (Then::LandUnstored, Verdict::Held, _) => Step::Land(Land::HeldUnstored),
            (Then::Read | Then::Wait, Verdict::Held, _) => Step::Land(Land::Held),
            (_, Verdict::Lost, _) => Step::Land(Land::Lost),
            (_, Verdict::Unknown, _) => Step::Land(Land::Unproved),
        }
    }

    /// Answers [`Step::Land`].
    pub fn landed(&mut self, land: Land) -> Step {
        Step::Done(match land {
            Land::Found => Answer::Near,
            Land::StaleOnError => Answer::StaleOnError,
            _ => Answer::Loaded,
        })
    }

    /// From the start, with nothing in hand: the next group.
    fn restart(&mut self) -> Step {
        self.claim = Hold::Nothing;
        self.then = Then::Read;
        Step::Look
    }

    fn follow(&mut self) -> Step {
        Step::Follow(self.brief.patience)
    }

    fn take(&mut self, kept: Kept) -> Step {
        self.takes += 1;
        Step::Take(kept)
    }

    /// Somebody else loads: in this process, or in another one.
    fn wait(&mut self) -> Step {
        self.then = Then::Wait;
        Step::Look
    }

    fn pause(&mut self) -> Step {
        self.then = Then::Read;
        let Pauses { shortest, longest, share } = PAUSES;
        Step::Pause((self.waited / share).clamp(shortest, longest))
    }

    fn hand_back(&mut self, then: Then) -> Step {
        self.then = then;
        Step::HandBack
    }

    /// A record that a newer version of the function made: loaded for this process only, and not overwritten.
    fn leave_alone(&mut self, claim: Claim) -> Step {
        if claim == Claim::Won {
            self.claim = Hold::Claim(Kept::Stale);
            return self.hand_back(Then::Join);
        }
        self.claim = Hold::Nothing;
        Step::Join(Joining::Normally)
    }

    fn patience_spent(&mut self, joining: Joining) -> Step {
        self.spent += 1;
        if self.spent > 1 { Step::Load(Load::Alone) } else { Step::Join(joining) }
    }

    fn may_validate(&self) -> bool {
        self.brief.near_unproved && !self.validated && self.brief.demand != Demand::Anew
    }

    /// Whether a stale value may be served while another process has its claim. One that has had it for a while has
    /// failed, or its source is as good as down: nobody waits for it any longer.
    fn may_serve_beside(&self, serving: Option<Serving>, age: ClaimAge) -> bool {
        let as_on_error = age != ClaimAge::New && serving == Some(Serving::OnError);
        self.may_serve(serving) || (as_on_error && self.brief.demand == Demand::Policy)
    }

    fn may_serve(&self, serving: Option<Serving>) -> bool {
        self.brief.demand == Demand::Policy
            && match serving {
                Some(Serving::WhileRevalidating) => true,
                Some(Serving::OnError) => self.resting,
                None => false,
            }
    }
}
