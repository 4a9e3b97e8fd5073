//! One operation: what it sends to each node, and what it makes of the replies. It does no I/O; the two faces do.
//!
//! Invariant: a token and the generations that are told with it come over one connection, so from one life of the server:
//! when a generation was missing and had to be made, the item is read again together with it. Were it not, a token
//! from before a restart could be handed out with generations from after it, and both would pass as current.

use std::hash::{BuildHasher, RandomState};

use cache_core::clock::Tick;
use cache_core::generation::Generations;
use cache_core::key::FarKey;

use crate::batch::{Batch, Replied};
use crate::node::Nodes;
use crate::pending::{Due, Replay};
use crate::proto::{Code, Delete, Key, Mode, Reply, Request, Set};
use crate::server::Server;
#[cfg(feature = "tokio")]
use crate::sizes::Sizes;
use crate::trouble::Trouble;

/// How often a missing generation is made before the node is given up: each time somebody took it away in between.
const TRIPS: u32 = 4;

/// What is asked about one key.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) node: usize,
    pub(crate) key: &'a FarKey,
    pub(crate) requests: Vec<Request<'a>>,
    /// Whether the last of the requests is a read that must be of one life of the server with the generations.
    pub(crate) reads: bool,
}

impl Ask<'_> {
    /// How long the value is that is to be stored.
    pub(crate) fn value_len(&self) -> usize {
        self.requests.iter().map(|request| if let Request::Set(set) = request { set.value.len() } else { 0 }).sum()
    }
}

/// What came of an [`Ask`].
#[derive(Debug)]
pub(crate) struct Answer {
    /// One reply per request; none if a value was too large to be sent.
    pub(crate) replies: Vec<Reply>,
    /// The largest value that the node takes, if the ask's is larger.
    pub(crate) too_large: Option<usize>,
    pub(crate) generations: Generations,
    pub(crate) proved: Tick,
}

/// An operation under way.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    asks: Vec<Ask<'a>>,
    scopes: &'a [FarKey],
    parts: Vec<Part>,
    started: Tick,
}

/// What goes to one node.
#[derive(Debug)]
struct Part {
    node: usize,
    asks: Vec<usize>,
    /// The replies so far, one list per ask.
    replies: Vec<Vec<Reply>>,
    too_large: Vec<Option<usize>>,
    replays: Vec<Replay>,
    missing: Vec<usize>,
    trips: u32,
    outcome: Option<Result<Generations, Trouble>>,
}

