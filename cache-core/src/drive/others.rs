//! A call among others of its key: who leads, who waits for whom, and what is taken from them or told to them.

use super::call::Call;
use super::settle::Held;
use super::wait::{CannotWait, Wait, Waited};
use crate::backend::Object;
use crate::board::{self, Landing, LedBy, Look, Patient, Relation};
use crate::clock::Tick;
use crate::freshness::Freshness;
use crate::observe::Count;
use crate::outcome::{Outcome, Sharing};
use crate::plan::{Answer, Demand, Followed, Joined, Joining, Looked, Step, Tiers};
use crate::wire::Wire;

impl<R, O, S, W> Call<R, O, S, W>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    /// What the board shows to a call for many keys, none of which may wait for a turn while it keeps others waiting.
    pub(super) fn look(&mut self) -> Looked {
        let look = self.visit.look(self.state.clock.now());
        self.looked(look)
    }

    /// What the board shows to a call that asks far in its turn.
    pub(super) fn look_in_turn(&mut self, face: LedBy) -> Looked {
        let now = self.state.clock.now();
        let look = match (self.tiers, self.demand) {
            (Tiers::Near, _) => self.visit.look(now),
            // It must see for itself.
            (_, Demand::Anew) => self.visit.look(now),
            _ => self.visit.look_in_turn(self.patient, face, now),
        };
        self.patient = Patient::Yes;
        self.looked(look)
    }

    fn looked(&mut self, look: Look) -> Looked {
        let now = self.state.clock.now();
        match look {
            Look::Flight(flight) => {
                self.flight = Some(flight);
                Looked::Flight
            }
            Look::Asked(asked) => {
                self.flight = Some(asked);
                Looked::Asked
            }
            Look::Left(left) => Looked::Left { claim: left.fence.is_some(), resting: now < left.rests_until },
            Look::Clear => Looked::Clear,
        }
    }

    pub(super) fn join(&mut self, joining: Joining, led_by: LedBy) -> Joined {
        let now = self.state.clock.now();
        let joined = match (joining, &self.flight) {
            (Joining::Overtaking, Some(flight)) => self.visit.overtake(flight, led_by, now),
            _ => self.visit.join(led_by, now),
        };
        match joined {
            board::Joined::Leads(mut lead) => {
                self.mark_now();
                // A claim of one's own is newer than what was left.
                let inherited = lead.inherited().filter(|_| self.fence.is_none_or(|fence| !fence.won));
                if inherited.is_some() {
                    self.fence = inherited;
                    // Nothing was read far, but the value will be stored there.
                    self.find_far_key();
                }
                // Until the load begins too: there may be a wait before it.
                lead.leave(self.unused_claim());
                self.flight = Some(lead.flight().clone());
                self.lead = Some(lead);
                Joined::Leads { inherited: inherited.map(|fence| fence.kept) }
            }
            board::Joined::Follows(flight) => {
                self.flight = Some(flight);
                Joined::Follows
            }
        }
    }

    /// The wait for the flight in hand, if it can end.
    #[allow(
        clippy::wrong_self_convention,
        reason = "`to_..` is what a step sends or waits for, here and in `exchange`"
    )]
    pub(super) fn to_follow(&mut self, face: LedBy) -> Waited<Wait> {
        let flight = self.flight.as_ref().ok_or(CannotWait::WouldNotEnd)?;
        match board::relation(flight, face) {
            Relation::Other(seen) => {
                self.observe(Count::Wait);
                Ok(Wait::new(flight, seen))
            }
            Relation::WouldNotEnd => Err(CannotWait::WouldNotEnd),
        }
    }

    /// The flight ended with this landing, or did not end in time, or could not be waited for.
    pub(super) fn followed(&mut self, landing: Waited<Option<Landing>>) -> Followed {
        let began = self.flight.as_ref().map_or(Tick::ZERO, |flight| flight.began());
        let landing = match landing {
            Ok(Some(landing)) => landing,
            Ok(None) => {
                self.observe(Count::PatienceSpent);
                return Followed::PatienceSpent;
            }
            Err(cannot) => {
                self.cannot_wait(cannot);
                return Followed::Unusable;
            }
        };
        match &landing {
            Landing::Begun(flight) => {
                self.flight = Some(flight.clone());
                Followed::Begun
            }
            Landing::Value { value, .. } if !value.value().is::<O::Value>() => {
                self.other_type();
                Followed::Unusable
            }
            // A tag ends without a word to the board: its flights are there to be followed by those who come later.
            Landing::Value { value, .. } if !self.is_of_my_time(value) => Followed::Abandoned,
            // What stands in for a failed load was stale when that began: it is no part of another value, and not new.
            Landing::Value { value, .. } if self.demand != Demand::Policy && value.judge(began) != Freshness::Fresh => {
                Followed::Abandoned
            }
            Landing::Value { proved, .. } => Followed::Value { began, proved: *proved },
            Landing::Failed(_) => Followed::Failed { began },
            Landing::FailedAlone => Followed::FailedAlone,
            Landing::Abandoned => {
                // Who asked for all has nothing to tell.
                self.patient = Patient::No;
                Followed::Abandoned
            }
        }
    }

    /// How the wait for the flight in hand ends, if it is over by now: it lasts `until` then at the most.
    pub(super) fn end_of_wait(&mut self, until: Tick, face: LedBy) -> Option<Followed> {
        let flight = self.flight.clone()?;
        if matches!(board::relation(&flight, face), Relation::WouldNotEnd) {
            return Some(self.followed(Err(CannotWait::WouldNotEnd)));
        }
        let landing = flight.landing();
        let is_over = landing.is_some() || until <= self.state.clock.now();
        is_over.then(|| {
            self.observe(Count::Wait);
            self.followed(Ok(landing))
        })
    }

    /// The call waited for a load of another process. Without a timer it waits no more.
    pub(super) fn paused(&self, paused: Waited<()>) -> Tick {
        match paused {
            Ok(()) => {
                self.observe(Count::Pause);
                self.state.clock.now()
            }
            Err(cannot) => {
                self.cannot_wait(cannot);
                Tick::NEVER
            }
        }
    }

    /// After a pause: any step but another look far means that the wait was long enough.
    pub(super) fn observe_patience(&self, next: Step) {
        if !matches!(next, Step::Read(_)) {
            self.observe(Count::PatienceSpent);
        }
    }

    fn cannot_wait(&self, cannot: CannotWait) {
        if cannot == CannotWait::WouldNotEnd {
            return;
        }
        let advice = "misses that must wait run unshared; enter a tokio runtime that has its timer enabled";
        self.state.complain(
            "no_timer",
            "",
            format_args!("a cached async function runs where there is no timer: {advice}"),
        );
    }

    /// Tells those for whom this call has asked what it found, if that is fresh. Others see for themselves.
    pub(super) fn tell(&mut self, answer: Answer) {
        if !self.visit.is_awaited() {
            return;
        }
        let landing = match (answer, &self.near) {
            (Answer::Validated, Some(object)) => Landing::Value { value: object.clone(), proved: object.proved() },
            (Answer::Followed, _) => match self.landing() {
                Some(landing @ Landing::Value { .. }) => landing,
                _ => return,
            },
            (Answer::Far, _) => {
                let Some((held, serving)) = self.far.take() else { return };
                let object = match held {
                    Held::Shared(object) => object,
                    Held::Own(value) => self.object_to_share(value),
                };
                self.far = Some((Held::Shared(object.clone()), serving));
                Landing::Value { value: object, proved: self.proved }
            }
            _ => return,
        };
        self.visit.answer(landing);
    }

    /// How the flight in hand ended, if it has.
    pub(super) fn landing(&self) -> Option<Landing> {
        self.flight.as_ref().and_then(|flight| flight.landing())
    }

    /// Whether no tag of the call was invalidated in this process between the value's load and the call.
    pub(super) fn is_of_my_time(&self, object: &Object) -> bool {
        self.tagged.as_ref().is_none_or(|tagged| object.born().has_tags_no_older_than(&tagged.came))
    }
}
