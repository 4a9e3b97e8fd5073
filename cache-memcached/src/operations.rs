//! The operations of a far backend as requests, and the replies as answers: what both faces share.
//!
//! Invariant: no value is sent without a CAS, and no TTL below one second.

use std::time::Duration;

use cache_core::backend::{
    Check, Claim, Fill, FillOutcome, Filled, HandBack, Invalidated, Kept, Lease, Read, Returned, Seen, Strength, Take,
    Token,
};
use cache_core::error::{Error, Kind, Result};
use cache_core::key::FarKey;

use crate::backend::Memcached;
use crate::drain;
use crate::pending::Due;
use crate::proto::{Code, Delete, Get, Key, Left, Reply, Request, Set};
use crate::trouble::Trouble;
use crate::work::{Answer, Answered, Ask, Failed, Unsent};

/// Beyond it memcached takes a TTL for an absolute time.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Memcached {
    pub(crate) fn read_asks<'a>(&self, read: &Read<'a>) -> impl Iterator<Item = Ask<'a>> {
        let vivify = match read.lease {
            Lease::Claim(lease) => Some(lease_seconds(lease)),
            Lease::None => None,
        };
        let grace = whole_seconds(read.grace);
        let recache = vivify.and((grace > 0).then_some(grace));
        let get = move |key| Request::Get(Get { value: true, meta: true, vivify, recache, ..Get::new(bytes(key)) });
        read.keys.iter().map(move |key| self.ask(key, Some(get(key)), true))
    }

    pub(crate) fn take_asks<'a>(&self, takes: &[Take<'a>]) -> impl Iterator<Item = Ask<'a>> {
        let ask = move |take: &Take<'a>| {
            let key = bytes(take.key);
            let lease = lease_seconds(take.lease);
            // A stale value keeps its life; what is dead lives no longer than the claim on it.
            let ttl = (take.kept != Kept::Stale).then_some(lease);
            let free = Request::Delete(Delete { cas: Some(take.token.0), mark_stale: true, ttl, ..Delete::new(key) });
            let get = Request::Get(Get { value: true, meta: true, vivify: Some(lease), ..Get::new(key) });
            Ask { before: Some(Box::new(free)), ..self.ask(take.key, Some(get), true) }
        };
        takes.iter().map(ask)
    }

    /// What the reply to `mg` tells. Whether `md` was let through before it says nothing about who won.
    pub(crate) fn seen(&self, key: &FarKey, answer: Answered<'_>) -> Result<Seen> {
        let answer = answer.map_err(|failed| self.failed(key, failed))?;
        let Some(reply) = answer.reply else { return Err(self.odd(key, None)) };
        if !matches!(reply.code, Code::Value | Code::Missing) {
            // What it was asked before may have given a claim.
            return Err(if answer.written.is_again() {
                self.odd_at_last(key, reply)
            } else {
                self.odd(key, Some(reply))
            });
        }
        let claim = match () {
            () if reply.won => Claim::Won,
            () if reply.token_out => Claim::Elsewhere,
            () => Claim::Nobody,
        };
        Ok(Seen {
            token: token(reply),
            claim,
            marked_stale: reply.stale,
            left: left(reply),
            grace: Duration::from_secs(reply.client_flags.unwrap_or(0).into()),
            // An item of no bytes is the mark of a claim.
            record: reply.value.take().filter(|value| !value.is_empty()),
            generations: answer.generations.clone(),
            remembered: false,
            repeated: answer.written.in_vain(),
            proved: answer.proved,
        })
    }

    pub(crate) fn fill_asks<'a>(&self, fills: &[Fill<'a>]) -> impl Iterator<Item = Ask<'a>> {
        let ask = move |fill: &Fill<'a>| {
            let set = Set {
                cas: Some(fill.token.0),
                ttl: Some(fill.keep.map_or(0, |keep| whole_seconds(keep).max(1))),
                client_flags: whole_seconds(fill.grace),
                ..Set::new(bytes(fill.key), fill.record)
            };
            let request = refusal(fill).is_none().then_some(Request::Set(set));
            self.ask(fill.key, request, false)
        };
        fills.iter().map(ask)
    }

    pub(crate) fn filled(&self, fill: &Fill<'_>, answer: Answered<'_>) -> Result<Filled> {
        if let Some(error) = refusal(fill) {
            return Err(error);
        }
        let answer = answer.map_err(|failed| self.failed(fill.key, failed))?;
        let outcome = match (answer.unsent, answer.reply.as_deref()) {
            (Some(Unsent::TooLarge(limit)), _) => FillOutcome::TooLarge { limit },
            (_, Some(reply)) if reply.code == Code::Done => FillOutcome::Stored(self.stored_token(fill.key, reply)),
            (_, Some(reply)) if matches!(reply.code, Code::Changed | Code::NotFound) => FillOutcome::Superseded,
            (_, other) => return Err(self.odd(fill.key, other)),
        };
        Ok(Filled { outcome, generations: answer.generations.clone(), proved: answer.proved })
    }

    pub(crate) fn hand_back_asks<'a>(&self, claims: &[HandBack<'a>]) -> impl Iterator<Item = Ask<'a>> {
        let ask = move |claim: &HandBack<'a>| {
            let mark_stale = claim.kept == Kept::Stale;
            let delete = Delete { cas: Some(claim.token.0), mark_stale, ..Delete::new(bytes(claim.key)) };
            self.ask(claim.key, Some(Request::Delete(delete)), false)
        };
        claims.iter().map(ask)
    }

    pub(crate) fn returned(&self, claim: &HandBack<'_>, answer: Answered<'_>) -> Result<Returned> {
        let answer = answer.map_err(|failed| self.failed(claim.key, failed))?;
        let reply = answer.reply.as_deref();
        let held = match reply.map(|reply| &reply.code) {
            Some(Code::Done) => true,
            Some(Code::Changed | Code::NotFound) => false,
            // Its lease ends by itself; whether it still stands, nobody knows.
            None if answer.unsent == Some(Unsent::Unfenced) => false,
            _ => return Err(self.odd(claim.key, reply)),
        };
        Ok(Returned { held, generations: answer.generations.clone(), proved: answer.proved })
    }

    pub(crate) fn validate_asks<'a>(&self, keys: &'a [FarKey]) -> impl Iterator<Item = Ask<'a>> {
        let get = |key| Request::Get(Get { meta: true, ..Get::new(bytes(key)) });
        keys.iter().map(move |key| self.ask(key, Some(get(key)), true))
    }

    /// What goes out after the replies of a validation: each claim that came by accident goes back.
    pub(crate) fn accident_asks<'a, 'w>(
        &self,
        keys: &'a [FarKey],
        answers: impl Iterator<Item = Answered<'w>>,
    ) -> impl Iterator<Item = Ask<'a>> {
        let ask = |(key, answer): (&'a FarKey, Answered<'w>)| {
            let won = answer.ok()?.reply.filter(|reply| reply.won)?;
            let delete = Delete { cas: won.cas, mark_stale: true, ..Delete::new(bytes(key)) };
            Some(self.ask(key, Some(Request::Delete(delete)), false))
        };
        keys.iter().zip(answers).filter_map(ask)
    }

    /// Whether the claim that came with this reply, if one did, went back: the next of these answers is about it.
    pub(crate) fn accident_undone<'w>(
        &self,
        key: &FarKey,
        reply: &Reply,
        accidents: &mut impl Iterator<Item = Answered<'w>>,
    ) -> Result<()> {
        let undone = if reply.won { accidents.next() } else { None };
        match undone {
            Some(Err(Failed { trouble, .. })) => Err(self.failed(key, Failed::asked(trouble))),
            Some(Ok(Answer { reply: Some(reply), .. }))
                if !matches!(reply.code, Code::Done | Code::Changed | Code::NotFound) =>
            {
                Err(self.odd_at_last(key, reply))
            }
            Some(Ok(_)) | None => Ok(()),
        }
    }

    pub(crate) fn checked<'w>(
        &self,
        key: &FarKey,
        answer: Answered<'_>,
        accidents: &mut impl Iterator<Item = Answered<'w>>,
    ) -> Result<Check> {
        let answer = answer.map_err(|failed| self.failed(key, failed))?;
        let reply = match answer.reply.as_deref() {
            Some(reply) if matches!(reply.code, Code::Done | Code::Missing) => reply,
            Some(reply) if answer.written.is_again() => return Err(self.odd_at_last(key, reply)),
            other => return Err(self.odd(key, other)),
        };
        self.accident_undone(key, reply, accidents)?;
        Ok(Check {
            token: token(reply).filter(|_| reply.size.is_some_and(|size| size > 0)),
            marked_stale: reply.stale,
            left: left(reply),
            repeated: answer.written.in_vain(),
            generations: answer.generations.clone(),
            proved: answer.proved,
        })
    }

    /// The invalidations are owed from here on; the asks have nothing but that to send.
    pub(crate) fn invalidate_asks<'a>(
        &self,
        keys: &'a [FarKey],
        strength: Strength,
        region: &FarKey,
    ) -> impl Iterator<Item = Ask<'a>> {
        let due = match strength {
            Strength::Hard => Due::Hard,
            Strength::Soft => Due::Soft,
        };
        keys.iter().for_each(|key| self.nodes().node(self.owner(key)).owe(key, due, region));
        keys.iter().map(|key| self.ask(key, None, false))
    }

    /// The same for scopes: one ask per scope and node, those of one scope together.
    pub(crate) fn bump_asks<'a>(&self, scopes: &'a [FarKey], region: &FarKey) -> impl Iterator<Item = Ask<'a>> {
        let count = self.nodes().count();
        let each = move || scopes.iter().flat_map(move |scope| (0..count).map(move |node| (node, scope)));
        each().for_each(|(node, scope)| self.nodes().node(node).owe(scope, Due::Bump, region));
        each().map(|(node, key)| Ask { node, key, before: None, request: None, reads: false, is_part: false })
    }

    /// Held while an invalidation of these keys or scopes is under way: what is still owed when it is dropped is left to
    /// the thread that repeats it, whether the node did not answer or the caller did not wait.
    pub(crate) fn unless_settled<'a>(&'a self, keys: &'a [FarKey], region: &'a FarKey) -> UnlessSettled<'a> {
        UnlessSettled { client: self, keys, region, settled: false }
    }

    /// How many invalidations its nodes are owed, by whichever region.
    pub(crate) fn owed(&self) -> usize {
        self.nodes().iter().map(|node| node.owed()).sum()
    }

    pub(crate) fn invalidated(&self, key: &FarKey, region: &FarKey, answer: Answered<'_>) -> Invalidated {
        self.invalidated_on(self.owner(key), &[key, region], answer)
    }

    /// An invalidation is done when the node has answered it, or owes neither it nor what may have taken its place.
    fn invalidated_on(&self, node: usize, owed: &[&FarKey], answer: Answered<'_>) -> Invalidated {
        let node = self.nodes().node(node);
        // What is owed still may be another caller's invalidation of the same key, made after this one was sent. And another
        // request of this process may have replayed this one.
        if answer.as_ref().is_ok_and(|answer| answer.replayed) || !owed.iter().any(|key| node.owes(key)) {
            return Invalidated::Done;
        }
        let failed = answer.err().unwrap_or(Failed::asked(&Trouble::Owed));
        Invalidated::Pending(failed.at(&node.name))
    }

    /// One answer per scope from one per scope and node.
    pub(crate) fn bumped<'w>(
        &self,
        scopes: &[FarKey],
        region: &FarKey,
        mut answers: impl Iterator<Item = Answered<'w>>,
    ) -> Vec<Invalidated> {
        let of_scope = |scope: &FarKey| {
            let mut all = Invalidated::Done;
            for (node, answer) in answers.by_ref().take(self.nodes().count()).enumerate() {
                if let Invalidated::Pending(error) = self.invalidated_on(node, &[scope, region], answer) {
                    all = Invalidated::Pending(error);
                }
            }
            all
        };
        scopes.iter().map(of_scope).collect()
    }

    pub(crate) fn ask<'a>(&self, key: &'a FarKey, request: Option<Request<'a>>, reads: bool) -> Ask<'a> {
        Ask { node: self.owner(key), key, before: None, request, reads, is_part: false }
    }

    /// Before 1.6.13 the CAS that a store tells is a wrong one.
    fn stored_token(&self, key: &FarKey, reply: &Reply) -> Option<Token> {
        let server = self.nodes().node(self.owner(key)).server();
        token(reply).filter(|_| server.is_some_and(|server| server.features.fenced_delete))
    }

    pub(crate) fn failed(&self, key: &FarKey, failed: Failed<'_>) -> Error {
        failed.at(&self.nodes().node(self.owner(key)).name)
    }

    pub(crate) fn odd(&self, key: &FarKey, reply: Option<&Reply>) -> Error {
        self.nodes().node(self.owner(key)).odd(Kind::Backend, reply)
    }

    /// The same of a reply to what is not all that the node was asked.
    fn odd_at_last(&self, key: &FarKey, reply: &Reply) -> Error {
        self.nodes().node(self.owner(key)).odd(Kind::Unanswered, Some(reply))
    }
}

