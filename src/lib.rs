#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc = include_str!("../README.md")]

pub use cache_core::config::{BackendUrl, Configuration, Environment, Settings, Ttl};
pub use cache_core::direct::Namespace;
pub use cache_core::error::{Error, Kind, Result};
pub use cache_core::key::{FarKey, Key, KeyGenerator, KeyPlace, KeyRef, ReadableKeys, Sha1Keys};
pub use cache_core::observe::{Count, Counts, Event, Observer, Stats};
pub use cache_core::record::{Codec, Compression};
pub use cache_core::region::{
    Entry, FlushPending, Get, Invalidate, NotStored, Reached, Region, Set, SetOutcome, WholeEntry,
};
pub use cache_core::registry::{OpenContext, Opened, Registry, RegistryBuilder, Scheme, Shutdown};
pub use cache_core::state::Strictness;

/// What the author of a backend implements.
pub mod backend {
    pub use cache_core::backend::*;
    pub use cache_core::clock::{Clock, Tick};
    pub use cache_core::freshness::{Deadlines, Freshness};
    pub use cache_core::generation::{Generation, GenerationDigest, Generations};
}

/// Clocks: the system's, and one that tests move.
pub mod clock {
    pub use cache_core::clock::{Clock, ManualClock, Tick};
}

/// Keys: how arguments are written, and what makes far keys of them.
pub mod key {
    pub use cache_core::key::*;
}

/// Records: what the far tier keeps, and codecs of one's own.
pub mod record {
    pub use cache_core::record::*;
}

/// For tests: registries, a simulated far tier, suites for backends.
#[cfg(feature = "testkit")]
pub mod testkit {
    pub use cache_core::testkit::*;
}

/// The in-process backend.
#[cfg(feature = "memory")]
pub mod memory {
    pub use cache_memory::*;
}

/// The backend in memcached, and a client of memcached itself.
#[cfg(feature = "memcached")]
pub mod memcached {
    pub use cache_memcached::*;
}

mod schemes;

pub use schemes::{open_known_schemes, registry};

/// Tries the examples in the documentation of the attributes.
#[cfg(all(doctest, feature = "macros"))]
#[doc = include_str!("../cache-macros/src/cached.md")]
#[doc = include_str!("../cache-macros/src/invalidates.md")]
mod examples_of_the_attributes {}

/// Tries the examples in the documents.
#[cfg(all(doctest, feature = "memory", feature = "toml"))]
#[doc = include_str!("../docs/configuration.md")]
mod examples_of_the_documents {}

/// Tries the example of a transaction.
#[cfg(all(doctest, feature = "macros", feature = "memory"))]
#[doc = include_str!("../docs/invalidation.md")]
mod examples_of_invalidation {}

/// Tries the example of the client.
#[cfg(all(doctest, feature = "memcached", feature = "tokio"))]
#[doc = include_str!("../docs/memcached.md")]
mod examples_of_the_client {}

/// What the output of the attributes may touch.
#[doc(hidden)]
pub use cache_core::rt as __private;
#[cfg(feature = "macros")]
pub use cache_macros::{cached, invalidates};
