//! The nodes that several clients share, and the network between them.
//!
//! Invariant: commands reach a node in the order of the instants at which they are due, whoever looks at the node
//! first: every look delivers what is due before it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::client::SimFar;
use super::faults::Faults;
use crate::clock::{ManualClock, Tick};
use crate::key::FarKey;
use crate::testkit::Random;
use crate::testkit::meta::{Command, Reply, ServerSettings, SimServer};

/// Simulated memcached nodes with the network before them. Clones share them.
#[derive(Clone)]
pub struct SimNodes {
    shared: Arc<Shared>,
}

struct Shared {
    clock: ManualClock,
    servers: Vec<SimServer>,
    network: Mutex<Network>,
    seed: u64,
    clients: AtomicU64,
}

struct Network {
    under_way: BTreeMap<(Tick, u64), Message>,
    next_order: u64,
    power: Vec<Power>,
    trace: Option<Vec<Executed>>,
}

enum Power {
    Up,
    Down,
    /// It takes requests and answers none, until it goes on.
    Stopped(Vec<Message>),
}

struct Message {
    client: u64,
    node: usize,
    /// The server's incarnation when the message was sent: a connection does not outlive it.
    incarnation: u64,
    command: Command,
    mailbox: Mailbox,
    place: usize,
}

/// A command that a node executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// When.
    pub at: Tick,
    /// On which node.
    pub node: usize,
    /// For which client (the first one is 0).
    pub client: u64,
    /// What.
    pub command: Command,
    /// What was answered.
    pub reply: Reply,
}

/// Where the replies to one request come in.
#[derive(Clone)]
pub(super) struct Mailbox(Arc<Mutex<Vec<Option<Arrived>>>>);

#[derive(Clone)]
pub(super) enum Arrived {
    Reply(Box<Reply>),
    /// The node went away with the connection.
    Reset,
}

/// What came of a request so far.
pub(super) enum Progress {
    Replies(Vec<Reply>),
    Reset,
    Waiting,
}

impl SimNodes {
    /// So many nodes with these settings, each with seconds of its own. Equal seeds and calls give equal answers.
    pub fn new(seed: u64, clock: ManualClock, nodes: usize, settings: ServerSettings) -> Self {
        let mut random = Random::new(seed);
        let second = Duration::ZERO..=Duration::from_nanos(999_999_999);
        let servers: Vec<SimServer> = (0..nodes.max(1))
            .map(|_| SimServer::new(clock.clone(), ServerSettings { phase: random.between(&second), ..settings }))
            .collect();
        let power = servers.iter().map(|_| Power::Up).collect();
        let network = Mutex::new(Network { under_way: BTreeMap::new(), next_order: 0, power, trace: None });
        let seed = random.bits();
        SimNodes { shared: Arc::new(Shared { clock, servers, network, seed, clients: AtomicU64::new(0) }) }
    }

    /// The client of one more process.
    pub fn client(&self, faults: Faults) -> SimFar {
        self.client_of(&(0..self.count()).collect::<Vec<usize>>(), faults)
    }

