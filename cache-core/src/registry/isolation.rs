//! One test, one task or one thread with a registry of its own.
//!
//! While any is isolated, whoever looks up a region by name first asks which registry is in force here; while none is,
//! that costs one relaxed load.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use super::Registry;

static ISOLATED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STACK: RefCell<Vec<Registry>> = const { RefCell::new(Vec::new()) };
}

/// Whether any thread is isolated now.
#[inline]
pub(crate) fn is_any() -> bool {
    ISOLATED.load(Ordering::Relaxed) != 0
}

/// The registry in force on this thread, if it is isolated.
pub(crate) fn current() -> Option<Registry> {
    STACK.with_borrow(|stack| stack.last().cloned())
}

/// Runs `run` with `registry` in force for every region that is looked up by name on this thread.
pub fn isolated<T>(registry: &Registry, run: impl FnOnce() -> T) -> T {
    struct Entered;
    impl Drop for Entered {
        fn drop(&mut self) {
            STACK.with_borrow_mut(Vec::pop);
            ISOLATED.fetch_sub(1, Ordering::Relaxed);
        }
    }
    ISOLATED.fetch_add(1, Ordering::Relaxed);
    STACK.with_borrow_mut(|stack| stack.push(registry.clone()));
    let _entered = Entered;
    run()
}

/// Awaits `future` with `registry` in force at each of its polls. Tasks that it spawns do not inherit it: give them a
/// clone of the registry.
pub fn isolated_async<F: Future>(registry: &Registry, future: F) -> Isolated<F> {
    Isolated { registry: registry.clone(), future: Box::pin(future) }
}

/// The future of [`isolated_async`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Isolated<F> {
    registry: Registry,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Isolated<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        isolated(&this.registry, || pin!(&mut this.future).as_mut().poll(cx))
    }
}
