//! The far tier: records that other processes share, in batches from the start.
//!
//! The two traits are twins: the same requests, answered in the caller's thread or by a future. Nothing here stores
//! a value without a fence (rule R3): a [`Fill`] names the token that was read before its load began.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::clock::Tick;
use crate::error::{Error, Result};
use crate::generation::Generations;
use crate::key::FarKey;

/// A far backend that answers in the caller's thread.
///
/// Each answer has one element per key, in order: one node's failure is not another's. No call takes longer than the
/// backend's own I/O timeouts.
pub trait BytesBackend: Send + Sync + fmt::Debug {
    /// Reads records, and claims the right to load those that are missing or stale.
    fn read(&self, read: &Read<'_>) -> Vec<Result<Seen>>;

    /// Stores records, each fenced by its token, and reads the scopes' generations again after them.
    fn fill(&self, fills: &[Fill<'_>], scopes: &[FarKey]) -> Vec<Result<Filled>>;

    /// Gives back claims that will not be used, and reads the scopes' generations again after them.
    fn hand_back(&self, claims: &[HandBack<'_>], scopes: &[FarKey]) -> Vec<Result<Returned>>;

    /// Claims the right to load what gives nobody a claim by itself: dead records (rule R6), and stale ones whose
    /// claimant died. Of all who try with one token, at most one wins.
    fn take(&self, takes: &[Take<'_>], scopes: &[FarKey]) -> Vec<Result<Seen>>;

    /// Tells what is current, without the values. A claim that comes along by accident is handed back here.
    fn validate(&self, keys: &[FarKey], scopes: &[FarKey]) -> Vec<Result<Check>>;

    /// Makes the keys' records unreachable, or stale. `region` is the scope that all of them belong to: where more
    /// invalidations wait for a node than it can be owed, another generation of this one takes their place.
    fn invalidate(&self, keys: &[FarKey], strength: Strength, region: &FarKey) -> Vec<Invalidated>;

    /// Changes the generations of these scopes on every node. `region` is the scope that all of them are or belong to, as
    /// for [`invalidate`](BytesBackend::invalidate).
    fn bump(&self, scopes: &[FarKey], region: &FarKey) -> Vec<Invalidated>;

    /// How many invalidations have not been shown to be done, of all that share the backend's nodes.
    fn pending(&self) -> usize {
        0
    }

    /// What this process knows of each of its nodes.
    fn nodes(&self) -> Vec<NodeStats> {
        Vec::new()
    }

    /// The largest record that can be stored, in bytes, where that is known.
    fn size_limit(&self) -> Option<usize> {
        None
    }
}

/// What this process knows of one node, whichever region asked it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStats {
    /// The node, as errors name it.
    pub name: String,
    /// For how long it has been left alone because it did not answer; `None` while it is asked.
    pub set_aside_for: Option<Duration>,
    /// What the backend counts, each with its name, in an order of its own.
    pub counts: Vec<(&'static str, u64)>,
}

impl NodeStats {
    /// A node that is asked, and of which nothing was counted.
    pub fn new(name: impl Into<String>) -> Self {
        NodeStats { name: name.into(), set_aside_for: None, counts: Vec::new() }
    }

    /// The count of this name.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.counts.iter().find(|(known, _)| *known == name).map(|(_, count)| *count)
    }
}

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A far backend that answers by futures: the twin of [`BytesBackend`], method by method.
pub trait AsyncBytesBackend: Send + Sync + fmt::Debug {
    /// See [`BytesBackend::read`].
    fn read<'a>(&'a self, read: &'a Read<'a>) -> BoxFuture<'a, Vec<Result<Seen>>>;

    /// See [`BytesBackend::fill`].
    fn fill<'a>(&'a self, fills: &'a [Fill<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Filled>>>;

    /// See [`BytesBackend::hand_back`].
    fn hand_back<'a>(
        &'a self,
        claims: &'a [HandBack<'a>],
        scopes: &'a [FarKey],
    ) -> BoxFuture<'a, Vec<Result<Returned>>>;

    /// See [`BytesBackend::take`].
    fn take<'a>(&'a self, takes: &'a [Take<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Seen>>>;

    /// See [`BytesBackend::validate`].
    fn validate<'a>(&'a self, keys: &'a [FarKey], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Check>>>;

    /// See [`BytesBackend::invalidate`].
    ///
    /// A future dropped before its reply leaves the invalidation pending, never half forgotten.
    fn invalidate<'a>(
        &'a self,
        keys: &'a [FarKey],
        strength: Strength,
        region: &'a FarKey,
    ) -> BoxFuture<'a, Vec<Invalidated>>;

    /// See [`BytesBackend::bump`].
    fn bump<'a>(&'a self, scopes: &'a [FarKey], region: &'a FarKey) -> BoxFuture<'a, Vec<Invalidated>>;

    /// See [`BytesBackend::pending`].
    fn pending(&self) -> usize {
        0
    }

    /// See [`BytesBackend::nodes`].
    fn nodes(&self) -> Vec<NodeStats> {
        Vec::new()
    }

    /// See [`BytesBackend::size_limit`].
    fn size_limit(&self) -> Option<usize> {
        None
    }
}

/// What a [`read`](BytesBackend::read) asks.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    /// The keys.
    pub keys: &'a [FarKey],
    /// The scopes whose generations each key's node is asked for.
    pub scopes: &'a [FarKey],
    /// Whether the right to load is claimed, and for how long.
    pub lease: Lease,
    /// How long before its end a record counts as stale, so that the reader may claim its reload: the `grace` of the
    /// reader's policy.
    pub grace: Duration,
    /// Whether remembered generations will do.
    pub recall: Recall,
}

