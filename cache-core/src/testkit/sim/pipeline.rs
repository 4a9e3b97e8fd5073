//! What one operation sends to each node, and what it makes of the replies: no waiting, no network.
//!
//! Invariant: a token and the generations that are told with it come from one request, so from one life of the server:
//! when a generation was missing and had to be made, the item is read again together with it. Were it not, a token
//! from before a restart could be handed out with generations from after it, and both would pass as current.

use super::client::{CUT, Delivered, SimFar};
use super::pending::{Due, Replay};
use crate::clock::Tick;
use crate::error::{Error, Kind, Result};
use crate::generation::{Generation, Generations};
use crate::key::FarKey;
use crate::testkit::meta::{Code, Command, MetaDelete, MetaSet, Mode, Reply, md, mg, ms};

/// How often a missing generation is made before the node is given up: each time somebody took it away in between.
const TRIPS: u32 = 4;

/// The commands about one key.
pub(super) struct Ask {
    pub(super) node: usize,
    pub(super) key: FarKey,
    pub(super) commands: Vec<Command>,
    /// The last of the commands, where its answer holds a token.
    pub(super) again: Option<Command>,
}

/// The replies to an [`Ask`].
pub(super) struct Answer {
    pub(super) replies: Vec<Reply>,
    pub(super) generations: Generations,
    pub(super) remembered: bool,
    pub(super) repeated: bool,
    pub(super) proved: Tick,
}

/// A request to one node.
pub(super) struct Request {
    pub(super) part: usize,
    pub(super) node: usize,
    pub(super) commands: Vec<Command>,
}

/// Whether remembered generations are looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Use,
    Pass,
}

pub(super) struct Pipeline {
    asks: Vec<Ask>,
    scopes: Vec<FarKey>,
    parts: Vec<Part>,
    started: Tick,
}

/// What goes to one node.
struct Part {
    node: usize,
    asks: Vec<usize>,
    /// The replies so far, one list per ask.
    replies: Vec<Vec<Reply>>,
    recalled: Option<(Generations, Tick)>,
    replays: Vec<Replay>,
    missing: Vec<usize>,
    trips: u32,
    repeated: bool,
    outcome: Option<Result<Generations, &'static str>>,
}

impl Pipeline {
    /// Dated now: call it when the operation starts to send, not before.
    pub(super) fn new(client: &SimFar, asks: Vec<Ask>, scopes: &[FarKey], memory: Memory) -> Self {
        let started = client.now();
        let mut parts: Vec<Part> = Vec::new();
        for (index, ask) in asks.iter().enumerate() {
            match parts.iter_mut().find(|part| part.node == ask.node) {
                Some(part) => {
                    part.asks.push(index);
                    part.replies.push(Vec::new());
                }
                None => parts.push(Part::new(ask.node, index)),
            }
        }
        if memory == Memory::Use && !scopes.is_empty() {
            for part in &mut parts {
                part.recalled = client.recall(part.node, scopes, started);
            }
        }
        Pipeline { asks, scopes: scopes.to_vec(), parts, started }
    }

    /// What is to be sent now; nothing when the pipeline is done.
    pub(super) fn requests(&mut self, client: &SimFar) -> Vec<Request> {
        let mut requests = Vec::new();
        for index in 0..self.parts.len() {
            if self.parts[index].outcome.is_some() {
                continue;
            }
            let commands = self.commands(client, index);
            let node = self.parts[index].node;
            requests.push(Request { part: index, node, commands });
        }
        requests
    }

    fn commands(&mut self, client: &SimFar, index: usize) -> Vec<Command> {
        let Pipeline { asks, scopes, parts, .. } = self;
        let part = &mut parts[index];
        let keys = part.asks.iter().map(|ask| &asks[*ask].key);
        part.replays = client.pending_of(part.node, keys.chain(scopes.iter()));
        let mut commands: Vec<Command> = part.replays.iter().map(|replay| replay_command(client, replay)).collect();
        for scope in &part.missing {
            let value = client.random_generation().to_le_bytes().to_vec();
            commands.push(Command::Set(MetaSet { mode: Mode::Add, flags: "", ..ms(&scopes[*scope], value) }));
        }
        for ask in &part.asks {
            if part.trips == 0 {
                commands.extend(asks[*ask].commands.iter().cloned());
            } else {
                commands.extend(asks[*ask].again.clone());
            }
        }
        if part.recalled.is_none() {
            commands.extend(scopes.iter().map(|scope| Command::Get(mg(scope, "v"))));
        }
        commands
    }

