//! One operation: what it sends to each node, and what it makes of the replies. It does no I/O; the two faces do.
//!
//! Invariant: a token and the generations that are told with it come over one connection, so from one life of the server:
//! when a generation was missing and had to be made, the item is read again together with it. Were it not, a token
//! from before a restart could be handed out with generations from after it, and both would pass as current.

use std::iter;

use cache_core::clock::{Clock, Tick};
use cache_core::error::Error;
use cache_core::generation::{Generation, Generations};
use cache_core::key::FarKey;
use smallvec::SmallVec;

use crate::batch::{Batch, Replied};
use crate::node::{Node, Nodes};
use crate::pending::{Replay, push_generation};
use crate::proto::{Mode, Reply, Request};
use crate::server::Server;
#[cfg(feature = "tokio")]
use crate::sizes::{self, Sizes};
use crate::trouble::{Sent, Trouble};
use crate::waves::{AtOnce, Wave};

/// How often a missing generation is made before the node is given up: each time somebody took it away in between.
const TRIPS: u32 = 4;

/// What is said to a node.
pub(crate) trait Message: Send {
    /// Writes what goes to the node, which is this server. Asking again replaces what was written before.
    fn write(&mut self, node: &Node, server: &Server, batch: &mut Batch);

    /// What was written last does not go to the node after all.
    fn take_back(&mut self) {}

    /// The scopes whose generations are read behind that.
    fn scopes(&self) -> &[FarKey] {
        &[]
    }

    /// Takes in what came of it, and tells whether the node is to be trusted.
    fn absorb(&mut self, node: &Node, replied: &mut Replied) -> Result<(), Trouble>;
}

/// What is said to one node in the course of an operation, until it is done.
pub(crate) trait Part: Message {
    fn node(&self) -> usize;

    /// Nothing came of it, for this reason.
    fn fail(&mut self, trouble: Trouble);

    /// Whether there is nothing more to say.
    fn is_done(&self) -> bool;
}

/// How often a message was written to its node, and how often there was an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    times: u32,
    answered: u32,
}

impl Written {
    pub(crate) fn again(&mut self) {
        self.times += 1;
    }

    pub(crate) fn taken_back(&mut self) {
        self.times = self.times.saturating_sub(1);
    }

    pub(crate) fn answered(&mut self) {
        self.answered += 1;
    }

    pub(crate) fn sent(self) -> Sent {
        if self.times == 0 { Sent::Nothing } else { Sent::Something }
    }

    /// Whether it was written in vain, on a connection that died: what the node did of that is not known.
    pub(crate) fn in_vain(self) -> bool {
        self.times > self.answered
    }

    /// Whether it was written more than once: on a connection that died, or to read it again with its generations.
    pub(crate) fn is_again(self) -> bool {
        self.times > 1
    }
}

/// What is asked about one key.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) node: usize,
    pub(crate) key: &'a FarKey,
    /// What goes before the request, and whose reply tells nothing.
    pub(crate) before: Option<Box<Request<'a>>>,
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
        let request = self.request.as_ref()?;
        let too_large = server.limit_of(request).map(Unsent::TooLarge);
        too_large.or_else(|| is_unfenced(request, server).then_some(Unsent::Unfenced))
    }

    /// How long the value is that is to be stored.
    #[cfg(feature = "tokio")]
    fn value_len(&self) -> usize {
        if let Some(Request::Set(set)) = &self.request { set.value.len() } else { 0 }
    }
}

/// What came of an [`Ask`], and stays where it lies: replies are looked at there, and their values are taken out.
#[derive(Debug)]
pub(crate) struct Answer<'w> {
    /// The reply to its request; none if that was not sent.
    pub(crate) reply: Option<&'w mut Reply>,
    pub(crate) unsent: Option<Unsent>,
    /// Whether what the node was owed for the key went out in front, and was carried out.
    pub(crate) replayed: bool,
    pub(crate) written: Written,
    pub(crate) generations: &'w Generations,
    pub(crate) proved: Tick,
}

/// An answer, or why there is none.
pub(crate) type Answered<'w> = Result<Answer<'w>, Failed<'w>>;

/// Why there is no answer, and whether the node was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'w> {
    pub(crate) trouble: &'w Trouble,
    pub(crate) sent: Sent,
}

impl<'w> Failed<'w> {
    /// Of a node that was asked before, whether this request was written to it or not.
    pub(crate) fn asked(trouble: &'w Trouble) -> Self {
        Failed { trouble, sent: Sent::Something }
    }

