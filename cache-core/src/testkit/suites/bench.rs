//! What a case of the far suite works with: two processes' clients of the same nodes, and the power over time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Unmet, Verdict, expect, skip};
use crate::backend::{
    BytesBackend, Claim, Fill, FillOutcome, Filled, HandBack, Invalidated, Kept, Lease, Read, Recall, Returned, Seen,
    Strength, Take, Token,
};
use crate::error::Result;
use crate::generation::Generations;
use crate::key::FarKey;
use crate::testkit::{SimFar, block_on};

/// A far backend under test.
#[derive(Clone)]
pub struct SuiteFar {
    /// The client of one process.
    pub far: Arc<dyn BytesBackend>,
    /// The client of another process, of the same nodes. Neither remembers generations.
    pub other: Arc<dyn BytesBackend>,
    /// Lets so much time pass, for the nodes and for both clients. Cases let up to 10 seconds pass.
    pub pass: Arc<dyn Fn(Duration) + Send + Sync>,
    /// Brings trouble about, where that can be done; else those cases are skipped.
    pub trouble: Option<Arc<dyn Fn(Trouble) + Send + Sync>>,
    /// What all keys begin with. On nodes that outlive a run, another one in each run.
    pub prefix: String,
}

/// Trouble that a suite asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The node that owns this key cannot be reached, and keeps what it holds. (What does not keep it passes as well.)
    Down(FarKey),
    /// That node can be reached again, and both clients will try to.
    Up(FarKey),
    /// The node that owns this key ends and starts again, empty.
    Restart(FarKey),
    /// What stands under this key on the node that owns it makes room.
    Evict(FarKey),
    /// The generation of this scope makes room on the node that owns this key.
    EvictScope(FarKey, FarKey),
}

impl SuiteFar {
    /// The blocking face of a simulated far tier, with every kind of trouble.
    pub fn of_sim(far: &SimFar) -> Self {
        let clock = far.nodes().clock().clone();
        SuiteFar {
            far: Arc::new(far.clone()),
            other: Arc::new(far.client()),
            pass: Arc::new(move |time| clock.advance(time)),
            trouble: Some(sim_trouble(far)),
            prefix: String::new(),
        }
    }
}

impl super::AsyncSuiteFar {
    /// The async face of a simulated far tier, with every kind of trouble.
    pub fn of_sim(far: &SimFar) -> Self {
        let (clock, turned) = (far.nodes().clock().clone(), far.nodes().clock().clone());
        super::AsyncSuiteFar {
            far: Arc::new(far.clone()),
            other: Arc::new(far.client()),
            // A deadlock leaves the future unfinished, which the suite reports.
            block_on: Arc::new(move |future| drop(block_on(&clock, future))),
            pass: Arc::new(move |time| turned.advance(time)),
            trouble: Some(sim_trouble(far)),
            prefix: String::new(),
        }
    }
}

fn sim_trouble(far: &SimFar) -> Arc<dyn Fn(Trouble) + Send + Sync> {
    let nodes = far.nodes().clone();
    Arc::new(move |trouble| match trouble {
        Trouble::Down(key) => nodes.down(nodes.owner(&key)),
        Trouble::Up(key) => nodes.up(nodes.owner(&key)),
        Trouble::Restart(key) => nodes.restart(nodes.owner(&key)),
        Trouble::Evict(key) => drop(nodes.server(nodes.owner(&key)).evict(&key)),
        Trouble::EvictScope(scope, key) => drop(nodes.server(nodes.owner(&key)).evict(&scope)),
    })
}

impl fmt::Debug for SuiteFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuiteFar").field("far", &self.far).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The lease that cases ask for where its length does not matter.
pub(super) const LEASE: Duration = Duration::from_secs(30);

pub(super) struct Bench {
    pub(super) subject: SuiteFar,
    /// The case's number, so that cases share no key.
    pub(super) case: usize,
    pub(super) scopes: Vec<FarKey>,
}

