//! Numbers that no other call of any process gets but by chance.

use std::hash::{BuildHasher, RandomState};
use std::process;

/// One of them. Its key is the system's random number, of which a forked process has a copy: hence the process.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(process::id())
}
