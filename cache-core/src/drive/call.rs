//! A call on its way: everything but waiting that the two drivers do, so that they share it.
//!
//! Each method performs one [`Step`](crate::plan::Step) of the plan, or the part of it before or after the wait, and
//! tells what came of it. [`exchange`](super::exchange) has those that speak with the far tier, and
//! [`settle`](super::settle) those after the load.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::settle::{Held, Settled};
use super::wait::NoTimer;
use crate::backend::Object;
use crate::board::{self, Fence, Flight, Landing, Lead, LedBy, Left, Look, Mark, Patient, Relation, Visit, WaitsFor};
use crate::clock::Tick;
use crate::freshness::Freshness;
use crate::generation::{Born, GenerationDigest};
use crate::key::{FarKey, KeyRef};
use crate::observe::Count;
use crate::outcome::{Outcome, Sharing};
use crate::plan::{Answer, Brief, Demand, Followed, Joined, Joining, Load, Looked, Serving, Step, Tiers};
use crate::policy::Policy;
use crate::state::{NamespaceState, RegionState, Tagged};
use crate::terms::{Ask, Terms};
use crate::wire::Wire;

/// One call that the near tier did not answer.
pub(crate) struct Call<R, O: Outcome<R>, S, W> {
    pub(super) state: Arc<RegionState>,
    pub(super) namespace: Arc<NamespaceState>,
    pub(super) terms: Terms<R, O, S, W>,
    pub(super) policy: Policy,
    /// The function's version, part of each record.
    pub(super) version: u16,
    pub(super) tiers: Tiers,
    pub(super) demand: Demand,
    /// How long before the call began a proof may lie: its own `max_staleness`, the policy's, or nothing for a strict call.
    pub(super) may_be_stale: Duration,
    /// When the call began.
    pub(super) started: Tick,
    pub(super) visit: Visit,
    /// The key's voids, and the generations of its scopes here, before the read or the load whose value may be put near.
    pub(super) mark: Mark,
    pub(super) born: Born,
    /// Whether the key or one of its scopes was invalidated here after the stale value in hand was asked for: it is for
    /// nobody who came since.
    pub(super) outdated: bool,
    /// What the call's tags add to the scopes of its namespace, and the generations when it came.
    tagged: Option<(Box<Tagged>, Born)>,
    /// The near value in hand: a stale one, or one that was found at the second look.
    pub(super) near: Option<Arc<Object>>,
    near_stale: Option<Serving>,
    /// A fresh near copy whose proof is too old for this call: the far tier may show that it holds.
    pub(super) near_unproved: Option<Arc<Object>>,
    /// The far value in hand, and how it may be served if it is stale.
    pub(super) far: Option<(Held<O::Value>, Option<Serving>)>,
    /// The instant at which the value in hand was proved.
    pub(super) proved: Tick,
    pub(super) far_key: Option<FarKey>,
    pub(super) fence: Option<Fence>,
    /// Whether the node answered without a fence: then nothing may be stored there.
    pub(super) unfenced: bool,
    /// The digest of the generations that the load began under.
    pub(super) digest: GenerationDigest,
    /// What the verdict was given with.
    pub(super) settled: Option<Settled>,
    pub(super) lead: Option<Lead>,
    /// Whether the function runs for the flight that is led.
    loads: bool,
    flight: Option<Arc<Flight>>,
    landing: Option<Landing>,
    /// Whether the call may wait for its turn to ask far: once, before it asks for itself.
    patient: Patient,
    /// Why the call finds nothing to serve.
    pub(super) reason: &'static str,
    /// How long the loaded value is kept.
    pub(super) ttl: Option<Duration>,
}

/// What is asked for, and on what terms that the types do not tell.
pub(crate) struct Subject<'a> {
    pub(crate) state: Arc<RegionState>,
    pub(crate) namespace: Arc<NamespaceState>,
    pub(crate) key: KeyRef<'a>,
    /// The region's that the values can be in, of which there is at least one.
    pub(crate) tiers: Tiers,
    pub(crate) policy: Policy,
    /// The function's version.
    pub(crate) version: u16,
    pub(crate) tagged: Option<Box<Tagged>>,
}

