//! The in-process backend of the function-result cache `cache`. Depend on `cache`, not on this crate.
//!
//! [`MemoryBackend`] keeps objects as they are: a read finds one in a lock-free index and looks at it where it lies;
//! a write goes through the lock of one shard of an S3-FIFO queue, which decides who makes room.
//!
//! Invariants: a read takes no lock, allocates nothing, and writes to no shared memory but one mark per entry, which is
//! written only when it is not set. Every change to an entry, in the index or in the queue, is made under the lock of
//! its shard. No value is dropped while such a lock is held.

mod config;
mod entry;
mod ghost;
mod ledger;
mod memory;
mod queue;
mod store;
mod sync;
mod weigh;

pub use config::{DEFAULT_CAPACITY, MemoryBackendBuilder};
pub use memory::MemoryBackend;
pub use weigh::ENTRY_OVERHEAD;