impl Bench {
    pub(super) fn new(subject: SuiteFar, case: usize) -> Verdict<Self> {
        let mut bench = Bench { subject, case, scopes: Vec::new() };
        bench.scopes = vec![bench.key("scope:region")?, bench.key("scope:namespace")?];
        Ok(bench)
    }

    pub(super) fn far(&self) -> &dyn BytesBackend {
        &*self.subject.far
    }

    pub(super) fn other(&self) -> &dyn BytesBackend {
        &*self.subject.other
    }

    pub(super) fn pass(&self, milliseconds: u64) {
        (self.subject.pass)(Duration::from_millis(milliseconds));
    }

    pub(super) fn trouble(&self, trouble: Trouble) -> Verdict {
        let bring = self.subject.trouble.as_ref().ok_or_else(|| skip("no trouble can be brought about"))?;
        bring(trouble);
        Ok(())
    }

    pub(super) fn key(&self, name: &str) -> Verdict<FarKey> {
        let text = format!("{}{:02}:{name}", self.subject.prefix, self.case);
        FarKey::new(text).map_err(|error| Unmet::Failed(format!("a key of the suite failed: {error}")))
    }

    pub(super) fn keys(&self, count: usize) -> Verdict<Vec<FarKey>> {
        (0..count).map(|n| self.key(&format!("k{n}"))).collect()
    }

    pub(super) fn read_all(&self, far: &dyn BytesBackend, keys: &[FarKey], lease: Lease) -> Vec<Result<Seen>> {
        self.read_with(far, keys, lease, Duration::ZERO)
    }

    pub(super) fn read_with(
        &self,
        far: &dyn BytesBackend,
        keys: &[FarKey],
        lease: Lease,
        grace: Duration,
    ) -> Vec<Result<Seen>> {
        far.read(&Read { keys, scopes: &self.scopes, lease, grace, recall: Recall::Never })
    }

    /// Reads one key and claims its load.
    pub(super) fn claim(&self, far: &dyn BytesBackend, key: &FarKey) -> Verdict<Seen> {
        one("read", self.read_all(far, std::slice::from_ref(key), Lease::Claim(LEASE)))
    }

    /// Claims a reload `grace` before the record's end.
    pub(super) fn claim_early(&self, far: &dyn BytesBackend, key: &FarKey, grace: u64) -> Verdict<Seen> {
        let grace = Duration::from_secs(grace);
        one("read", self.read_with(far, std::slice::from_ref(key), Lease::Claim(LEASE), grace))
    }

    pub(super) fn look(&self, far: &dyn BytesBackend, key: &FarKey) -> Verdict<Seen> {
        one("read", self.read_all(far, std::slice::from_ref(key), Lease::None))
    }

    /// Claims the load and expects to win it.
    pub(super) fn win(&self, far: &dyn BytesBackend, key: &FarKey) -> Verdict<Token> {
        let seen = self.claim(far, key)?;
        won("a claim that nobody holds", &seen)
    }

    pub(super) fn fill_with(
        &self,
        far: &dyn BytesBackend,
        key: &FarKey,
        record: &[u8],
        token: Token,
        keep: Option<u64>,
        grace: u64,
    ) -> Verdict<Filled> {
        let (keep, grace) = (keep.map(Duration::from_secs), Duration::from_secs(grace));
        one("fill", far.fill(&[Fill { key, record, token, keep, grace }], &self.scopes))
    }

    /// Fills for a minute and tells what became of it.
    pub(super) fn fill(
        &self,
        far: &dyn BytesBackend,
        key: &FarKey,
        record: &[u8],
        token: Token,
    ) -> Verdict<FillOutcome> {
        Ok(self.fill_with(far, key, record, token, Some(60), 0)?.outcome)
    }

    /// Wins the load of a key and stores a record under it for so long.
    pub(super) fn store_for(&self, key: &FarKey, record: &[u8], keep: Option<u64>, grace: u64) -> Verdict {
        let token = self.win(self.far(), key)?;
        stored("a fill by the winner", &self.fill_with(self.far(), key, record, token, keep, grace)?.outcome)
    }

