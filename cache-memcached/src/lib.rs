//! The memcached backend of the function-result cache `cache`: a far tier that processes share.
//!
//! [`Memcached`] implements both far traits of `cache-core`; [`Client`] is memcached itself, for plain values. An operation is made in `operations`, says in `work` what goes
//! to which node, and is carried by one of two faces: `blocking`, where the caller writes and reads a pooled
//! connection itself, and `tasks`, where the tasks of a runtime share one. [`proto`] is the protocol without a
//! socket, `topology` says which node keeps a key, `node` what this process knows of a node and owes to it.

mod address;
mod age;
mod backend;
mod batch;
mod blocking;
mod budget;
mod client;
mod config;
mod counters;
mod drain;
mod health;
mod identity;
mod inbox;
mod node;
mod operations;
mod parts;
mod pending;
pub mod proto;
mod random;
mod replies;
mod server;
#[cfg(feature = "tokio")]
mod sizes;
mod split;
#[cfg(feature = "tokio")]
mod tasks;
mod topology;
mod trouble;
mod waves;
mod work;

pub use address::Address;
pub use backend::Memcached;
pub use client::{Client, Expiry, Item, Operation, ServerStats, Stored};
pub use config::{Config, NodeAddress};

/// What fuzz targets try that is nobody else's.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::split::fuzzing::{Parts, asked_for, joined, split};
}

#[cfg(test)]
mod tests;
