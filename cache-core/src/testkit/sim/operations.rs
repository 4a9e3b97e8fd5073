//! The operations of a far backend as commands, and their replies as answers: what both faces share.
//!
//! Invariant: no value is sent without a CAS, and no TTL below one second.

use std::time::Duration;

use super::client::SimFar;
use super::pipeline::{Answer, Ask, trouble, unanswered};
use crate::backend::{
    Check, Claim, Fill, FillOutcome, Filled, HandBack, Invalidated, Kept, Lease, Read, Returned, Seen, Strength, Take,
    Token,
};
use crate::error::{Error, Kind, Result};
use crate::key::FarKey;
use crate::testkit::meta::{Code, Command, Left, MetaDelete, MetaGet, MetaSet, Reply, largest_value, md, mg, ms};

use super::pending::Due;

/// Beyond it memcached takes a TTL for an absolute time.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl SimFar {
    pub(super) fn read_asks(&self, read: &Read<'_>) -> Vec<Ask> {
        let vivify = match read.lease {
            Lease::Claim(lease) => Some(lease_seconds(lease)),
            Lease::None => None,
        };
        let grace = whole_seconds(read.grace);
        let recache = vivify.and((grace > 0).then_some(grace));
        let ask = |key: &FarKey| {
            let get = Command::Get(MetaGet { vivify, recache, ..mg(key, "vcfts") });
            self.ask(key, vec![get.clone()], Some(get))
        };
        read.keys.iter().map(ask).collect()
    }

    pub(super) fn take_asks(&self, takes: &[Take<'_>]) -> Vec<Ask> {
        let ask = |take: &Take<'_>| {
            let lease = lease_seconds(take.lease);
            // A stale value keeps its life; what is dead lives no longer than the claim on it.
            let ttl = (take.kept != Kept::Stale).then_some(lease);
            let free = Command::Delete(MetaDelete { ttl, cas: Some(take.token.0), flags: "I", ..md(take.key) });
            let get = Command::Get(MetaGet { vivify: Some(lease), ..mg(take.key, "vcfts") });
            self.ask(take.key, vec![free, get.clone()], Some(get))
        };
        takes.iter().map(ask).collect()
    }

    /// What the last reply, that of `mg`, tells. Whether `md` was let through before it says nothing about who won.
    pub(super) fn seen(&self, key: &FarKey, answer: Result<Answer>) -> Result<Seen> {
        let answer = answer?;
        let Some(reply) = answer.replies.into_iter().next_back() else { return Err(self.odd(key, "nothing")) };
        if !matches!(reply.code, Code::Va | Code::En) {
            return Err(self.odd(key, &reply.to_string()));
        }
        let token = token(&reply);
        let claim = match () {
            () if reply.won => Claim::Won,
            () if reply.token_out => Claim::Elsewhere,
            () => Claim::Nobody,
        };
        Ok(Seen {
            token,
            claim,
            marked_stale: reply.stale,
            left: left(&reply),
            grace: Duration::from_secs(reply.client_flags.unwrap_or(0).into()),
            // An item of no bytes is the mark of a claim.
            record: reply.value.filter(|value| !value.is_empty()),
            generations: answer.generations,
            remembered: answer.remembered,
            repeated: answer.repeated,
            proved: answer.proved,
        })
    }

    pub(super) fn fill_asks(&self, fills: &[Fill<'_>]) -> Vec<Ask> {
        let ask = |fill: &Fill<'_>| {
            if self.refusal(fill).is_some() || self.is_too_large(fill) {
                return self.ask(fill.key, Vec::new(), None);
            }
            let set = MetaSet {
                cas: Some(fill.token.0),
                ttl: Some(fill.keep.map_or(0, |keep| whole_seconds(keep).max(1))),
                client_flags: whole_seconds(fill.grace),
                ..ms(fill.key, fill.record)
            };
            self.ask(fill.key, vec![Command::Set(set)], None)
        };
        fills.iter().map(ask).collect()
    }

    pub(super) fn filled(&self, fill: &Fill<'_>, answer: Result<Answer>) -> Result<Filled> {
        if let Some(error) = self.refusal(fill) {
            return Err(error);
        }
        let answer = answer?;
        let outcome = match answer.replies.first() {
            _ if self.is_too_large(fill) => FillOutcome::TooLarge { limit: self.largest_record() },
            Some(reply) if reply.code == Code::Hd => FillOutcome::Stored(token(reply)),
            Some(reply) if matches!(reply.code, Code::Ex | Code::Nf) => FillOutcome::Superseded,
            other => return Err(self.odd(fill.key, &other.map(Reply::to_string).unwrap_or_default())),
        };
        Ok(Filled { outcome, generations: answer.generations, proved: answer.proved })
    }

    pub(super) fn hand_back_asks(&self, claims: &[HandBack<'_>]) -> Vec<Ask> {
        let ask = |claim: &HandBack<'_>| {
            let flags = if claim.kept == Kept::Stale { "I" } else { "" };
            let command = Command::Delete(MetaDelete { cas: Some(claim.token.0), flags, ..md(claim.key) });
            self.ask(claim.key, vec![command], None)
        };
        claims.iter().map(ask).collect()
    }

    pub(super) fn returned(&self, claim: &HandBack<'_>, answer: Result<Answer>) -> Result<Returned> {
        let answer = answer?;
        match answer.replies.first().map(|reply| reply.code) {
            Some(code @ (Code::Hd | Code::Ex | Code::Nf)) => {
                Ok(Returned { held: code == Code::Hd, generations: answer.generations, proved: answer.proved })
            }
            other => Err(self.odd(claim.key, &format!("{other:?}"))),
        }
    }

    pub(super) fn validate_asks(&self, keys: &[FarKey]) -> Vec<Ask> {
        keys.iter().map(|key| self.ask(key, vec![Command::Get(mg(key, "cts"))], None)).collect()
    }

    /// What goes out after the replies of a validation: each claim that came by accident goes back.
    pub(super) fn accident_asks(&self, keys: &[FarKey], answers: &[Result<Answer>]) -> Vec<Ask> {
        let mut asks = Vec::new();
        for (key, answer) in keys.iter().zip(answers) {
            let reply = answer.as_ref().ok().and_then(|answer| answer.replies.first());
            if let Some(reply) = reply.filter(|reply| reply.won) {
                let command = Command::Delete(MetaDelete { cas: reply.cas, flags: "I", ..md(key) });
                asks.push(self.ask(key, vec![command], None));
            }
        }
        asks
    }

    /// `accidents`: what came of the claims that were to go back, in order.
    pub(super) fn checked(
        &self,
        key: &FarKey,
        answer: Result<Answer>,
        accidents: &mut impl Iterator<Item = Result<Answer>>,
    ) -> Result<Check> {
        let answer = answer?;
        let reply = answer.replies.first().filter(|reply| matches!(reply.code, Code::Hd | Code::En));
        let Some(reply) = reply else { return Err(self.odd(key, "no item")) };
        if reply.won && accidents.next().is_some_and(|undone| undone.is_err()) {
            return Err(unanswered("a claim that came by accident did not go back", self.owner(key)));
        }
        Ok(Check {
            token: token(reply).filter(|_| reply.size.is_some_and(|size| size > 0)),
            marked_stale: reply.stale,
            left: left(reply),
            repeated: answer.repeated,
            generations: answer.generations,
            proved: answer.proved,
        })
    }

    /// The invalidations are owed from here on; the asks have nothing but that to send.
    pub(super) fn invalidate_asks(&self, keys: &[FarKey], strength: Strength) -> Vec<Ask> {
        let due = match strength {
            Strength::Hard => Due::Hard,
            Strength::Soft => Due::Soft,
        };
        self.owe(due, keys.iter().map(|key| (self.owner(key), key)));
        keys.iter().map(|key| self.ask(key, Vec::new(), None)).collect()
    }

    /// The same for scopes: one ask per scope and node, those of one scope together.
    pub(super) fn bump_asks(&self, scopes: &[FarKey]) -> Vec<Ask> {
        let each = || scopes.iter().flat_map(|scope| self.members().iter().map(move |node| (*node, scope)));
        self.owe(Due::Bump, each());
        each().map(|(node, scope)| Ask::nothing(node, scope.clone())).collect()
    }

    pub(super) fn invalidated(&self, node: usize, key: &FarKey, answer: Result<Answer>) -> Invalidated {
        match answer {
            // Another request of this process may have replayed it meanwhile.
            Err(_) if !self.owes(node, key) => Invalidated::Done,
            Err(error) => Invalidated::Pending(error),
            Ok(_) => Invalidated::Done,
        }
    }

    /// One answer per scope from one per scope and node.
    pub(super) fn bumped(&self, scopes: &[FarKey], answers: Vec<Result<Answer>>) -> Vec<Invalidated> {
        let members = self.members();
        let mut answers = answers.into_iter();
        let of_scope = |scope: &FarKey| {
            let mut all = Invalidated::Done;
            for (node, answer) in members.iter().zip(answers.by_ref()) {
                if let Invalidated::Pending(error) = self.invalidated(*node, scope, answer) {
                    all = Invalidated::Pending(error);
                }
            }
            all
        };
        scopes.iter().map(of_scope).collect()
    }

    pub(super) fn largest_record(&self) -> usize {
        let limits = self.members().iter().map(|node| self.nodes().server(*node).settings().item_limit);
        largest_value(limits.min().unwrap_or(0))
    }

    fn is_too_large(&self, fill: &Fill<'_>) -> bool {
        fill.record.len() > self.largest_record()
    }

    /// What no node could keep as it is meant.
    fn refusal(&self, fill: &Fill<'_>) -> Option<Error> {
        if fill.record.is_empty() {
            return Some(Error::new(Kind::Codec, "a record of no bytes would read as the mark of a claim"));
        }
        let too_long = fill.keep.is_some_and(|keep| keep > LONGEST);
        too_long.then(|| Error::new(Kind::Config, "memcached keeps nothing for more than 30 days, grace included"))
    }

    fn ask(&self, key: &FarKey, commands: Vec<Command>, again: Option<Command>) -> Ask {
        Ask { node: self.owner(key), key: key.clone(), commands, again }
    }

    fn odd(&self, key: &FarKey, reply: &str) -> Error {
        trouble("the node answered what was not expected", self.owner(key)).with("reply", reply)
    }
}

/// CAS 0 is what a server without CAS tells: no fence.
fn token(reply: &Reply) -> Option<Token> {
    reply.cas.filter(|cas| *cas != 0).map(Token)
}

fn left(reply: &Reply) -> Option<Duration> {
    match reply.left {
        Some(Left::Seconds(seconds)) => Some(Duration::from_secs(seconds.into())),
        Some(Left::Forever) | None => None,
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// One more than asked for: n seconds of memcached live more than n-1.
fn lease_seconds(lease: Duration) -> u32 {
    whole_seconds(lease).max(1).saturating_add(1)
}
