//! Reads and writes of one entry without a function: the twins of `get` and `set`.

use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, Subject};
use super::exchange::{missing_face, one, unasked};
use super::settle::{Held, Own};
use crate::backend::Recall;
use crate::board::Standing;
use crate::error::Result;
use crate::key::Key;
use crate::observe::Count;
use crate::outcome::{Alone, Whole};
use crate::plan::{Answer, Found, Reading, Tiers, Validated, Verdict};
use crate::policy::Policy;
use crate::state::{Far, NamespaceState, RegionState, TagList};
use crate::terms::{Ask, Terms};
use crate::wire::Wire;

/// What became of a value that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOutcome {
    /// It is stored: near, far, or both.
    Stored,
    /// An invalidation, or another value, came between: what was set is older, and was not stored.
    Superseded,
    /// It was not stored, for this reason.
    NotStored(NotStored),
}

/// Why a value that was set was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotStored {
    /// The region is switched off or paused.
    Off,
    /// The far tier gives no fence: nothing can be stored there without losing invalidations.
    Unfenced,
    /// The tier does not take it: too large, or nothing that the codec can write.
    Refused,
    /// The far tier did not answer.
    Unknown,
}

/// One entry, and on what terms it is read or written.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) state: Arc<RegionState>,
    pub(crate) namespace: Arc<NamespaceState>,
    pub(crate) key: Key,
    /// A policy of its own, if it is not the region's.
    pub(crate) own_policy: Option<Box<Policy>>,
    pub(crate) version: u16,
    /// How old the proof of a near copy may be for this read; `None` is what the policy says.
    pub(crate) max_staleness: Option<Duration>,
    /// The entry's tags.
    pub(crate) tags: TagList,
}

type Bare<V, W> = Call<V, Whole, Alone, W>;

impl Access {
    /// A call without a function; `None` where the region is switched off or paused.
    fn begin<V: Clone + Send + Sync + 'static, W: Wire<V>>(self, ask: Ask) -> Option<Bare<V, W>> {
        let tiers = self.state.tiers_within(W::REACH).filter(|_| self.state.is_open())?;
        let Access { state, namespace, key, own_policy, version, max_staleness, tags } = self;
        let tagged = state.tagged(&namespace, &tags);
        let mut terms = Terms::of(ask, Alone);
        terms.max_staleness = max_staleness;
        Some(Call::begin(Subject { key: key.as_ref(), state, namespace, tiers, own_policy, version, tagged }, terms))
    }
}

