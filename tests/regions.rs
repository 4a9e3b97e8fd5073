//! What callers see of a region is the same whatever it keeps its values in: the suite of regions over each backend that is
//! shipped, and over both tiers.

#![cfg(all(feature = "memcached", feature = "memory", feature = "testkit"))]
#![allow(clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache::testkit::region_suite;
use cache::{Region, Registry, Settings, open_known_schemes};
use memcached_server::Server;

/// A region of its own, on a server that it may share with others.
fn region(settings: &Settings) -> Region {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("regions{}:", NUMBER.fetch_add(1, Ordering::Relaxed));
    let registry = Registry::new();
    open_known_schemes(&registry);
    registry
        .configure("tried", settings.clone().ttl(Duration::from_secs(3600)).prefix(prefix))
        .expect("these settings are good");
    registry.region("tried")
}

#[track_caller]
fn passes(settings: &Settings) {
    if let Err(report) = region_suite(|| region(settings)) {
        panic!("{report}");
    }
}

#[test]
fn in_memory() {
    passes(&Settings::new().near("memory://"));
    passes(&Settings::new().near("memory://?entries=1000"));
}

#[test]
fn in_memcached() {
    let servers = [Server::start(&[]), Server::start(&[]), Server::start(&[])];
    passes(&Settings::new().far(servers[0].url()));
    let hosts: Vec<String> = servers.iter().map(|server| server.url().replace("memcached://", "")).collect();
    passes(&Settings::new().far(format!("memcached://{}", hosts.join(","))));
}

#[test]
fn in_memory_over_memcached() {
    let server = Server::start(&[]);
    passes(&Settings::new().near("memory://").far(server.url()));
    let strict = Settings::new().near("memory://").far(server.url()).max_staleness(Duration::ZERO);
    passes(&strict);
}