/// See [`Memcached::unless_settled`].
pub(crate) struct UnlessSettled<'a> {
    client: &'a Memcached,
    keys: &'a [FarKey],
    region: &'a FarKey,
    settled: bool,
}

impl UnlessSettled<'_> {
    /// These are the answers. If all is done, what is owed still is another caller's.
    pub(crate) fn by(mut self, answers: Vec<Invalidated>) -> Vec<Invalidated> {
        self.settled = answers.iter().all(|answer| matches!(answer, Invalidated::Done));
        answers
    }
}

impl Drop for UnlessSettled<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        for node in self.client.nodes().iter() {
            // Each of them is left, not only the first that is owed.
            let left = self.keys.iter().chain([self.region]).filter(|key| node.leave(key)).count();
            if left > 0 {
                drain::stir(node);
            }
        }
    }
}

/// What is made of each answer, in a list that has room for just as many.
pub(crate) fn each<'a, T, A, R>(
    asked: &'a [T],
    answers: impl Iterator<Item = A>,
    make: impl FnMut((&'a T, A)) -> R,
) -> Vec<R> {
    let mut made = Vec::with_capacity(asked.len());
    made.extend(asked.iter().zip(answers).map(make));
    made
}

/// What no node could keep as it is meant.
fn refusal(fill: &Fill<'_>) -> Option<Error> {
    if fill.record.is_empty() {
        return Some(Error::new(Kind::Codec, "a record of no bytes would read as the mark of a claim"));
    }
    let too_long = fill.keep.is_some_and(|keep| keep > LONGEST);
    too_long.then(|| Error::new(Kind::Config, "memcached keeps nothing for more than 30 days, grace included"))
}

pub(crate) fn bytes(key: &FarKey) -> Key<'_> {
    Key::checked_before(key.as_str())
}

/// CAS 0 is what a server without CAS tells: no fence.
pub(crate) fn token(reply: &Reply) -> Option<Token> {
    reply.cas.filter(|cas| *cas != 0).map(Token)
}

fn left(reply: &Reply) -> Option<Duration> {
    match reply.left {
        Some(Left::Seconds(seconds)) => Some(Duration::from_secs(seconds.into())),
        Some(Left::Forever) | None => None,
    }
}

pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// One more than asked for: n seconds of memcached live more than n-1.
fn lease_seconds(lease: Duration) -> u32 {
    whole_seconds(lease).max(1).saturating_add(1)
}
