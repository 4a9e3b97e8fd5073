//! One process's client of the simulated nodes: what it remembers, what it owes, and how its requests travel.
//!
//! Invariant: the two faces send the same requests; a future waits for its replies, a blocking call has them at once
//! or not at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::faults::{Fate, Faults};
use super::nodes::{Mailbox, Progress, SimNodes, place_of};
use super::pending::{Due, Pending, Replay};
use super::pipeline::{Answer, Ask, Memory, Pipeline, Request};
use crate::clock::{ManualClock, Tick};
use crate::error::Result;
use crate::generation::{Generation, Generations};
use crate::key::FarKey;
use crate::testkit::Random;
use crate::testkit::meta::{Command, Reply, ServerSettings};

/// How often a client looks for a reply that is overdue because its node stands still.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A far backend over simulated memcached nodes: one process's view of them. Clones are the same process.
///
/// It implements [`BytesBackend`](crate::backend::BytesBackend) and
/// [`AsyncBytesBackend`](crate::backend::AsyncBytesBackend).
#[derive(Clone)]
pub struct SimFar {
    process: Arc<Process>,
}

struct Process {
    nodes: SimNodes,
    /// The nodes that it knows, in the order of its list.
    members: Vec<usize>,
    number: u64,
    state: Mutex<State>,
}

struct State {
    random: Random,
    faults: Faults,
    ordered: VecDeque<Fate>,
    cut: BTreeSet<usize>,
    remember: Duration,
    remembered: BTreeMap<(usize, FarKey), (Generation, Tick)>,
    /// When a generation was last changed from here: what was asked before or then is not remembered.
    forgotten: BTreeMap<(usize, FarKey), Tick>,
    pending: Pending,
}

/// A request that was sent, or was not.
struct Travel {
    mailbox: Option<Mailbox>,
    repeated: bool,
    reply_at: Tick,
    give_up_at: Tick,
}

/// What came of a request that was answered.
pub(super) struct Delivered {
    pub(super) replies: Vec<Reply>,
    /// Whether it was sent before, and that was not answered.
    pub(super) repeated: bool,
}

pub(super) const CUT: &str = "the node cannot be reached";
const SILENT: &str = "the node did not answer in time";
const RESET: &str = "the node closed the connection";

impl SimFar {
    /// One node with memcached's defaults and a client without faults.
    pub fn one_node(seed: u64, clock: ManualClock) -> Self {
        SimNodes::new(seed, clock, 1, ServerSettings::default()).client(Faults::none())
    }

    pub(super) fn new(nodes: SimNodes, members: Vec<usize>, number: u64, random: Random, faults: Faults) -> Self {
        let state = State {
            random,
            faults,
            ordered: VecDeque::new(),
            cut: BTreeSet::new(),
            remember: Duration::ZERO,
            remembered: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            pending: Pending::default(),
        };
        SimFar { process: Arc::new(Process { nodes, members, number, state: Mutex::new(state) }) }
    }

    /// The client of another process, on the same nodes, with the same faults.
    #[must_use]
    pub fn client(&self) -> SimFar {
        let faults = self.state().faults.clone();
        self.nodes().client_of(&self.process.members, faults)
    }

    /// The nodes.
    pub fn nodes(&self) -> &SimNodes {
        &self.process.nodes
    }

    /// The numbers of the nodes that it knows.
    pub fn members(&self) -> &[usize] {
        &self.process.members
    }

    /// The node that owns `key` by the list of this process.
    pub fn owner(&self, key: &FarKey) -> usize {
        let members = self.members();
        members.get(place_of(key, members.len())).copied().unwrap_or(0)
    }

    /// Sends these commands to the owner of `key` as they are, subject to the same faults, as somebody would who keeps
    /// to no rule. `None` is no answer in time; what was sent may be executed all the same.
    pub async fn send_raw(&self, key: &FarKey, commands: Vec<Command>) -> Option<Vec<Reply>> {
        let travel = self.send(Request { part: 0, node: self.owner(key), commands }).ok()?;
        self.arrival(travel).await.ok().map(|delivered| delivered.replies)
    }

    /// Its number: the first client of the nodes is 0.
    pub fn number(&self) -> u64 {
        self.process.number
    }

    /// Has its requests treated like this from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Orders the fate of its next request to any one node, behind those that were ordered before.
    pub fn order(&self, fate: Fate) {
        self.state().ordered.push_back(fate);
    }

    /// Cuts the way between this process and the node; the other processes still reach it.
    pub fn cut(&self, node: usize) {
        self.state().cut.insert(node);
    }

    /// Mends what [`cut`](SimFar::cut) did.
    pub fn mend(&self, node: usize) {
        self.state().cut.remove(&node);
    }

