//! The backend against real servers, which the tests start and end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[cfg(feature = "tokio")]
mod awaiting;
mod client;
#[cfg(feature = "tokio")]
mod dropped;
mod face;
mod faults;
mod faults_of_each;
mod fences;
#[cfg(feature = "tokio")]
mod lives;
mod many;
mod parts;
mod parts_of_processes;
mod rows;
mod sent;
mod spans;
mod stage;
mod suite;
mod troubles;
#[cfg(feature = "tokio")]
mod waves;

use std::time::Duration;

use cache_core::clock::Clock;
use cache_core::key::FarKey;

use crate::{Address, Config, Memcached};

/// The time that an operation may take at most: `io_timeout`, and what a machine needs beside on which all tests run at
/// once.
const IO_TIMEOUT: Duration = Duration::from_millis(100);
const BESIDE: Duration = Duration::from_millis(150);
/// How long a node is left alone, where that is not what the test is about.
const BLACKLIST: Duration = Duration::from_millis(20);

/// The defaults, for servers of this host.
fn config(ports: &[u16]) -> Config {
    let address = |port: &u16| Address::Tcp { host: "127.0.0.1".to_owned(), port: *port };
    Config::new(ports.iter().map(|port| address(port).into()))
}

/// The scope of every key of these tests.
fn region() -> FarKey {
    FarKey::new("tests:@region").unwrap()
}

/// The same with short timeouts.
fn brisk(ports: &[u16]) -> Config {
    Config { io_timeout: IO_TIMEOUT, connect_timeout: IO_TIMEOUT, ..config(ports) }
}

/// A client of one server, as another process would have it.
fn client(port: u16) -> Memcached {
    let config = Config { blacklist: BLACKLIST, ..brisk(&[port]) };
    Memcached::of_another_process(config, Clock::System).unwrap()
}
