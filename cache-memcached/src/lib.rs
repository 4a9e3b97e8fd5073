//! The memcached backend of the function-result cache `cache`.

mod address;
mod backend;
mod batch;
mod blocking;
mod config;
mod node;
mod operations;
mod pending;
pub mod proto;
mod server;
#[cfg(feature = "tokio")]
mod tasks;
mod topology;
mod trouble;
mod work;

pub use address::Address;
pub use backend::Memcached;
pub use config::{Config, NodeAddress};

#[cfg(test)]
mod tests;
