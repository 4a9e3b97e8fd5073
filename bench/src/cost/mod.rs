//! Family `cost`: what an entry asks of the allocator beyond its key and value, what a hit does, and how many instructions
//! that takes, where there is valgrind.
//!
//! It is built with the feature `cost`, which has every allocation of the program counted. Bytes are those that were
//! requested, not what the allocator makes of them; only those of the thread that asks count, and all work is done there.

mod entries;
mod hits;
mod instructions;

use cache::testkit::isolated;
use cache::{Registry, Settings, open_known_schemes};
use memcached_server::Server;

use crate::harness::{Effort, Record};

pub use instructions::is_child;

/// The server has room for every record of a run.
const ROOM: &str = "2048";

pub fn run(effort: Effort) -> Vec<Record> {
    let mut records = entries::run(effort);
    records.extend(hits::run(effort));
    records.extend(instructions::run(effort));
    records
}

/// How many entries there are where a far tier takes part: each is stored by a call of its own.
fn far_counts(effort: Effort) -> &'static [u64] {
    if effort == Effort::Full { &[1_000, 100_000, 1_000_000] } else { &[1_000, 100_000] }
}

/// How many servers share the records.
const NODES: [usize; 3] = [1, 10, 100];

fn servers(count: usize) -> Vec<Server> {
    (0..count).map(|_| Server::start(&["-t", "1", "-m", ROOM])).collect()
}

/// The URL of a region over all of these.
fn url(servers: &[Server]) -> String {
    let hosts: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    format!("memcached://{}", hosts.join(","))
}

/// Runs with a registry of its own, in which a region is configured: one cannot be configured twice.
fn configured<T>(region: &str, settings: Settings, run: impl FnOnce() -> T) -> T {
    let registry = Registry::new();
    open_known_schemes(&registry);
    registry.configure(region, settings).expect("good settings");
    isolated(&registry, run)
}
