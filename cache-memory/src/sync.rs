//! The locks and atomics of the backend: the standard library's, or those of a checker that tries every order of threads.
//!
//! The account ([`ledger`](crate::ledger)) is not among them: it is credited while the index frees memory, in the middle of
//! which the checker must not let another thread go on.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
