//! memcached's protocol as bytes: requests written into a buffer, replies parsed out of one.
//!
//! Invariant: nothing here knows a socket, a clock or another crate of the workspace. A reply is accepted only if its
//! request may be answered so, and only with that request's number; whatever else comes ends the connection.
//!
//! The rules are those of `doc/protocol.txt` in memcached's sources, and of what memcached 1.6.18 answers where the
//! text leaves it open.

mod key;
mod reply;
mod request;
mod version;

pub use key::{BadKey, Key};
pub(crate) use reply::NO_END;
pub use reply::{Broken, Code, Left, Named, Open, Parsed, Reply, VALUE_END, parse};
pub use request::{Arithmetic, Delete, Expected, Get, Mode, Opaque, Request, Set, Verb};
pub use version::{Features, Version};

#[cfg(test)]
mod tests;