impl<R, O: Outcome<R>, S, W> Drop for Call<R, O, S, W> {
    /// The caller panicked or was dropped, if anything is left to do.
    fn drop(&mut self) {
        if self.loads && self.lead.is_some() {
            self.state.observe(&self.namespace, Count::LoadAbandoned, None);
        }
        // A lead leaves its claim by itself; so does a call that was dropped before it led, or while it stored or gave back.
        if self.lead.is_none()
            && let Some(left) = unused_claim(self.fence, self.started.after(self.policy.lease))
        {
            self.visit.leave(left, self.state.clock.now());
        }
    }
}

impl<R, O, S, W> Call<R, O, S, W>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    /// Begins the call.
    pub(crate) fn begin(subject: Subject<'_>, terms: Terms<R, O, S, W>) -> Self {
        let Subject { state, namespace, key, tiers, policy, version, tagged } = subject;
        let demand = match terms.ask {
            Ask::Anew => Demand::Anew,
            _ if board::is_loading() => Demand::Fresh,
            _ => Demand::Policy,
        };
        let visit = state.board.visit(key);
        let tagged = tagged.map(|tagged| {
            let came = Born::now(&namespace.generation).tagged(&tagged.here);
            (tagged, came)
        });
        let mut call = Call {
            may_be_stale: match demand {
                Demand::Policy if tiers == Tiers::NearOverFar => terms.max_staleness.unwrap_or(policy.max_staleness),
                _ => Duration::ZERO,
            },
            policy,
            version,
            tiers,
            demand,
            started: state.clock.now(),
            mark: visit.mark(),
            born: tagged.as_ref().map_or_else(|| Born::now(&namespace.generation), |(_, came)| came.clone()),
            outdated: false,
            tagged,
            visit,
            near: None,
            near_stale: None,
            near_unproved: None,
            far: None,
            proved: Tick::ZERO,
            far_key: None,
            fence: None,
            unfenced: false,
            loads: false,
            digest: GenerationDigest::default(),
            settled: None,
            lead: None,
            flight: None,
            landing: None,
            patient: Patient::Yes,
            reason: "absent",
            ttl: None,
            state,
            namespace,
            terms,
        };
        call.see_near();
        call
    }

    /// What the plan must know.
    pub(super) fn brief(&self) -> Brief {
        Brief {
            started: self.started,
            demand: self.demand,
            tiers: self.tiers,
            near_stale: self.near_stale,
            near_unproved: self.near_unproved.is_some(),
            max_staleness: self.may_be_stale,
            patience: self.policy.patience,
        }
    }

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
                lead.leave(unused_claim(self.fence, self.started.after(self.policy.lease)));
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

    pub(super) fn look_again(&mut self) -> bool {
        let Some(near) = &self.state.near else { return false };
        let (now, mut found) = (self.state.clock.now(), None);
        near.visit(self.visit.key(), &mut |object| {
            let proved = self.is_proved(object.proved());
            let fresh = object.judge(now) == Freshness::Fresh;
            if fresh && proved && object.is_current() && object.value().is::<O::Value>() {
                found = Some(object.clone());
            }
        });
        let is_found = found.is_some();
        if is_found {
            self.near = found;
        }
        is_found
    }

    /// The flight that is to be waited for, if waiting for it can end; and the mark that others see meanwhile.
    #[allow(
        clippy::wrong_self_convention,
        reason = "`to_..` is what a step sends or waits for, here and in `exchange`"
    )]
    pub(super) fn to_follow(&mut self, face: LedBy) -> Option<(Arc<Flight>, WaitsFor)> {
        let flight = self.flight.clone()?;
        match board::relation(&flight, face) {
            Relation::Other(waits) => {
                self.observe(Count::Wait);
                Some((flight, waits))
            }
            Relation::WouldNotEnd => None,
        }
    }

    /// The flight ended with this landing, or did not end in time, or could not be waited for.
    pub(super) fn followed(&mut self, landing: Result<Option<Landing>, NoTimer>) -> Followed {
        let began = self.flight.as_ref().map_or(Tick::ZERO, |flight| flight.began());
        let landing = match landing {
            Ok(Some(landing)) => landing,
            Ok(None) => {
                self.observe(Count::PatienceSpent);
                return Followed::PatienceSpent;
            }
            Err(NoTimer) => {
                self.no_timer();
                return Followed::Unusable;
            }
        };
        let followed = match &landing {
            Landing::Begun(flight) => {
                self.flight = Some(flight.clone());
                return Followed::Begun;
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
        };
        self.landing = Some(landing);
        followed
    }

    /// How the wait for the flight in hand ends, if it is over by now: it lasts `until` then at the most.
    pub(super) fn end_of_wait(&mut self, until: Tick, face: LedBy) -> Option<Followed> {
        let flight = self.flight.clone()?;
        if matches!(board::relation(&flight, face), Relation::WouldNotEnd) {
            return Some(self.would_not_end());
        }
        let landing = flight.landing();
        let is_over = landing.is_some() || until <= self.state.clock.now();
        is_over.then(|| {
            self.observe(Count::Wait);
            self.followed(Ok(landing))
        })
    }

    /// A load is about to run. The flight that it belongs to, if it is anybody else's concern.
    pub(super) fn before_load(&mut self, load: Load) -> Option<Arc<Flight>> {
        self.state.miss(&self.namespace, self.reason);
        if load == Load::Alone {
            self.observe(Count::Alone);
            return None;
        }
        self.observe(Count::Load);
        self.loads = true;
        let lead = self.lead.as_mut()?;
        // If the load is dropped or panics, whoever comes next loads under its claim.
        self.digest = self.fence.map_or(self.digest, |fence| fence.digest);
        lead.leave(unused_claim(self.fence, self.started.after(self.policy.lease)));
        Some(lead.flight().clone())
    }

    /// The result of a call that ran nothing itself; `None` if it must, after all.
    pub(super) fn found(&mut self, answer: Answer) -> Option<R> {
        self.tell(answer);
        let value = match answer {
            Answer::Near => self.near_value(Count::Shared),
            Answer::Validated => self.near_value(Count::Validated),
            Answer::NearStale => self.near_value(Count::StaleHit),
            Answer::Far => self.far_value(Count::FarHit),
            Answer::FarStale => self.far_value(Count::StaleHit),
            Answer::Followed => match self.landing.take() {
                Some(Landing::Value { value, .. }) => {
                    self.observe(Count::Shared);
                    value.value().downcast_ref().cloned()
                }
                _ => None,
            },
            Answer::FollowedFailure => {
                let Some(Landing::Failed(shared)) = self.landing.take() else { return None };
                self.observe(Count::Shared);
                return self.terms.sharing.copy(&shared).map(O::fail);
            }
            Answer::Loaded | Answer::StaleOnError => None,
        };
        value.map(O::succeed)
    }

    /// Tells those for whom this call has asked what it found, if that is fresh. Others see for themselves.
    fn tell(&mut self, answer: Answer) {
        if !self.visit.is_awaited() {
            return;
        }
        let (value, proved) = match (answer, &self.near, &self.landing) {
            (Answer::Validated, Some(object), _) => (object.clone(), object.proved()),
            (Answer::Followed, _, Some(Landing::Value { value, proved })) => (value.clone(), *proved),
            (Answer::Far, ..) => {
                let Some((held, serving)) = self.far.take() else { return };
                let object = match held {
                    Held::Shared(object) => object,
                    Held::Own(value) => self.object_to_share(value),
                };
                self.far = Some((Held::Shared(object.clone()), serving));
                (object as Arc<Object>, self.proved)
            }
            _ => return,
        };
        self.visit.answer(Landing::Value { value, proved });
    }

    /// The stale value in hand, for a load that failed.
    pub(super) fn stale_value(&mut self) -> Option<O::Value> {
        if self.far.is_some() { self.far_value(Count::StaleHit) } else { self.near_value(Count::StaleHit) }
    }

    /// How the stale value in hand may be served.
    pub(super) fn stale_serving(&self) -> Option<Serving> {
        self.far.as_ref().map_or(self.near_stale, |(_, serving)| *serving)
    }

    pub(super) fn observe(&self, what: Count) {
        self.state.observe(&self.namespace, what, None);
    }

    /// Whether no tag of the call was invalidated in this process between the value's load and the call.
    fn is_of_my_time(&self, object: &Object) -> bool {
        self.tagged.as_ref().is_none_or(|(_, came)| object.born().has_tags_no_older_than(came))
    }

    /// Whether a proof from `proved` is good for this call.
    fn is_proved(&self, proved: Tick) -> bool {
        self.tiers == Tiers::Near || proved.after(self.may_be_stale) > self.started
    }

    /// When a proof from `proved` stops being good for near hits: never where the near tier is the only one.
    pub(super) fn proof_ends(&self, proved: Tick) -> Tick {
        if self.tiers == Tiers::Near { Tick::NEVER } else { proved.after(self.policy.max_staleness) }
    }

    /// The flight cannot end before this call does.
    pub(super) fn would_not_end(&self) -> Followed {
        Followed::Unusable
    }

    /// The call waited for a load of another process. Without a timer it waits no more.
    pub(super) fn paused(&self, paused: Result<(), NoTimer>) -> Tick {
        match paused {
            Ok(()) => {
                self.observe(Count::Pause);
                self.state.clock.now()
            }
            Err(NoTimer) => {
                self.no_timer();
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

    fn no_timer(&self) {
        let advice = "misses that must wait run unshared; enter a tokio runtime that has its timer enabled";
        self.state.complain(
            "no_timer",
            "",
            format_args!("a cached async function runs where there is no timer: {advice}"),
        );
    }

    /// What is kept of what comes from now on must not be older than an invalidation that comes from now on.
    pub(super) fn mark_now(&mut self) {
        let (mark, born) = (self.visit.mark(), self.born_now());
        self.outdated |= mark != self.mark || !self.born.is_current();
        (self.mark, self.born) = (mark, born);
    }

    /// The generations of the call's scopes in this process, as they are now.
    pub(super) fn born_now(&self) -> Born {
        let born = Born::now(&self.namespace.generation);
        match &self.tagged {
            Some((tagged, _)) => born.tagged(&tagged.here),
            None => born,
        }
    }

    /// The scopes whose generations come with each answer of the far tier.
    pub(super) fn scopes(&self) -> &[FarKey] {
        self.tagged.as_ref().map_or(&self.namespace.scopes, |(tagged, _)| &tagged.far)
    }

    /// Nobody else holds the value through this call any more.
    pub(super) fn forget_flight(&mut self) {
        (self.flight, self.landing) = (None, None);
    }

    pub(super) fn key(&self) -> KeyRef<'_> {
        self.visit.key()
    }

    /// A value of another type stands under the key.
    pub(super) fn other_type(&self) {
        self.observe(Count::OtherType);
        self.state.complain_of_types(&self.namespace);
    }

    fn near_value(&mut self, count: Count) -> Option<O::Value> {
        let object = self.near.take()?;
        self.observe(count);
        object.value().downcast_ref().cloned()
    }

    fn far_value(&mut self, count: Count) -> Option<O::Value> {
        let (held, _) = self.far.take()?;
        self.observe(count);
        Some(held.into_value())
    }

    /// Takes the near value in hand if it may be of use, and notes why it could not be served at once.
    fn see_near(&mut self) {
        let Some(near) = &self.state.near else { return };
        let (mut reason, mut stale, mut unproved) = ("absent", None, None);
        near.visit(self.visit.key(), &mut |object| {
            let freshness = object.judge(self.started);
            let serving = match freshness {
                Freshness::Fresh => None,
                Freshness::Stale => Some(Serving::WhileRevalidating),
                Freshness::StaleIfError => Some(Serving::OnError),
                Freshness::Dead => None,
            };
            // R1: stale is a matter of age; a stale value must be proved like a fresh one.
            let proved = self.is_proved(object.proved());
            reason = match () {
                () if !object.is_current() => "invalidated",
                () if !(object.value() as &dyn Any).is::<O::Value>() => "other_type",
                () if !proved => "unproved",
                () => "expired",
            };
            match serving {
                Some(serving) if reason == "expired" => stale = Some((object.clone(), serving)),
                None if reason == "unproved" && freshness == Freshness::Fresh => unproved = Some(object.clone()),
                _ => {}
            }
        });
        if reason == "other_type" {
            self.other_type();
        }
        self.reason = if self.demand == Demand::Anew { "forced" } else { reason };
        self.near_unproved = unproved.filter(|object| self.tiers == Tiers::NearOverFar && object.token().is_some());
        if let Some((object, serving)) = stale {
            self.proved = object.proved();
            (self.near, self.near_stale) = (Some(object), Some(serving));
        }
    }
}

/// What a call leaves to the next load of its process if it is dropped: the claim that it has won, until it `ends`.
fn unused_claim(fence: Option<Fence>, ends: Tick) -> Option<Left> {
    let fence = fence.filter(|fence| fence.won);
    fence.map(|_| Left { fence, rests_until: Tick::ZERO, ends })
}
