//! The locks and atomics of the backend: the standard library's, or those of a checker that tries every order of threads.
//!
//! The account ([`ledger`](crate::ledger)) is not among them: it is credited while the index frees memory, in the middle of
//! which the checker must not let another thread go on.

#[cfg(shuttle)]
pub(crate) use checked::{Mutex, MutexGuard};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// The checker lets others go on before a lock is let go of, and not after. What is done to the index next, which is no step
/// to the checker, would always seem to be done under the lock: so these guards let others go on afterwards too.
#[cfg(shuttle)]
mod checked {
    use std::ops::{Deref, DerefMut};
    use std::sync::{LockResult, PoisonError};

    use shuttle::sync::atomic::AtomicBool;

    use super::Ordering;

    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    /// Its fields are dropped in this order.
    pub(crate) struct MutexGuard<'a, T> {
        held: shuttle::sync::MutexGuard<'a, T>,
        _let_others: LetOthers,
    }

    struct LetOthers;

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            let guard = |held| MutexGuard { held, _let_others: LetOthers };
            self.0.lock().map(guard).map_err(|poisoned| PoisonError::new(guard(poisoned.into_inner())))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.held
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.held
        }
    }

    impl Drop for LetOthers {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                AtomicBool::new(false).load(Ordering::SeqCst);
            }
        }
    }
}
