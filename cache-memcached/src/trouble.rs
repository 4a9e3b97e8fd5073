//! What can go wrong between this process and a node.

use std::fmt;
use std::io;
use std::time::Duration;

use cache_core::error::{Error, Kind};

use crate::proto::{Broken, Version};

/// Why a batch has no replies. Each caller of a connection that ended gets one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection could be made.
    Connect(String),
    /// A new connection did not come about in time: `connect_timeout`, or what was left of `io_timeout`.
    Unreached(Duration),
    /// The node did not answer in time (`io_timeout`).
    TimedOut(Duration),
    /// The time was spent on other nodes of the operation, or on a connection that ended: it says little about the node.
    Late,
    /// The connection ended before a byte of the reply came: it may have been dead for long.
    Dead(String),
    /// The connection ended in the middle of a reply.
    Torn(String),
    /// What came is no reply to what was asked.
    Broken(Broken),
    /// The server speaks no meta protocol that this client could use.
    TooOld(Version),
    /// All connections of the pool are in use, for so long.
    Busy(Duration),
    /// A future is polled where there is no tokio, or one without its reactor or its timer.
    #[cfg(feature = "tokio")]
    NoRuntime,
    /// So many requests, or so many bytes, wait for the node already.
    #[cfg(feature = "tokio")]
    Crowded(&'static str),
    /// What the node keeps for a scope was gone each time it was looked at.
    NoGenerations,
    /// It is not asked for a while, for this reason.
    SetAside(String),
    /// What it tells proves that several servers answer to its name.
    SeveralServers,
    /// More is owed to the node than its keys are remembered for.
    Owed,
    /// The node refused to carry out an invalidation.
    Refused(String),
    /// Nothing was said to the node, or not all that was to be said.
    Unfinished,
}

/// Whether a request was written to its node, by whatever connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Nothing,
    Something,
}

impl Trouble {
    /// Whether the same batch on a new connection is the natural next step.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self, Trouble::Dead(_))
    }

    /// The trouble of a connection that failed: before a byte of the reply, or in its middle.
    pub(crate) fn of_io(error: &io::Error, any_byte_came: bool) -> Self {
        let why = error.to_string();
        if any_byte_came { Trouble::Torn(why) } else { Trouble::Dead(why) }
    }

    /// The trouble of a connection that the node closed.
    pub(crate) fn closed(any_byte_came: bool) -> Self {
        let why = "the node closed the connection".to_owned();
        if any_byte_came { Trouble::Torn(why) } else { Trouble::Dead(why) }
    }

    /// For people who know nodes by their names. It is not the trouble that tells what the node may have done or may do
    /// yet, but whether anything was written to it before: a connection may die, and no other be found.
    pub(crate) fn at(&self, node: &str, sent: Sent) -> Error {
        let kind = match sent {
            Sent::Nothing => Kind::Backend,
            Sent::Something => Kind::Unanswered,
        };
        Error::new(kind, self.to_string()).with("node", node)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Connect(why) => write!(f, "no connection could be made: {why}"),
            Trouble::Unreached(after) => write!(f, "the node did not answer within {after:?}, on a new connection"),
            Trouble::TimedOut(after) => write!(f, "the node did not answer within {after:?}"),
            Trouble::Late => f.write_str("the operation had no time left when the node was to be asked"),
            Trouble::Dead(why) => write!(f, "the connection was dead: {why}"),
            Trouble::Torn(why) => write!(f, "the connection ended in the middle of a reply: {why}"),
            Trouble::Broken(broken) => broken.fmt(f),
            Trouble::TooOld(version) => {
                write!(f, "memcached {version} is too old: at least {} is needed, for its meta commands", Version::META)
            }
            Trouble::Busy(after) => write!(f, "all connections of the pool were in use for {after:?}; see `pool_size`"),
            #[cfg(feature = "tokio")]
            Trouble::NoRuntime => {
                f.write_str("memcached is awaited under tokio only, with its I/O and its timer switched on")
            }
            #[cfg(feature = "tokio")]
            Trouble::Crowded(what) => write!(f, "too much waits for the node already; see `{what}`"),
            Trouble::NoGenerations => f.write_str("the node keeps no generations: is it out of memory?"),
            Trouble::SetAside(why) => write!(f, "the node is set aside for a while: {why}"),
            Trouble::SeveralServers => f.write_str(
                "several servers answer to this name, so an invalidation would reach one of them: name each by itself",
            ),
            Trouble::Owed => f.write_str(
                "so many invalidations wait for the node that another generation of the region stands for them",
            ),
            Trouble::Refused(reply) => write!(f, "the node refused an invalidation: {reply}"),
            Trouble::Unfinished => f.write_str("the operation was not finished"),
        }
    }
}

impl std::error::Error for Trouble {}
