//! The backend: its nodes, who owns a key, and the connections of each face.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cache_core::clock::Clock;
use cache_core::error::Result;
use cache_core::key::FarKey;

use crate::address::Address;
use crate::age::Life;
use crate::blocking::{Pool, PoolSettings};
use crate::budget::{Budget, Errand};
use crate::config::Config;
use crate::node::{Node, NodeSettings, Nodes};
#[cfg(feature = "tokio")]
use crate::sizes::Sizes;
#[cfg(feature = "tokio")]
use crate::tasks::{Bounds, LinkSettings, Links};
use crate::topology::Topology;

/// A far tier in memcached. Clones share its connections.
///
/// It implements [`BytesBackend`](cache_core::backend::BytesBackend), and with the feature `tokio`
/// [`AsyncBytesBackend`](cache_core::backend::AsyncBytesBackend).
#[derive(Clone)]
pub struct Memcached {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    clock: Clock,
    topology: Topology,
    nodes: Nodes,
    pools: Vec<Pool>,
    #[cfg(feature = "tokio")]
    links: Vec<Links>,
    #[cfg(feature = "tokio")]
    sizes: Sizes,
}

/// The nodes that this process knows, by address: what is owed to one is owed by all its regions.
static KNOWN: Mutex<Option<HashMap<Address, Weak<Node>>>> = Mutex::new(None);

impl Memcached {
    /// A backend over the nodes of `config`, dating what it reads by `clock`. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`](cache_core::error::Kind::Config) if there is no node, or a setting is not allowed.
    pub fn new(config: Config, clock: Clock) -> Result<Self> {
        let nodes = Nodes::new(config.nodes.iter().map(|node| known_node(&node.address, NodeSettings::from(&config))));
        Self::over(config, clock, nodes)
    }

    /// The same as another process has it: it shares nothing with the other backends of this one.
    #[cfg(test)]
    pub(crate) fn of_another_process(config: Config, clock: Clock) -> Result<Self> {
        let nodes =
            Nodes::new(config.nodes.iter().map(|node| Arc::new(Node::new(node.address.clone(), (&config).into()))));
        Self::over(config, clock, nodes)
    }

    fn over(config: Config, clock: Clock, nodes: Nodes) -> Result<Self> {
        let config = config.checked()?;
        let topology = Topology::new(config.nodes.iter().map(|node| (node.name.as_str(), node.weight)));
        let life = Life { idle_timeout: config.idle_timeout, max_lifetime: config.max_lifetime };
        let settings = PoolSettings {
            size: config.pool_size,
            max_idle: config.max_idle.unwrap_or(config.pool_size),
            life,
            timeout: config.pool_timeout.unwrap_or(config.io_timeout),
            connect_timeout: config.connect_timeout,
        };
        let pools = nodes.iter().map(|node| Pool::new(node.clone(), settings)).collect();
        #[cfg(feature = "tokio")]
        let link_settings = LinkSettings {
            connect_timeout: config.connect_timeout,
            io_timeout: config.io_timeout,
            life,
            bounds: Bounds { requests: config.max_in_flight, bytes: config.max_bytes_in_flight },
        };
        #[cfg(feature = "tokio")]
        let links = nodes.iter().map(|node| Links::new(node.clone(), link_settings)).collect();
        let shared = Shared {
            #[cfg(feature = "tokio")]
            links,
            #[cfg(feature = "tokio")]
            sizes: Sizes::new(),
            config,
            clock,
            topology,
            nodes,
            pools,
        };
        Ok(Memcached { shared: Arc::new(shared) })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// An operation that begins now.
    pub(crate) fn errand(&self, verb: &'static str) -> Errand {
        Errand { verb, budget: Budget::of(self.shared.config.io_timeout) }
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.shared.nodes
    }

    pub(crate) fn pool(&self, node: usize) -> &Pool {
        &self.shared.pools[node]
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn links(&self, node: usize) -> &Links {
        &self.shared.links[node]
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn sizes(&self) -> &Sizes {
        &self.shared.sizes
    }

    /// The node that keeps this key.
    pub(crate) fn owner(&self, key: &FarKey) -> usize {
        self.owner_of(key.as_str().as_bytes())
    }

    /// The same for any key.
    pub(crate) fn owner_of(&self, key: &[u8]) -> usize {
        self.shared.topology.owner(key)
    }
}

fn known_node(address: &Address, settings: NodeSettings) -> Arc<Node> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some(node) = known.get(address).and_then(Weak::upgrade) {
        return node;
    }
    known.retain(|_, node| node.strong_count() > 0);
    let node = Arc::new(Node::new(address.clone(), settings));
    known.insert(address.clone(), Arc::downgrade(&node));
    node
}

impl fmt::Debug for Memcached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.shared.nodes.iter().map(|node| &*node.name).collect();
        write!(f, "Memcached({})", names.join(", "))
    }
}