    /// Remembers generations for so long, dated at sending. Zero, the default, asks with every read.
    pub fn remember_for(&self, time: Duration) {
        let mut state = self.state();
        state.remember = time;
        state.remembered.clear();
    }

    /// How many invalidations have not been shown to be done.
    pub fn pending(&self) -> usize {
        self.state().pending.len()
    }

    /// Repeats the pending invalidations now, in the caller's thread, and says how many are left.
    pub fn replay(&self) -> usize {
        let asks = self.state().pending.slots().into_iter().map(|(node, key)| Ask::nothing(node, key)).collect();
        self.run_now(Pipeline::new(self, asks, &[], Memory::Pass));
        self.pending()
    }

    /// Runs the pipeline in the caller's thread.
    pub(super) fn run_now(&self, mut pipeline: Pipeline) -> Vec<Result<Answer>> {
        loop {
            let requests = pipeline.requests(self);
            if requests.is_empty() {
                return pipeline.finish();
            }
            for request in requests {
                let part = request.part;
                let result = self.exchange_now(request);
                pipeline.absorb(self, part, result);
            }
        }
    }

    /// Runs the pipeline by awaiting; the nodes are asked at the same time.
    pub(super) async fn run(&self, mut pipeline: Pipeline) -> Vec<Result<Answer>> {
        loop {
            let requests = pipeline.requests(self);
            if requests.is_empty() {
                return pipeline.finish();
            }
            let sent: Vec<_> = requests.into_iter().map(|request| (request.part, self.send(request))).collect();
            for (part, travel) in sent {
                let result = match travel {
                    Ok(travel) => self.arrival(travel).await,
                    Err(reason) => Err(reason),
                };
                pipeline.absorb(self, part, result);
            }
        }
    }

