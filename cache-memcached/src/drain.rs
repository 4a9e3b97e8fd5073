//! The one thread of this process that repeats what its nodes are owed, until they have answered.
//!
//! It lives only while something is owed that its own request did not settle, and repeats nothing else: what a caller waits for
//! would be carried out once more, perhaps after he was told that it is done, and cost a load. It asks a node at most as often as a
//! node that is set aside may be asked, on a connection of its own each time.

use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::batch::{Batch, Replied};
use crate::blocking::Connection;
use crate::budget::Budget;
use crate::node::Node;
use crate::pending::Replay;
use crate::server::Server;
use crate::trouble::Trouble;
use crate::work::Message;

/// How many invalidations travel together.
const TOGETHER: usize = 1000;
/// How long it waits between two rounds, at first and in the end.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(4);

static DRAIN: Mutex<Drain> = Mutex::new(Drain { nodes: Vec::new(), running_in: None });

/// There is another node. It does not wait until one that does not answer is asked again.
static STIRRED: Condvar = Condvar::new();

struct Drain {
    /// They are held until they are owed nothing: what a region owed when it ended is still true.
    nodes: Vec<Arc<Node>>,
    /// The process that has the thread: one that was forked from it has not.
    running_in: Option<u32>,
}

/// This node is owed something that nobody's request is about to settle.
pub(crate) fn stir(node: &Arc<Node>) {
    let mut drain = drain();
    if drain.nodes.iter().all(|known| !Arc::ptr_eq(known, node)) {
        drain.nodes.push(node.clone());
        STIRRED.notify_one();
    }
    let process = Some(process::id());
    if drain.running_in == process {
        return;
    }
    drain.running_in = process;
    drop(drain);
    let spawned = thread::Builder::new().name("cache-drain".to_owned()).spawn(run);
    if let Err(error) = spawned {
        self::drain().running_in = None;
        tracing::warn!(%error, "no thread repeats pending invalidations: they go out with the next request for their keys");
    }
}

fn run() {
    let mut pause = FIRST_PAUSE;
    loop {
        let nodes = drain().nodes.clone();
        let mut any_answered = false;
        for node in &nodes {
            while node.any_left() && settle_some(node).is_ok() {
                any_answered = true;
            }
        }
        let mut drain = drain();
        drain.nodes.retain(|node| node.any_left());
        if drain.nodes.is_empty() {
            drain.running_in = None;
            return;
        }
        let was_asked = |node: &Arc<Node>| nodes.iter().any(|asked| Arc::ptr_eq(asked, node));
        if drain.nodes.iter().all(was_asked) {
            pause = if any_answered { FIRST_PAUSE } else { LAST_PAUSE.min(pause * 2) };
            drop(STIRRED.wait_timeout(drain, pause));
        }
    }
}

/// Sends the node some of what it is owed.
fn settle_some(node: &Arc<Node>) -> Result<(), Trouble> {
    let settings = node.settings();
    node.admit(Instant::now(), settings.blacklist)?;
    let outcome = exchange(node, Budget::of(settings.io_timeout), settings.connect_timeout);
    node.report(&outcome, settings.blacklist);
    outcome
}

fn exchange(node: &Arc<Node>, budget: Budget, connect_timeout: Duration) -> Result<(), Trouble> {
    let mut connection = Connection::open(node, budget.at_most(connect_timeout))?;
    connection.exchange(&mut Owed { replays: node.left(TOGETHER) }, budget)
}

/// Some of what a node is owed.
struct Owed {
    replays: Vec<Replay>,
}

impl Message for Owed {
    fn write(&mut self, _: &Node, _: &Server, batch: &mut Batch) {
        self.replays.iter().for_each(|replay| replay.push(batch));
    }

    fn absorb(&mut self, node: &Node, replied: &mut Replied) -> Result<(), Trouble> {
        node.replayed(&self.replays, &mut replied.replies.drain(..))
    }
}

fn drain() -> MutexGuard<'static, Drain> {
    DRAIN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cache_core::key::FarKey;
    use memcached_server::Server as Memcached;

    use super::*;
    use crate::address::Address;
    use crate::node::NodeSettings;
    use crate::pending::Due;

    #[test]
    fn a_process_whose_thread_is_another_ones_starts_its_own() {
        let time = Duration::from_secs(10);
        let server = Memcached::start(&[]);
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: server.port() };
        let settings = NodeSettings { connect_timeout: time, io_timeout: time, blacklist: time };
        let node = Arc::new(Node::new(address, settings));
        let (key, region) = (FarKey::new("drain:k").unwrap(), FarKey::new("drain:@region").unwrap());
        node.owe(&key, Due::Hard, &region);
        assert!(node.leave(&key));
        // As a fork has it.
        drain().running_in = Some(process::id() + 1);
        stir(&node);
        let began = Instant::now();
        while node.any_left() {
            assert!(began.elapsed() < time, "nobody repeats it");
            thread::sleep(FIRST_PAUSE);
        }
    }
}