impl<'a> Work<'a> {
    /// Dated `started`, an instant before anything is queued.
    pub(crate) fn new(asks: Vec<Ask<'a>>, scopes: &'a [FarKey], started: Tick) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for (index, ask) in asks.iter().enumerate() {
            match parts.iter_mut().find(|part| part.node == ask.node) {
                Some(part) => part.add(index),
                None => {
                    let mut part = Part::new(ask.node);
                    part.add(index);
                    parts.push(part);
                }
            }
        }
        Work { asks, scopes, parts, started }
    }

    /// The next part that has something to send, and its node.
    pub(crate) fn next(&self) -> Option<(usize, usize)> {
        let part = self.parts.iter().position(|part| part.outcome.is_none())?;
        Some((part, self.parts[part].node))
    }

    /// What that part sends to its node, which is this server. Asking again replaces what was asked before.
    pub(crate) fn batch(&mut self, index: usize, nodes: &Nodes, server: &Server) -> Batch<'a> {
        let Work { asks, scopes, parts, .. } = self;
        let part = &mut parts[index];
        let keys = part.asks.iter().map(|ask| asks[*ask].key);
        part.replays = nodes.node(part.node).pending_of(keys.chain(scopes.iter()));
        let mut batch = Batch::default();
        for replay in &part.replays {
            push_replay(&mut batch, replay);
        }
        for scope in &part.missing {
            push_generation(&mut batch, &scopes[*scope], Mode::Add);
        }
        for (place, ask) in part.asks.iter().enumerate() {
            let ask = &asks[*ask];
            let requests = match part.trips {
                0 if ask.value_len() > server.largest_value => {
                    part.too_large[place] = Some(server.largest_value);
                    &[]
                }
                0 => &ask.requests[..],
                _ if ask.reads => &ask.requests[ask.requests.len() - 1..],
                _ => &[],
            };
            requests.iter().for_each(|request| batch.push(request));
        }
        batch.scopes = scopes;
        batch
    }

    /// Takes in what came of a batch.
    pub(crate) fn absorb(&mut self, index: usize, nodes: &Nodes, result: Result<Replied, Trouble>) {
        let Work { asks, scopes, parts, .. } = self;
        let part = &mut parts[index];
        let (mut replies, found) = match result {
            Ok(replied) => (replied.replies.into_iter(), replied.generations),
            Err(trouble) => {
                part.outcome = Some(Err(trouble));
                return;
            }
        };
        for replay in std::mem::take(&mut part.replays) {
            match replies.next().map(|reply| reply.code) {
                Some(Code::Done | Code::NotFound) => nodes.node(part.node).replayed(&replay),
                other => {
                    part.outcome = Some(Err(Trouble::Refused(format!("{other:?}"))));
                    return;
                }
            }
        }
        replies.by_ref().take(part.missing.len()).for_each(drop);
        for (place, ask) in part.asks.iter().enumerate() {
            let ask = &asks[*ask];
            if part.trips == 0 && part.too_large[place].is_none() {
                part.replies[place] = replies.by_ref().take(ask.requests.len()).collect();
            } else if part.trips > 0
                && ask.reads
                && let (Some(last), Some(again)) = (part.replies[place].last_mut(), replies.next())
            {
                read_again(last, again);
            }
        }
        part.trips += 1;
        if found.len() == scopes.len() && found.iter().all(Option::is_some) {
            part.outcome = Some(Ok(Generations::new(found.into_iter().flatten())));
        } else if part.trips == TRIPS {
            part.outcome = Some(Err(Trouble::NoGenerations));
        } else {
            part.missing = (0..found.len()).filter(|scope| found[*scope].is_none()).collect();
        }
    }

    /// Notes how long the values were that were sent or came.
    #[cfg(feature = "tokio")]
    pub(crate) fn note_sizes(&self, sizes: &Sizes) {
        for part in &self.parts {
            for (ask, replies) in part.asks.iter().zip(&part.replies) {
                let ask = &self.asks[*ask];
                let come = replies.iter().filter_map(|reply| reply.value.as_ref()).map(Vec::len).max();
                let size = ask.value_len().max(come.unwrap_or_default());
                if size > 0 {
                    sizes.note(ask.key, size);
                }
            }
        }
    }

    /// The answer to each ask, in order.
    pub(crate) fn finish(self) -> Vec<Result<Answer, Trouble>> {
        let Work { asks, parts, started, .. } = self;
        let mut answers: Vec<Option<Result<Answer, Trouble>>> = asks.iter().map(|_| None).collect();
        for part in parts {
            let Part { asks, replies, too_large, outcome, .. } = part;
            for ((index, replies), too_large) in asks.into_iter().zip(replies).zip(too_large) {
                answers[index] = outcome.clone().map(|outcome| {
                    outcome.map(|generations| Answer { replies, too_large, generations, proved: started })
                });
            }
        }
        let unasked = || Err(Trouble::Dead("the operation was not finished".to_owned()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(unasked)).collect()
    }
}

impl Part {
    fn new(node: usize) -> Self {
        Part {
            node,
            asks: Vec::new(),
            replies: Vec::new(),
            too_large: Vec::new(),
            replays: Vec::new(),
            missing: Vec::new(),
            trips: 0,
            outcome: None,
        }
    }

    fn add(&mut self, ask: usize) {
        self.asks.push(ask);
        self.replies.push(Vec::new());
        self.too_large.push(None);
    }
}

/// The item as it is now; a token that was won before and still stands is won.
fn read_again(last: &mut Reply, again: Reply) {
    let won_before = last.won && again.token_out && again.cas == last.cas && last.cas.is_some_and(|cas| cas != 0);
    *last = again;
    if won_before {
        last.won = true;
        last.token_out = false;
    }
}

fn push_replay(batch: &mut Batch<'_>, replay: &Replay) {
    let delete = Delete::new(Key::checked_before(replay.key.as_str()));
    match replay.due {
        Due::Hard => batch.push(&Request::Delete(delete)),
        // Without T: the item keeps its life, however often it is softened.
        Due::Soft => batch.push(&Request::Delete(Delete { mark_stale: true, ..delete })),
        // Without a fence: a delayed one brings another random number, never an old one.
        Due::Bump => push_generation(batch, &replay.key, Mode::Set),
    }
}

/// A new generation. It never expires: a scope whose generation is gone is invalidated by that.
fn push_generation(batch: &mut Batch<'_>, scope: &FarKey, mode: Mode) {
    // Keyed by the system's random numbers: no two calls of any process give the same but by chance.
    let value = RandomState::new().hash_one(()).to_le_bytes();
    batch.push(&Request::Set(Set { mode, ..Set::new(Key::checked_before(scope.as_str()), &value) }));
}
