//! What a call asks the far tier, and what it makes of the answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::call::Call;
use super::settle::{Held, Own, Settled};
use crate::backend::{
    Check, Claim, Fill, FillOutcome, Filled, HandBack, Kept, Lease, Object, Read, Recall, Returned, Seen, Stamp, Take,
    Token,
};
use crate::board::Fence;
use crate::error::{Error, Kind, Result};
use crate::freshness::Deadlines;
use crate::generation::{GenerationDigest, Generations};
use crate::key::FarKey;
use crate::observe::Count;
use crate::outcome::{Outcome, Sharing};
use crate::plan::{ClaimAge, Demand, Found, Reading, Serving, Tiers, Validated, Verdict};
use crate::record::{Codec, Fingerprint, Miss, WriteError};
use crate::state::{Shown, ValueType};
use crate::wire::{Expected, Making, ReadBack, Unwritable, Wire};

/// memcached counts whole seconds and may count the present one already: what is left is at least this much less.
const SECOND: Duration = Duration::from_secs(1);

impl<R, O, S, W> Call<R, O, S, W>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    /// Before a read, a take or a validation: what is put near from its answer must not be older than an invalidation that
    /// comes from now on. And from now on the node may have given this call a claim: a stale record gives one even to who
    /// asks for none.
    pub(super) fn prepare(&mut self) {
        self.mark_now();
        self.find_far_key();
        self.claims = self.far_key.is_some();
    }

    /// Whatever is asked or stored far is named by this.
    pub(super) fn find_far_key(&mut self) {
        if self.far_key.is_none() {
            match self.state.far_key(self.key()) {
                Ok(key) => self.far_key = Some(key),
                Err(error) => {
                    self.observe(Count::KeyError);
                    self.state.complain("key", self.namespace.name(), format_args!("{error}"));
                }
            }
        }
    }

    /// The read that is to be sent; `None` if the key has no far form.
    pub(super) fn to_read(&self, recall: Recall) -> Option<Read<'_>> {
        // Whoever loads anew claims too: where there is nothing, only the mark of a claim gives a fence.
        self.to_read_only(recall).map(|read| Read { lease: Lease::Claim(self.policy().lease), ..read })
    }

    /// The same, claiming nothing.
    pub(super) fn to_read_only(&self, recall: Recall) -> Option<Read<'_>> {
        let keys = self.far_key.as_ref().map(std::slice::from_ref)?;
        Some(Read { keys, scopes: self.scopes(), lease: Lease::None, grace: self.policy().grace(), recall })
    }

    /// The key of the near copy that may be shown to hold; `None` if it has no far form.
    pub(super) fn to_validate(&self) -> Option<&[FarKey]> {
        self.far_key.as_ref().map(std::slice::from_ref)
    }

    /// What the node answered: the near copy is renewed if it is what stands there, under the same generations.
    pub(super) fn validated(&mut self, answer: Result<Check>) -> Validated {
        let object = if std::mem::take(&mut self.near_unproved) { self.near.take() } else { None };
        if let Ok(check) = &answer {
            self.heard(check.repeated && check.marked_stale);
        }
        let (Some(object), Some(far)) = (object, &self.state.far) else { return Validated::Changed };
        match answer {
            Ok(Check { token, marked_stale, generations, proved, .. }) => {
                self.state.far_answered();
                let same = token.is_some() && token == object.token();
                let digest = generations.digest(far.epoch, self.scopes());
                if !same || marked_stale || digest != object.generations() {
                    return Validated::Changed;
                }
                self.state.lost_claims.forget(|| self.visit.owned_key());
                object.renew(proved, self.proof_ends(proved));
                self.near = Some(object);
                Validated::Holds
            }
            Err(error) => {
                self.far_failed(&error);
                self.unheard(&error);
                self.reason = "far_error";
                Validated::Failed
            }
        }
    }

    /// The claim that is to be taken on what was read; `None` if there is nothing to take it on.
    pub(super) fn to_take(&self, kept: Kept) -> Option<Take<'_>> {
        let (key, Fence { token, digest, .. }) = (self.far_key.as_ref()?, self.fence?);
        self.observe(Count::Takeover);
        self.state.overdue.forget(&(self.visit.owned_key(), token, digest));
        Some(Take { key, token, kept, lease: self.policy().lease })
    }

    /// What the node answered to a take: whoever has the claim now, it was taken over.
    pub(super) fn taken(&mut self, answer: Result<Seen>) -> Reading {
        if answer.is_ok() {
            self.state.lost_claims.forget(|| self.visit.owned_key());
        }
        self.seen(answer)
    }

    /// What the node answered to a read or a take.
    pub(super) fn seen(&mut self, answer: Result<Seen>) -> Reading {
        let seen = match answer {
            Ok(seen) => {
                self.heard(seen.repeated && seen.claim == Claim::Elsewhere);
                self.state.far_answered();
                seen
            }
            Err(error) => {
                self.far_failed(&error);
                self.unheard(&error);
                self.reason = "far_error";
                let inherited = self.inherited();
                if inherited.is_none() {
                    // An earlier reading may have won it.
                    self.may_still_have(self.fence);
                }
                (self.fence, self.unfenced) = (inherited, false);
                return Reading::Failed;
            }
        };
        let Some(far) = &self.state.far else { return Reading::Failed };
        let digest = seen.generations.digest(far.epoch, self.scopes());
        let found = match &seen.record {
            None => {
                self.reason = "absent";
                Found::Nothing
            }
            Some(record) => match W::read(record, far, &self.expected(digest)) {
                Ok(value) => self.judge(value, &seen, digest),
                Err(reason) => self.dead(reason, seen.remembered),
            },
        };
        let kept = match found {
            Found::Nothing => Kept::Stub,
            Found::Dead | Found::Doubtful => Kept::Dead,
            Found::Fresh | Found::Stale(_) | Found::HigherVersion => Kept::Stale,
        };
        self.unfenced = seen.token.is_none();
        // What this call has won by an earlier reading the node tells as anybody's claim.
        let claim = match (seen.claim, seen.token, self.fence) {
            (Claim::Elsewhere, Some(token), Some(mine)) if mine.won && mine.token == token => Claim::Won,
            (claim, ..) => claim,
        };
        let fence = seen.token.map(|token| Fence { token, kept, digest, won: claim == Claim::Won });
        let fence = fence.filter(|fence| fence.won || found != Found::HigherVersion);
        self.fence = self.inherited().or(fence);
        let shown = match (claim, seen.token) {
            _ if found == Found::Fresh => Shown::Fresh,
            (Claim::Elsewhere, Some(token)) => Shown::Elsewhere((token, digest)),
            (Claim::Won, Some(token)) => Shown::Own((token, digest)),
            _ => Shown::None,
        };
        let is_lost = self.state.lost_claims.are_shown(|| self.visit.owned_key(), shown, &self.state.clock);
        let age = match (claim, seen.token) {
            _ if is_lost => ClaimAge::Ownerless,
            (Claim::Elsewhere, Some(token)) if kept != Kept::Stub => {
                let claim = (self.visit.owned_key(), token, digest);
                self.state.overdue.age(claim, self.policy().throttle, self.policy().lease, self.state.clock.now())
            }
            _ => ClaimAge::New,
        };
        Reading::Seen { found, claim, fenced: seen.token.is_some(), age }
    }

    /// The node answered. `in_vain`: it may have given this call a claim by a request that was sent before this one.
    fn heard(&mut self, in_vain: bool) {
        self.claims &= in_vain;
        self.lose_claim();
    }

    /// The node did not answer. If it was not asked, or said no, there is no claim that could be lost.
    pub(super) fn unheard(&mut self, error: &Error) {
        self.claims &= error.kind() == Kind::Unanswered;
        self.lose_claim();
    }

    /// The hand-back that is to be sent. `None` if nothing is in hand.
    pub(super) fn to_hand_back(&self) -> Option<HandBack<'_>> {
        let fence = self.fence?;
        self.far_key.as_ref().map(|key| HandBack { key, token: fence.token, kept: fence.kept })
    }

    /// The hand-back of a claim that came along by accident.
    pub(super) fn to_hand_back_accident(&self) -> Option<HandBack<'_>> {
        self.to_hand_back().filter(|_| self.fence.is_some_and(|fence| fence.won))
    }

    /// What the node answered to a hand-back.
    pub(super) fn handed_back(&mut self, answer: Result<Returned>) -> Verdict {
        let fence = self.fence.take();
        match answer {
            Ok(Returned { held, generations, proved }) => {
                let held = held && self.unchanged(fence, &generations);
                if held {
                    self.settled = Some(Settled { proved, token: None });
                }
                if held { Verdict::Held } else { Verdict::Lost }
            }
            Err(error) => {
                self.far_failed(&error);
                self.may_still_have(fence);
                Verdict::Unknown
            }
        }
    }

    /// The loaded value as a record, to be sent under the fence in hand; `None` if it cannot be stored there.
    pub(super) fn to_fill(&self, own: &Own<R, O>) -> Option<Outgoing> {
        let (far, fence, Ok(held)) = (self.state.far.as_ref()?, self.fence?, own) else { return None };
        if !self.namespace.is_readable() {
            self.observe(Count::Unreadable);
            return None;
        }
        let read_back = if self.namespace.reads_back() { ReadBack::Yes } else { ReadBack::No };
        let making = Making { key: self.key(), version: self.version, digest: fence.digest, read_back };
        let record = W::write(held.value(), far, &making).map_err(|error| self.unwritable(&error, &far.codec)).ok()?;
        if let Some(limit) = far.size_limit().filter(|limit| record.len() > *limit) {
            self.too_large(format_args!("a record of {} bytes", record.len()), limit);
            return None;
        }
        self.namespace.counters.add_many(Count::SentBytes, record.len() as u64);
        let grace = self.policy().grace();
        // Whole seconds, at least one (none would be for ever), and rounded up: the near deadline rounds down.
        let keep = self.ttl.map(|ttl| ceil(ttl + grace).max(SECOND));
        Some(Outgoing { key: self.far_key.clone()?, record, token: fence.token, keep, grace: ceil(grace) })
    }

    /// What the node answered to a fill, if one was sent.
    pub(super) fn filled(&mut self, answer: Option<Result<Filled>>) -> Verdict {
        let fence = self.fence;
        let Some(answer) = answer else { return Verdict::Unsent };
        match answer {
            Ok(Filled { outcome: FillOutcome::Stored(token), generations, proved }) => {
                self.fence = None;
                self.digest = fence.map_or(self.digest, |fence| fence.digest);
                self.observe(Count::Stored);
                if !self.unchanged(fence, &generations) {
                    return Verdict::Lost;
                }
                self.settled = Some(Settled { proved, token });
                Verdict::Held
            }
            Ok(Filled { outcome: FillOutcome::Superseded, .. }) => {
                self.fence = None;
                self.observe(Count::Superseded);
                Verdict::Lost
            }
            Ok(Filled { outcome: FillOutcome::TooLarge { limit }, .. }) => {
                self.too_large(format_args!("a record"), limit);
                Verdict::Unsent
            }
            Err(error) => {
                self.fence = None;
                self.far_failed(&error);
                self.may_still_have(fence);
                Verdict::Unknown
            }
        }
    }

    /// A usable value was read: how fresh it is. A fresh one is also put near.
    fn judge(&mut self, value: O::Value, seen: &Seen, digest: GenerationDigest) -> Found {
        // R1, for the key and its scopes: remembered generations may be too old a proof.
        if seen.proved < self.proved_from {
            return Found::Doubtful;
        }
        self.proved = seen.proved;
        let fresh_for = seen.left.map(|left| left.checked_sub(seen.grace));
        let is_fresh = !seen.marked_stale && fresh_for != Some(None);
        if is_fresh && self.demand != Demand::Anew {
            let held = self.put_read(value, seen, fresh_for.flatten(), digest);
            self.far = Some((held, None));
            return Found::Fresh;
        }
        let serving = if is_fresh { None } else { self.serving(seen) };
        self.reason = match () {
            () if is_fresh => "forced",
            () if seen.marked_stale => "marked_stale",
            () => "expired",
        };
        (self.far, self.outdated) = (Some((Held::Own(value), serving)), false);
        if is_fresh { Found::Fresh } else { Found::Stale(serving) }
    }

    /// How a stale record may be served: by how long its `ttl` has been over, or because it was marked so.
    fn serving(&self, seen: &Seen) -> Option<Serving> {
        let overripe = seen.left.map_or(Duration::ZERO, |left| seen.grace.saturating_sub(left));
        match () {
            () if overripe.is_zero() => Some(Serving::WhileRevalidating),
            () if overripe <= self.policy().stale_while_revalidate => Some(Serving::WhileRevalidating),
            () if overripe <= self.policy().stale_if_error => Some(Serving::OnError),
            () => None,
        }
    }

    /// A copy near, unless the key was voided since the read was sent.
    fn put_read(
        &self,
        value: O::Value,
        seen: &Seen,
        fresh_for: Option<Duration>,
        digest: GenerationDigest,
    ) -> Held<O::Value> {
        // Dated from when the request was sent, and a second short, so that the near copy is never the longer-lived.
        let fresh_for = match (seen.left, fresh_for) {
            (None, _) => None,
            (Some(_), fresh_for) => Some(fresh_for.unwrap_or_default().saturating_sub(SECOND)),
        };
        let worth = self.tiers == Tiers::NearOverFar && fresh_for != Some(Duration::ZERO);
        let Some(weight) = worth.then(|| self.weigh(&value)).flatten() else { return Held::Own(value) };
        let stamp = Stamp {
            deadlines: Deadlines::starting(seen.proved, fresh_for, self.policy()),
            proved: seen.proved,
            proved_until: self.proof_ends(seen.proved),
            token: seen.token,
            generations: digest,
        };
        let object = Arc::new(Object::new(value, stamp, self.born.clone(), weight));
        let copy: Arc<Object> = object.clone();
        self.visit.put(self.mark, || self.state.put_near(&self.namespace, self.key(), copy));
        Held::Shared(object)
    }

    fn dead(&mut self, reason: Miss, remembered: bool) -> Found {
        self.reason = reason.name();
        match reason {
            Miss::OtherGeneration if remembered => Found::Doubtful,
            Miss::HigherVersion(_) => Found::HigherVersion,
            Miss::OtherType { found, expected } => {
                self.other_type_far(found, expected);
                Found::Dead
            }
            _ => Found::Dead,
        }
    }

    /// A record of another type was read: of a function of this process, or of a program that was built otherwise.
    fn other_type_far(&self, found: Fingerprint, expected: Fingerprint) {
        self.observe(Count::OtherType);
        self.state.complain_of_record(&self.namespace, ValueType::of::<O::Value>(), found, expected);
    }

    /// The fence of a call that leads already: it was inherited with its claim, and no later reading replaces it.
    fn inherited(&self) -> Option<Fence> {
        self.lead.as_ref().and_then(|lead| lead.inherited())
    }

    /// What would have ended the claim may not have been done.
    fn may_still_have(&mut self, fence: Option<Fence>) {
        self.claims = fence.is_some_and(|fence| fence.won);
        self.lose_claim();
    }

    /// R4: whether the generations after the request are those that the load began under.
    fn unchanged(&self, fence: Option<Fence>, generations: &Generations) -> bool {
        let digest = self.state.far.as_ref().map(|far| generations.digest(far.epoch, self.scopes()));
        fence.is_some_and(|fence| Some(fence.digest) == digest)
    }

    fn expected(&self, digest: GenerationDigest) -> Expected<'_> {
        Expected { key: self.key(), version: self.version, digest }
    }

    fn far_failed(&self, error: &Error) {
        self.state.observe(&self.namespace, Count::FarError, Some(format_args!("{error}")));
        self.state.far_failed();
        self.state.complain(
            "far_error",
            error.message(),
            format_args!("the far tier failed; calls load by themselves: {error:?}"),
        );
    }

    fn unwritable(&self, error: &Unwritable, codec: &Codec) {
        let (name, kept) = (self.namespace.name(), std::any::type_name::<O::Value>());
        let count = match error {
            Unwritable::Write(WriteError::TooLarge { .. }) => Count::TooLarge,
            Unwritable::Write(_) | Unwritable::Misread(_) | Unwritable::NearOnly => Count::Unreadable,
        };
        self.state.observe(&self.namespace, count, Some(format_args!("{error}")));
        let warn = |message: fmt::Arguments<'_>| self.state.complain("unwritable", name, message);
        match error {
            Unwritable::Misread(misread) => {
                self.namespace.found_unreadable();
                let remedy = misread.remedy(codec);
                warn(format_args!("values of `{name}` (`{kept}`) are not stored far: {misread}; {remedy}"));
            }
            Unwritable::Write(_) | Unwritable::NearOnly => {
                warn(format_args!("values of `{name}` are not stored far: {error}"));
            }
        }
    }

    fn too_large(&self, record: fmt::Arguments<'_>, limit: usize) {
        let detail = format!("{record} is larger than the far tier takes ({limit} bytes)");
        self.state.observe(&self.namespace, Count::TooLarge, Some(format_args!("{detail}")));
        self.state.complain("too_large", self.namespace.name(), format_args!("{detail}"));
    }
}

fn ceil(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

/// A record on its way.
pub(super) struct Outgoing {
    key: FarKey,
    record: Vec<u8>,
    token: Token,
    keep: Option<Duration>,
    grace: Duration,
}

impl Outgoing {
    pub(super) fn as_fill(&self) -> Fill<'_> {
        Fill { key: &self.key, record: &self.record, token: self.token, keep: self.keep, grace: self.grace }
    }
}

/// The one answer to a request for one key.
pub(super) fn one<T>(answers: Vec<Result<T>>) -> Result<T> {
    let none = || Err(Error::new(Kind::Backend, "the backend answered fewer keys than it was asked for"));
    answers.into_iter().next().unwrap_or_else(none)
}

/// The answer of a face that the backend does not have.
pub(crate) fn missing_face() -> Error {
    Error::new(Kind::MissingFace, "the backend has no face for this kind of call: `.await` or `.wait()` the other way")
}

/// The answer to a request that could not be made.
pub(super) fn unasked() -> Error {
    Error::new(Kind::Key, "the key has no form that the far tier takes")
}
