//! A call on its way: everything but waiting that the two drivers do, so that they share it.
//!
//! Each method performs one [`Step`](crate::plan::Step) of the plan, or the part of it before or after the wait, and
//! tells what came of it. [`others`](super::others) has those that have to do with other calls,
//! [`exchange`](super::exchange) those that speak with the far tier, and [`settle`](super::settle) those after the load.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::settle::{Held, Settled};
use crate::backend::Object;
use crate::board::{self, Fence, Flight, Landing, Lead, Left, Mark, Patient, Visit};
use crate::clock::Tick;
use crate::freshness::Freshness;
use crate::generation::{Born, GenerationDigest};
use crate::key::{FarKey, KeyRef};
use crate::observe::Count;
use crate::outcome::{Outcome, Sharing};
use crate::plan::{Answer, Brief, Demand, Load, Serving, Tiers};
use crate::policy::Policy;
use crate::state::{NamespaceState, RegionState, Tagged};
use crate::terms::{Ask, Conditions, Terms, Types};
use crate::wire::Wire;

/// One call that the near tier did not answer.
pub(crate) struct Call<R, O: Outcome<R>, S, W> {
    pub(super) state: Arc<RegionState>,
    pub(super) namespace: Arc<NamespaceState>,
    pub(super) keep: Conditions<O::Value>,
    pub(super) sharing: S,
    types: PhantomData<Types<R, O, W>>,
    /// The region's holds if there is none.
    pub(super) own_policy: Option<Box<Policy>>,
    /// The function's version, part of each record.
    pub(super) version: u16,
    pub(super) tiers: Tiers,
    pub(super) demand: Demand,
    /// When the call began.
    pub(super) started: Tick,
    /// The oldest proof that is good for it: earlier than `started` by its own `max_staleness` or the policy's, and by nothing
    /// for a strict call.
    pub(super) proved_from: Tick,
    pub(super) visit: Visit,
    /// The key's voids, and the generations of its scopes here, before the read or the load whose value may be put near.
    pub(super) mark: Mark,
    pub(super) born: Born,
    /// Whether the key or one of its scopes was invalidated here after the stale value in hand was asked for: it is for
    /// nobody who came since.
    pub(super) outdated: bool,
    /// What the call's tags add to the scopes of its namespace, and the generations when it came.
    pub(super) tagged: Option<Box<Tagged>>,
    /// The near value in hand: a stale one, one that is not proved, or one that was found at the second look.
    pub(super) near: Option<Arc<Object>>,
    near_stale: Option<Serving>,
    /// Whether it is a fresh copy whose proof is too old for this call: the far tier may show that it holds.
    pub(super) near_unproved: bool,
    /// The far value in hand, and how it may be served if it is stale.
    pub(super) far: Option<(Held<O::Value>, Option<Serving>)>,
    /// The instant at which the value in hand was proved.
    pub(super) proved: Tick,
    pub(super) far_key: Option<FarKey>,
    pub(super) fence: Option<Fence>,
    /// Whether the node may have given this call a claim that it was not told of.
    pub(super) claims: bool,
    /// Whether the node answered without a fence: then nothing may be stored there.
    pub(super) unfenced: bool,
    /// The digest of the generations that the load began under.
    pub(super) digest: GenerationDigest,
    /// What the verdict was given with.
    pub(super) settled: Option<Settled>,
    pub(super) lead: Option<Box<Lead>>,
    /// Whether the function runs for the flight that is led.
    loads: bool,
    pub(super) flight: Option<Arc<Flight>>,
    /// Whether the call may wait for its turn to ask far: once, before it asks for itself.
    pub(super) patient: Patient,
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
    /// A policy of its own, if it is not the region's.
    pub(crate) own_policy: Option<Box<Policy>>,
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
            && let Some(left) = self.unused_claim()
        {
            self.visit.leave(left, self.state.clock.now());
        }
        self.lose_claim();
    }
}

impl<R, O: Outcome<R>, S, W> Call<R, O, S, W> {
    pub(super) fn policy(&self) -> &Policy {
        self.own_policy.as_deref().unwrap_or(&self.state.policy)
    }

    /// What the call leaves to the next load of its process if it is dropped: the claim that it has won.
    pub(super) fn unused_claim(&self) -> Option<Left> {
        let fence = self.fence.filter(|fence| fence.won);
        let ends = self.started.after(self.policy().lease);
        fence.map(|_| Left { fence, rests_until: Tick::ZERO, ends })
    }