    pub(super) fn store(&self, key: &FarKey, record: &[u8]) -> Verdict {
        self.store_for(key, record, Some(60), 0)
    }

    pub(super) fn hand_back(
        &self,
        far: &dyn BytesBackend,
        key: &FarKey,
        token: Token,
        kept: Kept,
    ) -> Verdict<Returned> {
        one("hand_back", far.hand_back(&[HandBack { key, token, kept }], &self.scopes))
    }

    pub(super) fn take(&self, far: &dyn BytesBackend, key: &FarKey, token: Token, kept: Kept) -> Verdict<Seen> {
        one("take", far.take(&[Take { key, token, kept, lease: LEASE }], &self.scopes))
    }

    /// The scope that every key belongs to.
    pub(super) fn region(&self) -> &FarKey {
        &self.scopes[0]
    }

    pub(super) fn invalidate(&self, far: &dyn BytesBackend, key: &FarKey, strength: Strength) -> Verdict {
        done("an invalidation", far.invalidate(std::slice::from_ref(key), strength, self.region()))
    }

    /// The generations that a look at `key` brings.
    pub(super) fn generations(&self, far: &dyn BytesBackend, key: &FarKey) -> Verdict<Generations> {
        let generations = self.look(far, key)?.generations;
        expect(generations.len() == self.scopes.len(), || {
            format!("a read with {} scopes should bring one generation for each: {generations:?}", self.scopes.len())
        })?;
        Ok(generations)
    }
}

/// The only answer to a batch of one.
pub(super) fn one<T>(what: &str, answers: Vec<Result<T>>) -> Verdict<T> {
    let count = answers.len();
    match answers.into_iter().next() {
        Some(Ok(answer)) if count == 1 => Ok(answer),
        Some(Err(error)) => Err(Unmet::Failed(format!("`{what}` should be answered, not fail: {error}"))),
        _ => Err(Unmet::Failed(format!("`{what}` of one key should have one answer, not {count}"))),
    }
}

pub(super) fn done(what: &str, answers: Vec<Invalidated>) -> Verdict {
    let pending = answers.iter().find(|answer| !matches!(answer, Invalidated::Done));
    expect(!answers.is_empty(), || format!("{what} should be answered once per key"))?;
    expect(pending.is_none(), || format!("{what} should be done, not {pending:?}"))
}

pub(super) fn won(what: &str, seen: &Seen) -> Verdict<Token> {
    expect(seen.claim == Claim::Won, || format!("{what} should be won: {seen:?}"))?;
    seen.token.ok_or_else(|| Unmet::Failed(format!("{what} should bring a token: {seen:?}")))
}

pub(super) fn claimed(what: &str, seen: &Seen, claim: Claim) -> Verdict {
    expect(seen.claim == claim, || format!("{what} should find the claim {claim:?}: {seen:?}"))
}

pub(super) fn stored(what: &str, outcome: &FillOutcome) -> Verdict {
    expect(matches!(outcome, FillOutcome::Stored(_)), || format!("{what} should be stored, not {outcome:?}"))
}

pub(super) fn superseded(what: &str, outcome: &FillOutcome) -> Verdict {
    expect(*outcome == FillOutcome::Superseded, || format!("{what} should be superseded, not {outcome:?}"))
}

pub(super) fn holds(what: &str, seen: &Seen, record: Option<&[u8]>) -> Verdict {
    let found = seen.record.as_deref();
    let shown = |record: Option<&[u8]>| match record {
        None => "no record".to_owned(),
        Some(record) if record.len() > 40 => format!("a record of {} bytes", record.len()),
        Some(record) => format!("\"{}\"", record.escape_ascii()),
    };
    expect(found == record, || format!("{what} should find {}, not {}", shown(record), shown(found)))
}

/// A node counts in whole seconds, and one may have begun.
pub(super) fn left_about(what: &str, seen: &Seen, seconds: u64) -> Verdict {
    let met = seen.left.is_some_and(|left| (seconds.saturating_sub(1)..=seconds).contains(&left.as_secs()));
    expect(met, || format!("{what} should find about {seconds} s left, not {:?}", seen.left))
}
