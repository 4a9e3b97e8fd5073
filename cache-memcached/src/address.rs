//! Where a node listens.

use std::fmt;
use std::path::PathBuf;

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A host, by name or number, and a port.
    Tcp {
        /// The name is resolved each time a connection is made.
        host: String,
        /// memcached's own is 11211.
        port: u16,
    },
    /// A Unix socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As it stands in a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}