    pub(crate) fn at(self, node: &str) -> Error {
        self.trouble.at(node, self.sent)
    }
}

/// Why a request was not sent to the server that would have got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The value is larger than this, the largest that the server takes.
    TooLarge(usize),
    /// The server does not compare the CAS of a `md`.
    Unfenced,
}

/// An operation under way: a part for each node that it asks, and more of them where that is much.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    /// In the order of the waves, and within each in that of the nodes.
    pub(crate) parts: SmallVec<[Asking<'a>; 1]>,
}

/// What is asked of one node at once.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    node: usize,
    /// How many waves go before it.
    after: usize,
    wave: Wave,
    asked: Vec<Asked<'a>>,
    scopes: &'a [FarKey],
    started: Tick,
    clock: &'a Clock,
    /// In the order of their keys.
    replays: Vec<Replay>,
    missing: Vec<usize>,
    trips: u32,
    written: Written,
    outcome: Option<Result<Generations, Trouble>>,
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

impl<'a> Work<'a> {
    /// What is asked of these nodes, dated now: before anything is queued.
    pub(crate) fn new(
        asks: impl Iterator<Item = Ask<'a>>,
        scopes: &'a [FarKey],
        nodes: &Nodes,
        clock: &'a Clock,
        most: AtOnce,
    ) -> Self {
        let started = clock.now();
        // What falls to each if all get as much.
        let room = asks.size_hint().0.div_ceil(nodes.count()).clamp(1, most.requests);
        let mut parts = SmallVec::<[Asking<'a>; 1]>::new();
        // The last part of each node that has one.
        let mut known = SmallVec::<[Option<usize>; 8]>::new();
        for (place, ask) in asks.enumerate() {
            let (node, size) = (ask.node, ask.request.as_ref().map_or(0, Request::size));
            if known.len() <= node {
                known.resize(node + 1, None);
            }
            let part = match known[node] {
                Some(part) if parts[part].wave.takes(size, most) => part,
                last => {
                    let after = last.map_or(0, |last| parts[last].after + 1);
                    let mut wave = Wave::default();
                    wave.takes(size, most);
                    let (asked, replays, missing) = (Vec::with_capacity(room), Vec::new(), Vec::new());
                    let (trips, written, outcome) = (0, Written::default(), None);
                    let asking = Asking {
                        node,
                        after,
                        wave,
                        asked,
                        scopes,
                        started,
                        clock,
                        replays,
                        missing,
                        trips,
                        written,
                        outcome,
                    };
                    parts.push(asking);
                    *known[node].insert(parts.len() - 1)
                }
            };
            parts[part].asked.push(Asked { ask, place, sent_before: false, unsent: None, reply: None });
        }
        parts.sort_unstable_by_key(|part| (part.after, part.node));
        Work { parts }
    }

    /// The parts that are said at the same time, one wave after the other.
    #[cfg(feature = "tokio")]
    pub(crate) fn waves(&mut self) -> impl Iterator<Item = &mut [Asking<'a>]> {
        self.parts.chunk_by_mut(|one, next| one.after == next.after)
    }

    #[cfg(feature = "tokio")]
    fn asked(&self) -> impl Iterator<Item = &Asked<'a>> {
        self.parts.iter().flat_map(|part| &part.asked)
    }

    /// Whether a large value is to be sent, or likely to come.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_large(&self, sizes: &Sizes) -> bool {
        let is_large = |ask: &Ask<'_>| {
            ask.is_part || sizes::is_large(ask.value_len()) || sizes.are_large(ask.key.as_str().as_bytes())
        };
        self.asked().any(|asked| is_large(&asked.ask))
    }

    /// Notes how long the values were that were sent or came.
    #[cfg(feature = "tokio")]
    pub(crate) fn note_sizes(&self, sizes: &Sizes) {
        for Asked { ask, reply, .. } in self.asked() {
            let come = reply.as_ref().and_then(|reply| reply.value.as_ref()).map_or(0, Vec::len);
            let size = ask.value_len().max(come);
            if size > 0 && !ask.is_part {
                sizes.note(ask.key.as_str().as_bytes(), size);
            }
        }
    }

    /// The answer to each ask, in order.
    pub(crate) fn answers(&mut self) -> impl Iterator<Item = Answered<'_>> {
        let mut parts: SmallVec<[_; 1]> = self.parts.iter_mut().map(|part| part.answers().peekable()).collect();
        iter::from_fn(move || {
            let next = match &mut parts[..] {
                [part] => part,
                parts => parts.iter_mut().filter_map(|part| Some((part.peek()?.0, part))).min_by_key(|next| next.0)?.1,
            };
            next.next().map(|(_, answer)| answer)
        })
    }

    /// The answer to the only ask.
    pub(crate) fn answer(&mut self) -> Answered<'_> {
        self.answers().next().unwrap_or(Err(Failed::asked(&Trouble::Unfinished)))
    }
}