    /// Takes in what came of a request.
    pub(super) fn absorb(&mut self, client: &SimFar, index: usize, result: Result<Delivered, &'static str>) {
        let Pipeline { asks, scopes, parts, started } = self;
        let part = &mut parts[index];
        let mut replies = match result {
            Ok(Delivered { replies, repeated }) => {
                part.repeated |= repeated;
                replies.into_iter()
            }
            Err(reason) => {
                part.outcome = Some(Err(reason));
                return;
            }
        };
        for replay in std::mem::take(&mut part.replays) {
            let done = replies.next().is_some_and(|reply| matches!(reply.code, Code::Hd | Code::Nf));
            if !done {
                part.outcome = Some(Err("the node refused an invalidation"));
                return;
            }
            client.replayed(part.node, &replay);
        }
        replies.by_ref().take(part.missing.len()).for_each(drop);
        for (place, ask) in part.asks.iter().enumerate() {
            if part.trips == 0 {
                part.replies[place] = replies.by_ref().take(asks[*ask].commands.len()).collect();
            } else if asks[*ask].again.is_some()
                && let (Some(last), Some(again)) = (part.replies[place].last_mut(), replies.next())
            {
                read_again(last, again);
            }
        }
        part.trips += 1;
        if let Some((generations, _)) = &part.recalled {
            part.outcome = Some(Ok(generations.clone()));
            return;
        }
        let found: Vec<Option<Generation>> = replies.map(|reply| generation(&reply)).collect();
        if let Some(all) = found.iter().copied().collect::<Option<Vec<Generation>>>() {
            client.remember(part.node, scopes, &all, *started);
            part.outcome = Some(Ok(Generations::new(all)));
        } else if part.trips == TRIPS {
            part.outcome = Some(Err("the node keeps no generations"));
        } else {
            part.missing = (0..found.len()).filter(|scope| found[*scope].is_none()).collect();
        }
    }

    /// The answer to each ask, in order.
    pub(super) fn finish(self) -> Vec<Result<Answer>> {
        let Pipeline { asks, parts, started, .. } = self;
        let mut answers: Vec<Option<Result<Answer>>> = asks.iter().map(|_| None).collect();
        for part in parts {
            for (index, replies) in part.asks.iter().zip(part.replies) {
                answers[*index] = Some(match &part.outcome {
                    Some(Ok(generations)) => Ok(Answer {
                        replies,
                        generations: generations.clone(),
                        remembered: part.recalled.is_some(),
                        repeated: part.repeated,
                        proved: part.recalled.as_ref().map_or(started, |(_, dated)| started.min(*dated)),
                    }),
                    // What was asked before the way was cut may have been done.
                    Some(Err(CUT)) if part.trips == 0 => Err(trouble(CUT, part.node)),
                    Some(Err(reason)) => Err(unanswered(reason, part.node)),
                    None => Err(unanswered("the request was not finished", part.node)),
                });
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(trouble("nothing was sent", 0)))).collect()
    }
}

impl Part {
    fn new(node: usize, ask: usize) -> Self {
        Part {
            node,
            asks: vec![ask],
            replies: vec![Vec::new()],
            recalled: None,
            replays: Vec::new(),
            missing: Vec::new(),
            trips: 0,
            repeated: false,
            outcome: None,
        }
    }
}

pub(super) fn unanswered(reason: &str, node: usize) -> Error {
    Error::new(Kind::Unanswered, reason).with("node", node.to_string())
}

pub(super) fn trouble(reason: &str, node: usize) -> Error {
    Error::new(Kind::Backend, reason).with("node", node.to_string())
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

fn generation(reply: &Reply) -> Option<Generation> {
    let bytes = <[u8; 8]>::try_from(reply.value.as_deref()?).ok()?;
    Some(Generation(u64::from_le_bytes(bytes)))
}

fn replay_command(client: &SimFar, replay: &Replay) -> Command {
    match replay.due {
        Due::Hard => Command::Delete(md(&replay.key)),
        // Without T: the item keeps its life, however often it is softened.
        Due::Soft => Command::Delete(MetaDelete { flags: "I", ..md(&replay.key) }),
        // Without a fence: a delayed one brings another random number, never an old one.
        Due::Bump => {
            let value = client.random_generation().to_le_bytes().to_vec();
            Command::Set(MetaSet { flags: "", ..ms(&replay.key, value) })
        }
    }
}
