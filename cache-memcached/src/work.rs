//! One operation: what it sends to each node, and what it makes of the replies. It does no I/O; the two faces do.
//!
//! Invariant: a token and the generations that are told with it come over one connection, so from one life of the server:
//! when a generation was missing and had to be made, the item is read again together with it. Were it not, a token
//! from before a restart could be handed out with generations from after it, and both would pass as current.

use std::ops::Range;

use cache_core::clock::Tick;
use cache_core::generation::Generations;
use cache_core::key::FarKey;

use crate::batch::{Batch, Replied};
use crate::node::{Node, Nodes};
use crate::pending::{Replay, push_generation};
use crate::proto::{Mode, Reply, Request};
use crate::server::Server;
#[cfg(feature = "tokio")]
use crate::sizes::{self, Sizes};
use crate::trouble::Trouble;

/// How often a missing generation is made before the node is given up: each time somebody took it away in between.
const TRIPS: u32 = 4;

/// What is asked about one key.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) node: usize,
    pub(crate) key: &'a FarKey,
    /// What goes before the request, and whose reply tells nothing.
    pub(crate) before: Option<Request<'a>>,
    /// None where only what is owed is to be sent.
    pub(crate) request: Option<Request<'a>>,
    /// Whether the request is a read that must be of one life of the server with the generations.
    pub(crate) reads: bool,
    /// Whether it is about a part of a record: such travel beside small ones.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "a blocking caller has a connection of its own"))]
    pub(crate) is_part: bool,
}

impl Ask<'_> {
    /// Why its request must not be sent to this server, if it must not.
    fn unsent(&self, server: &Server) -> Option<Unsent> {
        match &self.request {
            Some(Request::Set(set)) if set.value.len() > server.largest_value => {
                Some(Unsent::TooLarge(server.largest_value))
            }
            Some(request) if is_unfenced(request, server) => Some(Unsent::Unfenced),
            _ => None,
        }
    }

    /// How long the value is that is to be stored.
    #[cfg(feature = "tokio")]
    fn value_len(&self) -> usize {
        if let Some(Request::Set(set)) = &self.request { set.value.len() } else { 0 }
    }
}

/// What came of an [`Ask`].
#[derive(Debug)]
pub(crate) struct Answer {
    /// The reply to its request; none if that was not sent.
    pub(crate) reply: Option<Reply>,
    pub(crate) unsent: Option<Unsent>,
    pub(crate) generations: Generations,
    pub(crate) proved: Tick,
}

/// Why a request was not sent to the server that would have got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The value is larger than this, the largest that the server takes.
    TooLarge(usize),
    /// The server does not compare the CAS of a `md`.
    Unfenced,
}

/// An operation under way.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    /// Those of one node in a row.
    asked: Vec<Asked<'a>>,
    scopes: &'a [FarKey],
    parts: Vec<Part>,
    started: Tick,
}

#[derive(Debug)]
struct Asked<'a> {
    ask: Ask<'a>,
    /// Its place in the operation.
    place: usize,
    sent_before: bool,
    unsent: Option<Unsent>,
    reply: Option<Reply>,
}

/// What goes to one node.
#[derive(Debug)]
struct Part {
    node: usize,
    asked: Range<usize>,
    replays: Vec<Replay>,
    missing: Vec<usize>,
    trips: u32,
    outcome: Option<Result<Generations, Trouble>>,
}

impl<'a> Work<'a> {
    /// Dated `started`, an instant before anything is queued.
    pub(crate) fn new(asks: impl Iterator<Item = Ask<'a>>, scopes: &'a [FarKey], started: Tick) -> Self {
        let asked = asks.enumerate();
        let mut asked: Vec<_> =
            asked.map(|(place, ask)| Asked { ask, place, sent_before: false, unsent: None, reply: None }).collect();
        asked.sort_by_key(|asked| asked.ask.node);
        let mut end = 0;
        let part = |of_one: &[Asked<'_>]| {
            let asked = end..end + of_one.len();
            end = asked.end;
            Part { node: of_one[0].ask.node, asked, replays: Vec::new(), missing: Vec::new(), trips: 0, outcome: None }
        };
        let parts = asked.chunk_by(|one, next| one.ask.node == next.ask.node).map(part).collect();
        Work { asked, scopes, parts, started }
    }

