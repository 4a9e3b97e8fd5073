//! What this process knows of each node, whichever region or face asks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cache_core::backend::NodeStats;
use cache_core::error::{Error, Kind};
use cache_core::key::FarKey;

use crate::address::Address;
use crate::config::Config;
use crate::counters::Counters;
use crate::health::{Change, Health};
use crate::identity::Identity;
use crate::pending::{Due, Pending, Replay};
use crate::proto::{Code, Reply};
use crate::server::Server;
use crate::trouble::Trouble;

/// How a node is asked when no region does it: as the first region that named it would.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeSettings {
    pub(crate) connect_timeout: Duration,
    pub(crate) io_timeout: Duration,
    pub(crate) blacklist: Duration,
}

impl From<&Config> for NodeSettings {
    fn from(config: &Config) -> Self {
        let Config { connect_timeout, io_timeout, blacklist, .. } = *config;
        NodeSettings { connect_timeout, io_timeout, blacklist }
    }
}

/// One node: its name, what it told of itself, whether it answers, and what is owed to it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    address: Address,
    settings: NodeSettings,
    health: Health,
    pub(crate) counters: Counters,
    pub(crate) identity: Identity,
    state: Mutex<State>,
    /// How many invalidations are pending: read before the lock is taken, which is hardly ever necessary.
    owed: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    pending: Pending,
    server: Option<Server>,
}

impl Node {
    pub(crate) fn new(address: Address, settings: NodeSettings) -> Self {
        Node {
            name: address.to_string(),
            address,
            settings,
            health: Health::default(),
            counters: Counters::default(),
            identity: Identity::default(),
            state: Mutex::default(),
            owed: AtomicUsize::new(0),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn settings(&self) -> NodeSettings {
        self.settings
    }

    /// Whether it may be asked at `now`: always, unless it is set aside.
    pub(crate) fn admit(&self, now: Instant, blacklist: Duration) -> Result<(), Trouble> {
        self.health.admit(now, blacklist)
    }

    /// Counts an operation for as long as this is held.
    pub(crate) fn under_way(&self) -> UnderWay<'_> {
        self.counters.in_flight.add(1);
        UnderWay(&self.counters)
    }

    /// What came of asking it.
    pub(crate) fn report(&self, outcome: &Result<(), Trouble>, blacklist: Duration) {
        match outcome {
            Ok(()) => {}
            Err(Trouble::TimedOut(_) | Trouble::Unreached(_)) => self.counters.timeouts.add(1),
            Err(_) => self.counters.failures.add(1),
        }
        let change = match outcome {
            Ok(()) => self.health.answered(Instant::now),
            Err(trouble) => self.health.failed(trouble, Instant::now(), blacklist),
        };
        let node = &*self.name;
        match change {
            Change::Nothing => {}
            Change::SetAside(why) => {
                tracing::warn!(node, why, "this node is set aside: until it answers a probe, its keys are misses");
            }
            Change::Back(after) => tracing::info!(node, ?after, "this node answers again"),
        }
    }

    /// It gave a reply that should not have come, or none.
    pub(crate) fn odd(&self, kind: Kind, reply: Option<&Reply>) -> Error {
        let said = match reply.map(|reply| &reply.code) {
            Some(Code::ServerError(text)) => format!("the node answered `SERVER_ERROR {text}`"),
            Some(Code::ClientError(text)) => format!("the node answered `CLIENT_ERROR {text}`"),
            Some(code) => format!("the node answered {code:?}, which was not expected"),
            None => "the node answered nothing".to_owned(),
        };
        Error::new(kind, said).with("node", &self.name)
    }

    /// What this process knows of it.
    pub(crate) fn stats(&self) -> NodeStats {
        let mut stats = NodeStats::new(&*self.name);
        stats.set_aside_for = self.health.aside_for(Instant::now());
        stats.counts = self.counters.told().chain([("pending", self.owed() as u64)]).collect();
        stats
    }

    /// The server that answered last under this name.
    pub(crate) fn server(&self) -> Option<Server> {
        self.state().server
    }

    /// This server answers here. What it lacks is said when it is first seen.
    pub(crate) fn met(&self, server: Server) {
        let known = self.state().server.replace(server);
        if known == Some(server) {
            return;
        }
        let (node, version) = (&*self.name, server.version.to_string());
        if !server.cas {
            tracing::warn!(
                node,
                "this memcached runs without CAS (`-C`): nothing can be kept there safely, so nothing is"
            );
        }
        if !server.features.fenced_delete {
            tracing::warn!(
                node,
                version,
                "this memcached is older than 1.6.13: claims of dead or slow loaders wait for their lease to end"
            );
        }
    }

    /// Notes that this is due for a key or a scope of this region, before anything is sent.
    pub(crate) fn owe(&self, key: &FarKey, due: Due, region: &FarKey) {
        self.note(|pending| pending.add(key, due, region));
    }

    pub(crate) fn owes(&self, key: &FarKey) -> bool {
        self.owes_any() && self.state().pending.of(key).is_some()
    }

    pub(crate) fn owes_any(&self) -> bool {
        self.owed() > 0
    }

    /// How many invalidations are pending.
    pub(crate) fn owed(&self) -> usize {
        self.owed.load(Ordering::Acquire)
    }

    /// A caller who invalidated this has gone without its answer. Whether the node owes it still.
    pub(crate) fn leave(&self, key: &FarKey) -> bool {
        let mut is_due = false;
        if self.owes_any() {
            self.note(|pending| is_due = pending.leave(key));
        }
        is_due
    }

    /// Whether the node owes anything that was left.
    pub(crate) fn any_left(&self) -> bool {
        self.owes_any() && self.state().pending.any_left()
    }

    /// Up to so many of those that were left.
    pub(crate) fn left(&self, most: usize) -> Vec<Replay> {
        self.state().pending.left(most)
    }

    /// What is due for any of these keys, each once, in the order of the keys.
    pub(crate) fn pending_of<'k>(&self, keys: impl Iterator<Item = &'k FarKey>) -> Vec<Replay> {
        if !self.owes_any() {
            return Vec::new();
        }
        let state = self.state();
        let mut replays: Vec<Replay> = keys.filter_map(|key| state.pending.of(key)).collect();
        replays.sort_by(|one, other| one.key.cmp(&other.key));
        replays.dedup_by(|one, other| one.key == other.key);
        replays
    }

    /// Takes in the replies to these replays, which come first. One that is refused stays owed, and so do those behind.
    pub(crate) fn replayed(
        &self,
        replays: &[Replay],
        replies: &mut impl Iterator<Item = Reply>,
    ) -> Result<(), Trouble> {
        for replay in replays {
            match replies.next().map(|reply| reply.code) {
                Some(code) if Replay::is_done_by(&code) => self.note(|pending| pending.done(replay)),
                other => return Err(Trouble::Refused(format!("{other:?}"))),
            }
        }
        Ok(())
    }

    fn note(&self, change: impl FnOnce(&mut Pending)) {
        let mut state = self.state();
        change(&mut state.pending);
        self.owed.store(state.pending.len(), Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Node::under_way`].
pub(crate) struct UnderWay<'a>(&'a Counters);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.in_flight.take(1);
    }
}

/// The nodes of one backend, in the order of its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Nodes(Arc<[Arc<Node>]>);

impl Nodes {
    pub(crate) fn new(nodes: impl IntoIterator<Item = Arc<Node>>) -> Self {
        Nodes(nodes.into_iter().collect())
    }

    pub(crate) fn node(&self, index: usize) -> &Arc<Node> {
        &self.0[index]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.0.iter()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}