    /// The client of one more process, whose list of nodes has only these; of none, the first.
    pub fn client_of(&self, members: &[usize], faults: Faults) -> SimFar {
        let number = self.shared.clients.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::new(self.shared.seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let mut members: Vec<usize> = members.iter().map(|node| self.known(*node)).collect();
        if members.is_empty() {
            members.push(0);
        }
        SimFar::new(self.clone(), members, number, random.fork(), faults)
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.shared.servers.len()
    }

    /// The node that owns `key`: the same in every process that knows all of them.
    pub fn owner(&self, key: &FarKey) -> usize {
        place_of(key, self.count())
    }

    /// One node, as it is now. A number that there is no node of means the last one.
    pub fn server(&self, node: usize) -> &SimServer {
        self.deliver();
        &self.shared.servers[self.known(node)]
    }

    /// The clock.
    pub fn clock(&self) -> &ManualClock {
        &self.shared.clock
    }

    /// Takes the node off: requests fail at once, those under way are lost. What it holds stays, as if only the way
    /// to it were cut; see [`restart`](SimNodes::restart).
    pub fn down(&self, node: usize) {
        self.set_power(node, Power::Down);
    }

    /// Stops the node's process: requests are taken and not answered.
    pub fn stop(&self, node: usize) {
        self.set_power(node, Power::Stopped(Vec::new()));
    }

    /// Brings the node back. One that was stopped first executes what was sent meanwhile: that of one client in order,
    /// but the clients in an order of its own.
    pub fn up(&self, node: usize) {
        self.set_power(node, Power::Up);
    }

    /// Ends the node's process and starts it again, empty; what was under way to it is lost.
    pub fn restart(&self, node: usize) {
        self.down(node);
        self.shared.servers[self.known(node)].restart();
        self.up(node);
    }

    /// Keeps every command that is executed from now on.
    pub fn trace(&self) {
        self.deliver();
        self.network().trace = Some(Vec::new());
    }

    /// The commands that were executed since [`trace`](SimNodes::trace).
    pub fn traced(&self) -> Vec<Executed> {
        self.deliver();
        self.network().trace.clone().unwrap_or_default()
    }

    /// Whether requests to the node fail at once.
    pub(super) fn is_down(&self, node: usize) -> bool {
        matches!(self.network().power[self.known(node)], Power::Down)
    }

    /// Puts a request on its way: each command with the instant at which it arrives.
    pub(super) fn post(&self, client: u64, node: usize, commands: Vec<(Tick, Command)>) -> Mailbox {
        self.deliver();
        let node = self.known(node);
        let mailbox = Mailbox(Arc::new(Mutex::new(vec![None; commands.len()])));
        let mut network = self.network();
        let incarnation = self.shared.servers[node].incarnation();
        for (place, (due, command)) in commands.into_iter().enumerate() {
            let order = network.next_order;
            network.next_order += 1;
            let message = Message { client, node, incarnation, command, mailbox: mailbox.clone(), place };
            network.under_way.insert((due, order), message);
        }
        mailbox
    }

    /// Has the nodes execute everything that is due.
    pub(super) fn deliver(&self) {
        let now = self.shared.clock.now();
        let mut network = self.network();
        while let Some(entry) = network.under_way.first_entry() {
            let due = entry.key().0;
            if due > now {
                break;
            }
            let message = entry.remove();
            self.arrive(&mut network, due, message);
        }
    }

    fn arrive(&self, network: &mut Network, due: Tick, message: Message) {
        let server = &self.shared.servers[message.node];
        match &mut network.power[message.node] {
            Power::Stopped(queue) => queue.push(message),
            Power::Up if server.incarnation() == message.incarnation => {
                let reply = server.execute_at(due, &message.command);
                if let Some(trace) = &mut network.trace {
                    let Message { client, node, command, .. } = &message;
                    trace.push(Executed {
                        at: due,
                        node: *node,
                        client: *client,
                        command: command.clone(),
                        reply: reply.clone(),
                    });
                }
                message.mailbox.put(message.place, Arrived::Reply(Box::new(reply)));
            }
            Power::Up | Power::Down => message.mailbox.put(message.place, Arrived::Reset),
        }
    }

    fn set_power(&self, node: usize, power: Power) {
        self.deliver();
        let node = self.known(node);
        let now = self.shared.clock.now();
        let mut network = self.network();
        let off = matches!(power, Power::Down);
        let queued = match std::mem::replace(&mut network.power[node], power) {
            Power::Stopped(queue) => queue,
            Power::Up | Power::Down => Vec::new(),
        };
        // A server that wakes up goes from socket to socket: who wrote first may well be read last.
        let turn = network.next_order ^ self.shared.seed;
        let mut queued = queued;
        queued.sort_by_key(|message| Random::new(turn ^ message.client).bits());
        // What was sent to a node that is taken off is lost with its connections.
        for message in queued {
            self.arrive(&mut network, now, message);
        }
        if off {
            let (lost, kept) =
                std::mem::take(&mut network.under_way).into_iter().partition(|(_, message)| message.node == node);
            network.under_way = kept;
            let lost: BTreeMap<(Tick, u64), Message> = lost;
            lost.into_values().for_each(|message| message.mailbox.put(message.place, Arrived::Reset));
        }
    }

    fn known(&self, node: usize) -> usize {
        node.min(self.shared.servers.len() - 1)
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        self.shared.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The owner's place in a list of so many nodes.
pub(super) fn place_of(key: &FarKey, nodes: usize) -> usize {
    let place = twox_hash::XxHash3_64::oneshot(key.as_str().as_bytes()) % nodes.max(1) as u64;
    usize::try_from(place).unwrap_or(0)
}

impl fmt::Debug for SimNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNodes").field("count", &self.count()).field("clock", &self.shared.clock).finish()
    }
}

impl Mailbox {
    fn put(&self, place: usize, arrived: Arrived) {
        if let Some(slot) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            *slot = Some(arrived);
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut replies = Vec::with_capacity(slots.len());
        for slot in slots.iter() {
            match slot {
                Some(Arrived::Reply(reply)) => replies.push(Reply::clone(reply)),
                Some(Arrived::Reset) => return Progress::Reset,
                None => return Progress::Waiting,
            }
        }
        Progress::Replies(replies)
    }
}
