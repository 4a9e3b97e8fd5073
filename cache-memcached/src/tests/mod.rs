//! The backend against real servers, which the tests start and end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "tokio")]
mod awaiting;
mod rows;
mod suite;
mod troubles;

use crate::{Address, Config};

/// The defaults, for servers of this host.
fn config(ports: &[u16]) -> Config {
    let address = |port: &u16| Address::Tcp { host: "127.0.0.1".to_owned(), port: *port };
    Config::new(ports.iter().map(|port| address(port).into()))
}