    /// Whether a large value is to be sent, or likely to come.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_large(&self, sizes: &Sizes) -> bool {
        let is_large = |ask: &Ask<'_>| ask.is_part || sizes::is_large(ask.value_len()) || sizes.are_large(ask.key);
        self.asked.iter().any(|asked| is_large(&asked.ask))
    }

    /// The next part that has something to send, and its node.
    pub(crate) fn next(&self) -> Option<(usize, usize)> {
        let part = self.parts.iter().position(|part| part.outcome.is_none())?;
        Some((part, self.parts[part].node))
    }

    /// What that part sends to its node, which is this server. Asking again replaces what was asked before.
    pub(crate) fn batch(&mut self, index: usize, nodes: &Nodes, server: &Server) -> Batch<'a> {
        let Work { asked, scopes, parts, .. } = self;
        let part = &mut parts[index];
        let asked = &mut asked[part.asked.clone()];
        part.replays = nodes.node(part.node).pending_of(asked.iter().map(|asked| asked.ask.key).chain(scopes.iter()));
        let mut batch = Batch::with_room(asked.len() * 2 + scopes.len());
        for replay in &part.replays {
            replay.push(&mut batch);
        }
        for scope in &part.missing {
            push_generation(&mut batch, &scopes[*scope], Mode::Add);
        }
        for Asked { ask, sent_before, unsent, .. } in asked {
            if part.trips == 0 {
                let before = ask.before.as_ref().filter(|before| !is_unfenced(before, server));
                (*sent_before, *unsent) = (before.is_some(), ask.unsent(server));
                before.into_iter().for_each(|request| batch.push(request));
            }
            if unsent.is_none() && (part.trips == 0 || ask.reads) {
                ask.request.iter().for_each(|request| batch.push(request));
            }
        }
        batch.scopes = scopes;
        batch
    }

    /// Takes in what came of a batch at `now`, and tells whether the node is to be trusted.
    pub(crate) fn absorb(
        &mut self,
        index: usize,
        nodes: &Nodes,
        result: Result<Replied, Trouble>,
        now: impl FnOnce() -> Tick,
    ) -> Result<(), Trouble> {
        let node = nodes.node(self.parts[index].node);
        let proves_several = |replied: &Replied| match (self.scopes.first(), replied.generations.first()) {
            (Some(scope), Some(Some(generation))) => {
                node.identity.proves_several(scope, *generation, self.started, now)
            }
            _ => false,
        };
        let replied = match result {
            Ok(replied) if proves_several(&replied) => Err(Trouble::SeveralServers),
            result => result,
        };
        match replied {
            Ok(replied) => {
                self.digest(index, node, replied);
                Ok(())
            }
            Err(trouble) => {
                self.give_up(index, trouble.clone());
                Err(trouble)
            }
        }
    }

    /// The part gets no answer, for this reason.
    pub(crate) fn give_up(&mut self, index: usize, trouble: Trouble) {
        self.parts[index].outcome = Some(Err(trouble));
    }

    fn digest(&mut self, index: usize, node: &Node, replied: Replied) {
        let Work { asked, scopes, parts, .. } = self;
        let part = &mut parts[index];
        let (mut replies, found) = (replied.replies.into_iter(), replied.generations);
        if let Err(refused) = node.replayed(&part.replays, &mut replies) {
            part.outcome = Some(Err(refused));
            return;
        }
        replies.by_ref().take(part.missing.len()).for_each(drop);
        for Asked { ask, reply, sent_before, unsent, .. } in &mut asked[part.asked.clone()] {
            if part.trips == 0 && unsent.is_none() && ask.request.is_some() {
                replies.by_ref().take(usize::from(*sent_before)).for_each(drop);
                *reply = replies.next();
            } else if part.trips > 0
                && ask.reads
                && let (Some(last), Some(again)) = (reply, replies.next())
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
        for Asked { ask, reply, .. } in &self.asked {
            let come = reply.as_ref().and_then(|reply| reply.value.as_ref()).map_or(0, Vec::len);
            let size = ask.value_len().max(come);
            if size > 0 && !ask.is_part {
                sizes.note(ask.key, size);
            }
        }
    }

    /// The answer to each ask, in order.
    pub(crate) fn finish(self) -> impl Iterator<Item = Result<Answer, Trouble>> {
        let Work { mut asked, parts, started, .. } = self;
        asked.sort_by_key(|asked| asked.place);
        let outcome = move |node: usize| {
            let part = parts.binary_search_by_key(&node, |part| part.node).ok().map(|part| &parts[part]);
            let outcome = part.and_then(|part| part.outcome.clone());
            outcome.unwrap_or_else(|| Err(Trouble::Dead("the operation was not finished".to_owned())))
        };
        let answer = move |Asked { ask, reply, unsent, .. }: Asked<'_>| {
            outcome(ask.node).map(|generations| Answer { reply, unsent, generations, proved: started })
        };
        asked.into_iter().map(answer)
    }
}

/// Whether this would delete whatever is there on this server, instead of what it means.
fn is_unfenced(request: &Request<'_>, server: &Server) -> bool {
    matches!(request, Request::Delete(delete) if delete.cas.is_some()) && !server.features.fenced_delete
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