    fn exchange_now(&self, request: Request) -> Result<Delivered, &'static str> {
        if request.commands.is_empty() {
            return Ok(Delivered { replies: Vec::new(), repeated: false });
        }
        let fate = self.depart(request.node)?;
        let now = self.now();
        let due = match fate {
            Fate::LoseRequest | Fate::Refuse => return Err(SILENT),
            Fate::Deliver | Fate::LoseReply | Fate::Repeat => now,
            Fate::Late(by) => now.after(by),
        };
        let repeated = fate == Fate::Repeat;
        if repeated {
            drop(self.post(&request, |_| due));
        }
        let mailbox = self.post(&request, |_| due);
        self.nodes().deliver();
        match (fate, mailbox.progress()) {
            (Fate::Deliver | Fate::Repeat, Progress::Replies(replies)) => Ok(Delivered { replies, repeated }),
            (_, Progress::Reset) => Err(RESET),
            _ => Err(SILENT),
        }
    }

    fn send(&self, request: Request) -> Result<Travel, &'static str> {
        let now = self.now();
        if request.commands.is_empty() {
            let mailbox = Some(self.post(&request, |_| now));
            return Ok(Travel { mailbox, repeated: false, reply_at: now, give_up_at: now });
        }
        let fate = self.depart(request.node)?;
        let (arrives, back, pauses, give_up_at) = {
            let mut state = self.state();
            let State { random, faults, .. } = &mut *state;
            let arrives = now.after(random.between(&faults.request_delay));
            let pause = Duration::ZERO..=faults.pause;
            let pauses: Vec<Duration> = request.commands.iter().map(|_| random.between(&pause)).collect();
            (arrives, random.between(&faults.reply_delay), pauses, now.after(faults.io_timeout))
        };
        let mut at = match fate {
            Fate::LoseRequest | Fate::Refuse => {
                return Ok(Travel { mailbox: None, repeated: false, reply_at: Tick::NEVER, give_up_at });
            }
            Fate::Deliver | Fate::LoseReply | Fate::Repeat => arrives,
            Fate::Late(by) => give_up_at.after(by),
        };
        let mut last = at;
        let mut post = || {
            self.post(&request, |place| {
                last = at;
                at = at.after(pauses[place]);
                last
            })
        };
        let repeated = fate == Fate::Repeat;
        if repeated {
            drop(post());
        }
        let mailbox = Some(post());
        let is_answered = matches!(fate, Fate::Deliver | Fate::Repeat);
        let reply_at = if is_answered { last.after(back) } else { Tick::NEVER };
        Ok(Travel { mailbox, repeated, reply_at, give_up_at })
    }

    async fn arrival(&self, travel: Travel) -> Result<Delivered, &'static str> {
        let Travel { mailbox, repeated, reply_at, give_up_at } = travel;
        let clock = self.nodes().clock().clone();
        clock.sleep_until(reply_at.min(give_up_at)).await;
        loop {
            self.nodes().deliver();
            match mailbox.as_ref().map(Mailbox::progress) {
                Some(Progress::Replies(replies)) if reply_at <= give_up_at => {
                    return Ok(Delivered { replies, repeated });
                }
                Some(Progress::Reset) => return Err(RESET),
                _ if clock.now() >= give_up_at => return Err(SILENT),
                _ => clock.sleep_until(clock.now().after(LOOK_AGAIN).min(give_up_at)).await,
            }
        }
    }

    /// Whether a request leaves at all, and what will happen to it.
    fn depart(&self, node: usize) -> Result<Fate, &'static str> {
        let mut state = self.state();
        if state.cut.contains(&node) || self.nodes().is_down(node) {
            return Err(CUT);
        }
        let State { random, faults, ordered, .. } = &mut *state;
        match ordered.pop_front().unwrap_or_else(|| faults.draw(random)) {
            Fate::Refuse => Err(CUT),
            fate => Ok(fate),
        }
    }

    fn post(&self, request: &Request, mut due: impl FnMut(usize) -> Tick) -> Mailbox {
        let commands: Vec<(Tick, Command)> =
            request.commands.iter().enumerate().map(|(place, command)| (due(place), command.clone())).collect();
        self.nodes().post(self.process.number, request.node, commands)
    }

    pub(super) fn now(&self) -> Tick {
        self.nodes().clock().now()
    }

    pub(super) fn random_generation(&self) -> u64 {
        self.state().random.bits()
    }

    /// The generations of these scopes on the node as they are remembered, with the earliest of their dates.
    ///
    /// A scope whose change is pending is not remembered: it was forgotten when the change was asked for, and every later
    /// request that reads it carries the change before it.
    pub(super) fn recall(&self, node: usize, scopes: &[FarKey], now: Tick) -> Option<(Generations, Tick)> {
        let state = self.state();
        let mut earliest = now;
        let mut generations = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let slot = (node, scope.clone());
            let (generation, dated) = state.remembered.get(&slot)?;
            if state.remember.is_zero() || now.since(*dated) > state.remember {
                return None;
            }
            earliest = earliest.min(*dated);
            generations.push(*generation);
        }
        Some((Generations::new(generations), earliest))
    }

    pub(super) fn remember(&self, node: usize, scopes: &[FarKey], generations: &[Generation], dated: Tick) {
        let mut state = self.state();
        if state.remember.is_zero() {
            return;
        }
        for (scope, generation) in scopes.iter().zip(generations) {
            let slot = (node, scope.clone());
            let older_than_a_change = state.forgotten.get(&slot).is_some_and(|changed| dated <= *changed);
            let older = state.remembered.get(&slot).is_some_and(|(_, known)| *known > dated);
            if !older_than_a_change && !older {
                state.remembered.insert(slot, (*generation, dated));
            }
        }
    }

    /// Notes that these invalidations are due before any of them is sent.
    pub(super) fn owe<'k>(&self, due: Due, slots: impl Iterator<Item = (usize, &'k FarKey)>) {
        let now = self.now();
        let mut state = self.state();
        for (node, key) in slots {
            state.pending.add(node, key, due);
            state.forget(node, key, due, now);
        }
    }

    pub(super) fn owes(&self, node: usize, key: &FarKey) -> bool {
        self.state().pending.of(node, key).is_some()
    }

    pub(super) fn pending_of<'k>(&self, node: usize, keys: impl Iterator<Item = &'k FarKey>) -> Vec<Replay> {
        let state = self.state();
        let mut replays: Vec<Replay> = keys.filter_map(|key| state.pending.of(node, key)).collect();
        replays.sort_by(|one, other| one.key.cmp(&other.key));
        replays.dedup_by(|one, other| one.key == other.key);
        replays
    }

    pub(super) fn replayed(&self, node: usize, replay: &Replay) {
        let now = self.now();
        let mut state = self.state();
        state.pending.done(node, replay);
        state.forget(node, &replay.key, replay.due, now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.process.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, node: usize, key: &FarKey, due: Due, now: Tick) {
        if due == Due::Bump {
            self.remembered.remove(&(node, key.clone()));
            self.forgotten.insert((node, key.clone()), now);
        }
    }
}

impl Ask {
    /// No command of its own: what is pending for the key is replayed all the same.
    pub(super) fn nothing(node: usize, key: FarKey) -> Self {
        Ask { node, key, commands: Vec::new(), again: None }
    }
}

impl fmt::Debug for SimFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFar(client {} of {} nodes)", self.process.number, self.members().len())
    }
}