pub(crate) fn get_blocking<V: Clone + Send + Sync + 'static, W: Wire<V>>(access: Access) -> Result<Option<V>> {
    let Some(mut call) = access.begin::<V, W>(Ask::Cache) else { return Ok(None) };
    if let Some(value) = call.get_near() {
        return Ok(Some(value));
    }
    let Some(far) = call.far() else { return Ok(None) };
    let Some(far) = far.blocking.clone() else { return Err(missing_face()) };
    if call.near_unproved {
        call.prepare();
        let Some(keys) = call.to_validate() else { return Err(unasked()) };
        let check = one(far.validate(keys, call.scopes()));
        if call.validated(check) == Validated::Holds {
            return Ok(call.found(Answer::Validated));
        }
    }
    for recall in [Recall::Allowed, Recall::Never] {
        call.prepare();
        let Some(read) = call.to_read_only(recall) else { return Err(unasked()) };
        let seen = one(far.read(&read)).inspect_err(|error| call.unheard(error))?;
        let reading = call.seen(Ok(seen));
        if let Some(claim) = call.to_hand_back_accident() {
            let returned = one(far.hand_back(&[claim], call.scopes()));
            call.handed_back(returned);
        }
        match reading {
            Reading::Seen { found: Found::Doubtful, .. } => {}
            Reading::Seen { found: Found::Fresh, .. } => return Ok(call.found(Answer::Far)),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

pub(crate) async fn get_async<V: Clone + Send + Sync + 'static, W: Wire<V>>(access: Access) -> Result<Option<V>> {
    let Some(mut call) = access.begin::<V, W>(Ask::Cache) else { return Ok(None) };
    if let Some(value) = call.get_near() {
        return Ok(Some(value));
    }
    let Some(far) = call.far() else { return Ok(None) };
    let Some(far) = far.tasks.clone() else { return Err(missing_face()) };
    if call.near_unproved {
        call.prepare();
        let Some(keys) = call.to_validate() else { return Err(unasked()) };
        let check = one(far.validate(keys, call.scopes()).await);
        if call.validated(check) == Validated::Holds {
            return Ok(call.found(Answer::Validated));
        }
    }
    for recall in [Recall::Allowed, Recall::Never] {
        call.prepare();
        let Some(read) = call.to_read_only(recall) else { return Err(unasked()) };
        let seen = one(far.read(&read).await).inspect_err(|error| call.unheard(error))?;
        let reading = call.seen(Ok(seen));
        if let Some(claim) = call.to_hand_back_accident() {
            let returned = one(far.hand_back(&[claim], call.scopes()).await);
            call.handed_back(returned);
        }
        match reading {
            Reading::Seen { found: Found::Doubtful, .. } => {}
            Reading::Seen { found: Found::Fresh, .. } => return Ok(call.found(Answer::Far)),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

pub(crate) fn set_blocking<V: Clone + Send + Sync + 'static, W: Wire<V>>(
    access: Access,
    value: V,
) -> Result<SetOutcome> {
    let Some(mut call) = access.begin::<V, W>(Ask::Anew) else { return Ok(SetOutcome::NotStored(NotStored::Off)) };
    let own = call.given(value);
    let Some(far) = call.far() else { return Ok(call.set_near(own)) };
    let Some(far) = far.blocking.clone() else { return Err(missing_face()) };
    call.prepare();
    let seen = match call.to_read(Recall::Never) {
        Some(read) => one(far.read(&read)),
        None => Err(unasked()),
    };
    let reading = call.seen(seen);
    if let Some(outcome) = call.unfenced(reading) {
        if let Some(claim) = call.to_hand_back_accident() {
            let returned = one(far.hand_back(&[claim], call.scopes()));
            call.handed_back(returned);
        }
        return Ok(outcome);
    }
    #[allow(clippy::manual_map, reason = "it reads like its twin")]
    let filled = match call.to_fill(&own) {
        Some(fill) => Some(one(far.fill(&[fill.as_fill()], call.scopes()))),
        None => None,
    };
    let verdict = call.filled(filled);
    if let Some(claim) = call.to_hand_back_accident() {
        let returned = one(far.hand_back(&[claim], call.scopes()));
        call.handed_back(returned);
    }
    Ok(call.set_far(verdict, own))
}

pub(crate) async fn set_async<V: Clone + Send + Sync + 'static, W: Wire<V>>(
    access: Access,
    value: V,
) -> Result<SetOutcome> {
    let Some(mut call) = access.begin::<V, W>(Ask::Anew) else { return Ok(SetOutcome::NotStored(NotStored::Off)) };
    let own = call.given(value);
    let Some(far) = call.far() else { return Ok(call.set_near(own)) };
    let Some(far) = far.tasks.clone() else { return Err(missing_face()) };
    call.prepare();
    let seen = match call.to_read(Recall::Never) {
        Some(read) => one(far.read(&read).await),
        None => Err(unasked()),
    };
    let reading = call.seen(seen);
    if let Some(outcome) = call.unfenced(reading) {
        if let Some(claim) = call.to_hand_back_accident() {
            let returned = one(far.hand_back(&[claim], call.scopes()).await);
            call.handed_back(returned);
        }
        return Ok(outcome);
    }
    let filled = match call.to_fill(&own) {
        Some(fill) => Some(one(far.fill(&[fill.as_fill()], call.scopes()).await)),
        None => None,
    };
    let verdict = call.filled(filled);
    if let Some(claim) = call.to_hand_back_accident() {
        let returned = one(far.hand_back(&[claim], call.scopes()).await);
        call.handed_back(returned);
    }
    Ok(call.set_far(verdict, own))
}

impl<V: Clone + Send + Sync + 'static, W: Wire<V>> Bare<V, W> {
    /// The far tier, if this call has to do with it.
    fn far(&self) -> Option<&Far> {
        if self.tiers == Tiers::Near { None } else { self.state.far.as_ref() }
    }

    /// Why nothing can be stored after this reading, if so.
    fn unfenced(&self, reading: Reading) -> Option<SetOutcome> {
        match reading {
            Reading::Failed => Some(SetOutcome::NotStored(NotStored::Unknown)),
            Reading::Seen { found: Found::HigherVersion, .. } => Some(SetOutcome::NotStored(NotStored::Refused)),
            Reading::Seen { fenced: false, .. } => {
                self.observe(Count::NotFenced);
                Some(SetOutcome::NotStored(NotStored::Unfenced))
            }
            Reading::Seen { .. } => None,
        }
    }

    fn get_near(&mut self) -> Option<V> {
        if !self.look_again() {
            return None;
        }
        self.namespace.counters.near_hit();
        self.near.take().and_then(|object| object.value().downcast_ref().cloned())
    }

    /// A value that was given instead of loaded.
    fn given(&mut self, value: V) -> Own<V, Whole> {
        self.observe(Count::Set);
        self.ttl = self.jittered(self.policy().ttl);
        Ok(Held::Own(value))
    }

    fn set_near(&mut self, own: Own<V, Whole>) -> SetOutcome {
        let Ok(held) = own;
        match self.replace_near(held.into_value(), self.state.clock.now()) {
            Standing::Current => SetOutcome::Stored,
            Standing::Void => {
                self.observe(Count::Superseded);
                SetOutcome::Superseded
            }
        }
    }

    fn set_far(&mut self, verdict: Verdict, own: Own<V, Whole>) -> SetOutcome {
        match verdict {
            Verdict::Held => {
                let Ok(held) = own;
                let proved = self.settled.map_or(self.started, |settled| settled.proved);
                // Voided here since: the fill passed before the invalidation reached the node, which then removed it.
                match self.replace_near(held.into_value(), proved) {
                    Standing::Current => SetOutcome::Stored,
                    Standing::Void => SetOutcome::Superseded,
                }
            }
            Verdict::Lost => SetOutcome::Superseded,
            Verdict::Unknown => SetOutcome::NotStored(NotStored::Unknown),
            Verdict::Unsent => SetOutcome::NotStored(NotStored::Refused),
        }
    }
}
