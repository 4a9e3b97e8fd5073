//! What a call does with the result of its load: what is kept, for whom, and with what proof.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use super::call::Call;
use crate::backend::{Object, Stamp, Token};
use crate::board::{Landing, Lead, Left, Standing};
use crate::clock::Tick;
use crate::freshness::Deadlines;
use crate::observe::Count;
use crate::outcome::{Outcome, Sharing};
use crate::plan::{Answer, Land, Loaded, Tiers, Verdict};
use crate::wire::Wire;

/// What a load came to: a value that others may hold too, or a failure.
pub(crate) type Own<R, O> = Result<Held<<O as Outcome<R>>::Value>, <O as Outcome<R>>::Failure>;

/// A value that the caller will get, and that others may hold too.
pub(crate) enum Held<V> {
    /// The caller's alone.
    Own(V),
    /// Shared with the near tier or with followers.
    Shared(Arc<Object<V>>),
}

impl<V> Held<V> {
    /// The value, by reference.
    pub(crate) fn value(&self) -> &V {
        match self {
            Held::Own(value) => value,
            Held::Shared(object) => object.value(),
        }
    }
}

impl<V: Clone> Held<V> {
    /// The value, cloned only if somebody else still holds it.
    pub(crate) fn into_value(self) -> V {
        match self {
            Held::Own(value) => value,
            Held::Shared(object) => match Arc::try_unwrap(object) {
                Ok(object) => object.into_value(),
                Err(object) => object.value().clone(),
            },
        }
    }
}

/// What a held verdict was given with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    pub(super) proved: Tick,
    pub(super) token: Option<Token>,
}