    /// The node's answer will not come, or nobody waits for it any more.
    pub(super) fn lose_claim(&mut self) {
        if std::mem::take(&mut self.claims) {
            self.state.lost_claims.remember(self.visit.owned_key(), self.state.clock.now());
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
        let Terms { sharing, ask, keep, max_staleness, types } = terms;
        let Subject { state, namespace, key, tiers, own_policy, version, tagged } = subject;
        let demand = match ask {
            Ask::Anew => Demand::Anew,
            _ if board::is_loading() => Demand::Fresh,
            _ => Demand::Policy,
        };
        let visit = state.board.visit(key);
        let policy = own_policy.as_deref().unwrap_or(&state.policy);
        let may_be_stale = match demand {
            Demand::Policy if tiers == Tiers::NearOverFar => max_staleness.unwrap_or(policy.max_staleness),
            _ => Duration::ZERO,
        };
        let started = state.clock.now();
        let mut call = Call {
            own_policy,
            version,
            tiers,
            demand,
            started,
            proved_from: started.before(may_be_stale),
            mark: visit.mark(),
            born: tagged.as_ref().map_or_else(|| namespace.born_now(), |tagged| tagged.came.clone()),
            outdated: false,
            tagged,
            visit,
            near: None,
            near_stale: None,
            near_unproved: false,
            far: None,
            proved: Tick::ZERO,
            far_key: None,
            fence: None,
            claims: false,
            unfenced: false,
            loads: false,
            digest: GenerationDigest::default(),
            settled: None,
            lead: None,
            flight: None,
            patient: Patient::Yes,
            reason: "absent",
            ttl: None,
            state,
            namespace,
            keep,
            sharing,
            types,
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
            near_unproved: self.near_unproved,
            proved_from: self.proved_from,
            patience: self.policy().patience,
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
            (self.near, self.near_unproved) = (found, false);
        }
        is_found
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
        // If the load is dropped or panics, whoever comes next loads under its claim.
        let claim = self.unused_claim();
        let lead = self.lead.as_mut()?;
        self.digest = self.fence.map_or(self.digest, |fence| fence.digest);
        lead.leave(claim);
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
            Answer::Followed => match self.landing() {
                Some(Landing::Value { value, .. }) => {
                    self.observe(Count::Shared);
                    value.value().downcast_ref().cloned()
                }
                _ => None,
            },
            Answer::FollowedFailure => {
                let Some(Landing::Failed(shared)) = self.landing() else { return None };
                self.observe(Count::Shared);
                return self.sharing.copy(&shared).map(O::fail);
            }
            Answer::Loaded | Answer::StaleOnError => None,
        };
        value.map(O::succeed)
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

    /// Whether a proof from `proved` is good for this call.
    fn is_proved(&self, proved: Tick) -> bool {
        self.tiers == Tiers::Near || proved > self.proved_from
    }

    /// When a proof from `proved` stops being good for near hits: never where the near tier is the only one.
    pub(super) fn proof_ends(&self, proved: Tick) -> Tick {
        if self.tiers == Tiers::Near { Tick::NEVER } else { proved.after(self.policy().max_staleness) }
    }

    /// What is kept of what comes from now on must not be older than an invalidation that comes from now on.
    pub(super) fn mark_now(&mut self) {
        let (mark, born) = (self.visit.mark(), self.born_now());
        self.outdated |= mark != self.mark || !self.born.is_current();
        (self.mark, self.born) = (mark, born);
    }

    /// The generations of the call's scopes in this process, as they are now.
    pub(super) fn born_now(&self) -> Born {
        let born = self.namespace.born_now();
        match &self.tagged {
            Some(tagged) => born.tagged(&tagged.here),
            None => born,
        }
    }

    /// The scopes whose generations come with each answer of the far tier.
    pub(super) fn scopes(&self) -> &[FarKey] {
        self.tagged.as_ref().map_or(&self.namespace.scopes, |tagged| &tagged.far)
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
        if let Some((object, serving)) = stale {
            self.proved = object.proved();
            (self.near, self.near_stale) = (Some(object), Some(serving));
        } else if self.tiers == Tiers::NearOverFar {
            self.near = unproved.filter(|object: &Arc<Object>| object.token().is_some());
            self.near_unproved = self.near.is_some();
        }
    }
}