impl Message for Asking<'_> {
    fn write(&mut self, node: &Node, server: &Server, batch: &mut Batch) {
        let Asking { asked, scopes, replays, missing, trips, written, .. } = self;
        written.again();
        *replays = node.pending_of(asked.iter().map(|asked| asked.ask.key).chain(scopes.iter()));
        for replay in replays {
            replay.push(batch);
        }
        for scope in missing {
            push_generation(batch, &scopes[*scope], Mode::Add);
        }
        for Asked { ask, sent_before, unsent, .. } in asked {
            if *trips == 0 {
                let before = ask.before.as_ref().filter(|before| !is_unfenced(before, server));
                (*sent_before, *unsent) = (before.is_some(), ask.unsent(server));
                before.into_iter().for_each(|request| batch.push(request));
            }
            if unsent.is_none() && (*trips == 0 || ask.reads) {
                ask.request.iter().for_each(|request| batch.push(request));
            }
        }
    }

    fn take_back(&mut self) {
        self.written.taken_back();
    }

    fn scopes(&self) -> &[FarKey] {
        self.scopes
    }

    fn absorb(&mut self, node: &Node, replied: &mut Replied) -> Result<(), Trouble> {
        self.written.answered();
        if let (Some(scope), Some(Some(generation))) = (self.scopes.first(), replied.generations.first())
            && node.identity.proves_several(scope, *generation, self.started, || self.clock.now())
        {
            return Err(Trouble::SeveralServers);
        }
        self.digest(node, replied);
        Ok(())
    }
}

impl Part for Asking<'_> {
    fn node(&self) -> usize {
        self.node
    }

    fn fail(&mut self, trouble: Trouble) {
        self.outcome = Some(Err(trouble));
    }

    fn is_done(&self) -> bool {
        self.outcome.is_some()
    }
}

impl Asking<'_> {
    /// The answers, and the places of their asks.
    fn answers(&mut self) -> impl Iterator<Item = (usize, Answered<'_>)> {
        let Asking { asked, outcome, started, replays, written, .. } = self;
        let (sent, written) = (written.sent(), *written);
        let outcome = outcome.as_ref().unwrap_or(&Err(Trouble::Unfinished)).as_ref();
        let outcome = outcome.map_err(|trouble| Failed { trouble, sent });
        let (replays, proved) = (&*replays, *started);
        asked.iter_mut().map(move |Asked { ask, place, reply, unsent, .. }| {
            let replayed = replays.binary_search_by(|replay| replay.key.cmp(ask.key)).is_ok();
            let reply = reply.as_mut();
            (
                *place,
                outcome.map(|generations| Answer { reply, unsent: *unsent, replayed, written, generations, proved }),
            )
        })
    }

    fn digest(&mut self, node: &Node, replied: &mut Replied) {
        let Asking { asked, scopes, replays, missing, trips, outcome, .. } = self;
        let (mut replies, found) = (replied.replies.drain(..), &replied.generations);
        if let Err(refused) = node.replayed(replays, &mut replies) {
            *outcome = Some(Err(refused));
            return;
        }
        replies.by_ref().take(missing.len()).for_each(drop);
        for Asked { ask, reply, sent_before, unsent, .. } in asked {
            if *trips == 0 && unsent.is_none() && ask.request.is_some() {
                replies.by_ref().take(usize::from(*sent_before)).for_each(drop);
                *reply = replies.next();
            } else if *trips > 0
                && ask.reads
                && let (Some(last), Some(again)) = (reply, replies.next())
            {
                read_again(last, again);
            }
        }
        *trips += 1;
        if found.len() == scopes.len() && found.iter().all(Option::is_some) {
            // Mapped one by one, so that the list has its length from the beginning and is allocated once.
            *outcome = Some(Ok(Generations::new(found.iter().map(|found| found.unwrap_or(Generation(0))))));
        } else if *trips == TRIPS {
            *outcome = Some(Err(Trouble::NoGenerations));
        } else {
            *missing = (0..found.len()).filter(|scope| found[*scope].is_none()).collect();
        }
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
