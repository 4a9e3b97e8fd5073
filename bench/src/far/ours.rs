//! The far backend: a bare look-up, and the one that a cached function has, with its claim and its two generations.

use std::rc::Rc;
use std::time::Duration;

use cache_core::backend::{AsyncBytesBackend, BytesBackend, Lease, Read, Recall};
use cache_core::clock::Clock;
use cache_core::config::BackendUrl;
use cache_core::key::FarKey;
use cache_memcached::{Client, Config, Memcached};
use memcached_server::Server;
use tokio::runtime::Runtime;

use super::latency::{Subject, calls, futures};
use crate::harness::Role;

const BARE: &str = "cache: a record";
const WHOLE: &str = "cache: a record, its claim and 2 generations";

/// What both look-ups ask for.
#[derive(Clone)]
pub struct Lookup {
    keys: [FarKey; 1],
    scopes: Vec<FarKey>,
    lease: Lease,
}

impl Lookup {
    pub fn bare(key: &str) -> Self {
        Lookup { keys: [far_key(key)], scopes: Vec::new(), lease: Lease::None }
    }

    fn whole(key: &str) -> Self {
        let scopes =
            ["@region::da6c2767653273a5944833e528358b29083e20e1", "@namespace:images:bbf84a29894cd198a7ce7c5b"];
        Lookup::of(far_key(key), scopes.map(far_key).into())
    }

    /// A record with the generations of its scopes, as a cached function looks it up.
    pub fn of(key: FarKey, scopes: Vec<FarKey>) -> Self {
        Lookup { keys: [key], scopes, lease: Lease::Claim(Duration::from_secs(30)) }
    }

    /// How long the record is.
    pub fn ask(&self, client: &Memcached) -> usize {
        let seen = BytesBackend::read(client, &self.read()).remove(0).expect("an answer");
        seen.record.map_or(0, |record| record.len())
    }

    pub fn read(&self) -> Read<'_> {
        let Lookup { keys, scopes, lease } = self;
        Read { keys, scopes, lease: *lease, grace: Duration::ZERO, recall: Recall::Never }
    }
}

fn far_key(key: &str) -> FarKey {
    FarKey::new(key).expect("a good key")
}

pub fn client(server: &Server) -> Memcached {
    backend(&patient(server, ""))
}

/// Its peers wait for as long as it takes: where this machine stands still for a moment, so must ours.
pub fn patient(server: &Server, parameters: &str) -> String {
    format!("{}?io_timeout=10s&connect_timeout=10s{parameters}", server.url())
}

pub fn backend(url: &str) -> Memcached {
    let url = BackendUrl::parse(url).expect("a URL");
    let config = Config::from_url(&url).expect("good settings");
    Memcached::new(config, Clock::System).expect("a backend")
}

/// The client for plain values, with these parameters of its URL too (`&name=value`).
pub fn plain(server: &Server, parameters: &str) -> Client {
    Client::from_url(&patient(server, parameters)).expect("good settings")
}

pub fn blocking(server: &Server, key: &str, size: usize) -> Vec<Subject> {
    let subject = |(name, lookup): (_, Lookup)| {
        let client = client(server);
        calls(name, Role::Ours, size, move || lookup.ask(&client))
    };
    [(BARE, Lookup::bare(key)), (WHOLE, Lookup::whole(key))].into_iter().map(subject).collect()
}

pub fn awaiting(runtime: &Rc<Runtime>, server: &Server, key: &str, size: usize) -> Vec<Subject> {
    let subject = |(name, lookup): (_, Lookup)| {
        let client = client(server);
        futures(name, Role::Ours, size, runtime, async move || {
            let seen = AsyncBytesBackend::read(&client, &lookup.read()).await.remove(0).expect("an answer");
            seen.record.map_or(0, |record| record.len())
        })
    };
    [(BARE, Lookup::bare(key)), (WHOLE, Lookup::whole(key))].into_iter().map(subject).collect()
}
