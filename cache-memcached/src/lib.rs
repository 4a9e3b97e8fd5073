//! The memcached backend of the function-result cache `cache`.

mod batch;
pub mod proto;
mod server;
mod trouble;