impl<R, O, S, W> Call<R, O, S, W>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    /// The load is over, with `result`.
    pub(super) fn loaded(&mut self, result: R) -> (Loaded, Own<R, O>) {
        self.time_load();
        match O::split(result) {
            Err(failure) => {
                self.observe(Count::LoadFailed);
                (Loaded::Failed(self.stale_serving()), Err(failure))
            }
            Ok(value) => {
                let loaded = match self.keep.keeps(&value) {
                    Some(ttl) => {
                        self.ttl = self.jittered(ttl.or(self.policy().ttl));
                        if self.unfenced {
                            self.observe(Count::NotFenced);
                        }
                        Loaded::Keep
                    }
                    None => {
                        self.observe(Count::Discarded);
                        Loaded::Discard
                    }
                };
                (loaded, Ok(Held::Own(value)))
            }
        }
    }

    /// Ends the flight, and stores near what may be stored.
    pub(super) fn land(&mut self, land: Land, own: Own<R, O>) -> Own<R, O> {
        let Some(mut lead) = self.lead.take() else { return own };
        lead.leave(None);
        let now = self.state.clock.now();
        match own {
            Ok(held) => Ok(Held::Shared(self.land_value(*lead, land, held.into_value(), now))),
            Err(failure) => {
                let landing = match land {
                    Land::StaleOnError => self.stale_landing(&mut lead, now),
                    _ => None,
                };
                let landing = landing.unwrap_or_else(|| self.failed_landing(&failure));
                lead.land(now, |_| landing);
                Err(failure)
            }
        }
    }

    /// Ends the flight with the fresh value that the near tier has by now.
    pub(super) fn land_found(&mut self) {
        let (Some(mut lead), Some(object)) = (self.lead.take(), self.near.clone()) else { return };
        lead.leave(None);
        let now = self.state.clock.now();
        lead.land(now, |standing| {
            // Where the near tier is the only one, what it holds and nobody voided is current at this instant.
            let current = self.tiers == Tiers::Near && standing == Standing::Current;
            Landing::Value { proved: if current { now } else { object.proved() }, value: object }
        });
    }

    /// What the caller gets after its own load.
    pub(super) fn finish(&mut self, answer: Answer, own: Own<R, O>) -> R {
        let stale = if answer == Answer::StaleOnError { self.stale_value() } else { None };
        match (stale, own) {
            (Some(stale), _) => O::succeed(stale),
            (None, Ok(held)) => O::succeed(held.into_value()),
            (None, Err(failure)) => O::fail(failure),
        }
    }

    /// The value's own size in bytes; `None` (with a complaint) if the near tier must know it and nobody can tell.
    pub(super) fn weigh(&self, value: &O::Value) -> Option<u64> {
        let Some(near) = &self.state.near else { return Some(0) };
        if !near.weighs() {
            return Some(0);
        }
        let weight = match self.keep.weight {
            Some(weight) => Some(weight(value) as u64),
            None => W::weigh(value),
        };
        if weight.is_none() {
            self.observe(Count::Unweighed);
            let name = self.namespace.name();
            let advice = "give the function `weight = ..`, or bound the region in entries";
            self.state.complain("unweighed", name, format_args!("values of `{name}` cannot be weighed: {advice}"));
        }
        weight
    }

    /// Ends the flight with the loaded value, which others hold from then on.
    fn land_value(&mut self, lead: Lead, land: Land, value: O::Value, now: Tick) -> Arc<Object<O::Value>> {
        // A load proves its value as of the instant at which it began; a held verdict, as of when that was asked for; and
        // where the near tier is the only one, the board knows at this instant whether the key was voided.
        let began = lead.flight().began();
        let settled = self.settled.map_or(began, |settled| settled.proved);
        let (proved, keep) = match land {
            Land::Local => (now, true),
            Land::Held | Land::HeldUnstored => (settled, true),
            Land::Unproved => (began, true),
            Land::Discarded(_) if self.tiers == Tiers::Near => (now, false),
            Land::Discarded(Verdict::Held) => (settled, false),
            Land::Lost | Land::Discarded(_) | Land::Found | Land::StaleOnError | Land::Failed => (began, false),
        };
        let weight = if keep { self.weigh(&value) } else { None };
        let stamp = Stamp {
            deadlines: Deadlines::starting(proved.max(settled), self.ttl, self.policy()),
            proved,
            proved_until: self.proof_ends(proved),
            token: self.settled.and_then(|settled| settled.token),
            generations: self.digest,
        };
        let object = Arc::new(Object::new(value, stamp, self.born.clone(), weight.unwrap_or_default()));
        let shared: Arc<Object> = object.clone();
        lead.land(now, |standing| match standing {
            Standing::Current => {
                if weight.is_some() {
                    self.state.put_near(&self.namespace, self.visit.key(), shared.clone());
                }
                Landing::Value { value: shared, proved }
            }
            // R2: without a verdict, a value is good for those who came before its load began.
            Standing::Void => Landing::Value { value: shared, proved: began },
        });
        // Nobody else holds the value through this call any more.
        self.flight = None;
        object
    }

    /// Stores a given value near in place of what is there, and voids the load in flight, which is older.
    pub(super) fn replace_near(&self, value: O::Value, proved: Tick) -> Standing {
        let weight = self.weigh(&value);
        let stamp = Stamp {
            deadlines: Deadlines::starting(proved, self.ttl, self.policy()),
            proved,
            proved_until: self.proof_ends(proved),
            token: self.settled.and_then(|settled| settled.token),
            generations: self.digest,
        };
        let object = Arc::new(Object::new(value, stamp, self.born.clone(), weight.unwrap_or_default()));
        self.visit.replace(self.mark, || match weight {
            Some(_) => self.state.put_near(&self.namespace, self.visit.key(), object),
            None => self.state.drop_near(self.visit.key()),
        })
    }

    /// What the followers get of a stale value that stands in for a failure. The claim stays with this process while
    /// the source rests, so that a failing source is not asked at every call.
    fn stale_landing(&mut self, lead: &mut Lead, now: Tick) -> Option<Landing> {
        let (value, proved) = match (self.far.take(), &self.near) {
            (Some((held, serving)), _) => {
                let object = self.object_to_share(held.into_value());
                self.far = Some((Held::Shared(object.clone()), serving));
                (object as Arc<Object>, self.proved)
            }
            (None, Some(object)) => (object.clone(), object.proved()),
            (None, None) => return None,
        };
        // R5: others get it only if they came before it was asked for.
        let proved = if self.outdated { Tick::ZERO } else { proved };
        let rests_until = now.after(self.policy().throttle);
        let fence = self.fence.take().filter(|fence| fence.won);
        let ends = if fence.is_some() { rests_until.max(self.started.after(self.policy().lease)) } else { rests_until };
        lead.leave(Some(Left { fence, rests_until, ends }));
        Some(Landing::Value { value, proved })
    }

    /// A value in hand that others get with its proof; no near tier keeps it.
    pub(super) fn object_to_share(&self, value: O::Value) -> Arc<Object<O::Value>> {
        let stamp = Stamp {
            deadlines: Deadlines::starting(Tick::ZERO, Some(Duration::ZERO), self.policy()),
            proved: self.proved,
            proved_until: self.proved,
            token: None,
            generations: self.digest,
        };
        Arc::new(Object::new(value, stamp, self.born.clone(), 0))
    }

    fn failed_landing(&self, failure: &O::Failure) -> Landing {
        self.sharing.share(failure).map_or(Landing::FailedAlone, Landing::Failed)
    }

    pub(super) fn jittered(&self, ttl: Option<Duration>) -> Option<Duration> {
        ttl.map(|ttl| self.policy().jittered(ttl, random_share()))
    }

    fn time_load(&self) {
        let Some(lead) = &self.lead else { return };
        let took = self.state.clock.now().since(lead.flight().began());
        if self.tiers != Tiers::Near && took > self.policy().lease {
            let lease = self.policy().lease;
            let detail = format_args!(
                "a load took {took:?}, longer than `lease` ({lease:?}): another process may have loaded too"
            );
            self.state.observe(&self.namespace, Count::LongLoad, Some(detail));
            self.state.complain("lease", self.namespace.name(), detail);
        }
    }
}

/// A number from 0 to 1 that differs from call to call. Nothing depends on its being hard to guess.
fn random_share() -> f64 {
    let random = RandomState::new().hash_one(());
    random as f64 / u64::MAX as f64
}