/// Whether a read claims the right to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It claims it, for this long (whole seconds, at least one).
    Claim(Duration),
    /// It only looks.
    None,
}

/// Whether the generations in an answer may come from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recall {
    /// They may: remembered generations may accept a record.
    Allowed,
    /// They may not: a record that remembered generations did not accept is judged by those of the node (never reject
    /// by what is remembered).
    Never,
}

/// A fence: what stood in the slot when it was read. A write that carries it succeeds only if nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// Who has the right to load a key, among all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The one who asked.
    Won,
    /// Somebody else.
    Elsewhere,
    /// Nobody was given it: the record is fresh, or no lease was asked for, or the node has no room for one.
    Nobody,
}

/// What a read saw under one key.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The record; `None` where there is nothing, or only the mark of a claim.
    pub record: Option<Vec<u8>>,
    /// The fence; `None` where the node gives none, and then nothing may be stored.
    pub token: Option<Token>,
    /// Who may load.
    pub claim: Claim,
    /// Whether the record was marked stale, by a soft invalidation or a claim that was handed back.
    pub marked_stale: bool,
    /// How long the node will keep the record; `None`: it never expires.
    pub left: Option<Duration>,
    /// For how long before its end the writer meant the record to be stale: it is fresh while `left` is at least this.
    pub grace: Duration,
    /// The generations of the key's own node, one per scope asked for.
    pub generations: Generations,
    /// Whether those come from memory.
    pub remembered: bool,
    /// Whether the request was sent before, and not answered: a claim elsewhere may be one that this process won by it.
    pub repeated: bool,
    /// The instant before the request was queued, or that of the remembered generations if it is earlier (rule R1).
    pub proved: Tick,
}

/// A record to be stored, and the fence it must pass.
#[derive(Debug, Clone, Copy)]
pub struct Fill<'a> {
    /// The key.
    pub key: &'a FarKey,
    /// The record.
    pub record: &'a [u8],
    /// What the slot showed before the load began.
    pub token: Token,
    /// How long the node keeps it, `grace` included; `None`: it never expires.
    pub keep: Option<Duration>,
    /// For how long before its end it is stale (whole seconds; see [`Seen::grace`]).
    pub grace: Duration,
}

/// What became of a fill.
#[derive(Debug, Clone)]
pub struct Filled {
    /// Whether it was stored.
    pub outcome: FillOutcome,
    /// The scopes' generations after it.
    pub generations: Generations,
    /// The instant before the fill was queued.
    pub proved: Tick,
}

/// Whether a record was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillOutcome {
    /// It was; this is its fence, where the node tells it.
    Stored(Option<Token>),
    /// The slot has changed since the token was read: an invalidation or another writer came between.
    Superseded,
    /// The record is larger than the node takes, and was not sent.
    TooLarge {
        /// The largest record that the node takes, in bytes.
        limit: usize,
    },
}

/// A claim that will not be used.
#[derive(Debug, Clone, Copy)]
pub struct HandBack<'a> {
    /// The key.
    pub key: &'a FarKey,
    /// The fence that came with the claim.
    pub token: Token,
    /// What stands in the slot.
    pub kept: Kept,
}

/// What a claim stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing but the mark of the claim.
    Stub,
    /// A stale value, which stays and keeps its life.
    Stale,
    /// A record that nobody can use; it may be replaced by a mark.
    Dead,
}

/// What became of a claim that was handed back.
#[derive(Debug, Clone)]
pub struct Returned {
    /// Whether the slot was still as it had been when the claim was won: nobody invalidated the key meanwhile.
    pub held: bool,
    /// The scopes' generations after it.
    pub generations: Generations,
    /// The instant before the request was queued.
    pub proved: Tick,
}

/// A claim to be taken on a record that gives none by itself.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a> {
    /// The key.
    pub key: &'a FarKey,
    /// The fence of the record as it was seen.
    pub token: Token,
    /// Whether the record is of use: a stale one keeps its life, a dead one lives as long as the claim.
    pub kept: Kept,
    /// How long the claim lasts (whole seconds, at least one).
    pub lease: Duration,
}

/// What is current under one key, without its value.
#[derive(Debug, Clone)]
pub struct Check {
    /// The fence of what stands there; `None` where there is no record.
    pub token: Option<Token>,
    /// Whether it is marked stale.
    pub marked_stale: bool,
    /// How long the node will keep it.
    pub left: Option<Duration>,
    /// See [`Seen::repeated`]: where a stale record stands, that may have given a claim by accident.
    pub repeated: bool,
    /// The scopes' generations.
    pub generations: Generations,
    /// The instant before the request was queued.
    pub proved: Tick,
}

/// How an invalidated value may still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strength {
    /// Not at all.
    #[default]
    Hard,
    /// It may be served while one caller reloads it.
    Soft,
}

/// What became of an invalidation.
#[derive(Debug)]
pub enum Invalidated {
    /// The node answered that it is done.
    Done,
    /// It has not been shown to be done, for this reason. It is queued and will be repeated.
    Pending(Error),
}
