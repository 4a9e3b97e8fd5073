//! A call of a writer: its body, then the invalidations of what it may have changed, on every exit.
//!
//! Invariant: what is to be invalidated is known before the body runs. When the call has ended, each invalidation is done
//! or left with its backend as pending, however the call ended; what failed was said. Where only `Ok` counts, nothing
//! else invalidates.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Result;
use crate::region::{Invalidate, Reached};
use crate::registry::Registry;
use crate::state::RegionState;

/// On which exits a writer that returns `R` invalidates.
#[derive(Debug)]
pub struct Exits<R> {
    /// Whether it does if the body does not come to its end: it panics, or its future is dropped.
    unfinished: bool,
    /// Whether it does if the body returns this.
    include: fn(&R) -> bool,
}

impl<R> Exits<R> {
    /// It invalidates however it ends: also an `Err` may come after the write took effect.
    pub const fn every() -> Self {
        Exits { unfinished: true, include: |_| true }
    }

    /// It invalidates only if it returns `Ok`.
    pub const fn only_ok() -> Self
    where
        R: MaybeOk,
    {
        Exits { unfinished: false, include: R::is_ok }
    }
}

/// A `Result`, under any name.
#[diagnostic::on_unimplemented(
    message = "`only_ok` needs a writer that returns a `Result`, and this one returns `{Self}`",
    label = "`{Self}` is never `Ok`",
    note = "remove `only_ok`: the writer then invalidates on every exit"
)]
pub trait MaybeOk {
    /// Whether it is `Ok`.
    fn is_ok(&self) -> bool;
}

impl<T, E> MaybeOk for std::result::Result<T, E> {
    fn is_ok(&self) -> bool {
        std::result::Result::is_ok(self)
    }
}

/// Runs a blocking writer.
pub(crate) fn blocking<R, A, const N: usize>(
    writer: &'static str,
    targets: [Invalidate; N],
    exits: Exits<R>,
    arguments: A,
    body: impl FnOnce(A) -> R,
) -> R {
    let mut owed = Owed::new(writer, targets, Caller::Blocks, exits.unfinished);
    let result = body(arguments);
    owed.is_due = (exits.include)(&result);
    owed.pay();
    result
}

/// Runs an async writer: the twin of [`blocking`]. What was never polled has written nothing, and invalidates nothing.
pub(crate) fn tasks<R, A, L, F, const N: usize>(
    writer: &'static str,
    targets: [Invalidate; N],
    exits: Exits<R>,
    arguments: A,
    body: L,
) -> impl Future<Output = R> + use<R, A, L, F, N>
where
    L: FnOnce(A) -> F,
    F: Future<Output = R>,
{
    // Boxed: beside a write an allocation is nothing, and the caller's future stays small.
    Box::pin(async move {
        let mut owed = Owed::new(writer, targets, Caller::Awaits, exits.unfinished);
        let result = body(arguments).await;
        owed.is_due = (exits.include)(&result);
        owed.settle().await;
        result
    })
}

/// How a writer waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Blocks,
    Awaits,
}

/// The guard: what a call of a writer owes from its beginning, and pays when it ends.
struct Owed {
    writer: &'static str,
    debts: VecDeque<Debt>,
    /// Whether they are paid if this is dropped now.
    is_due: bool,
}

/// One invalidation.
struct Debt {
    operation: Invalidate,
    way: Way,
    /// The region that says how it went wrong; `None` where the operation could not be made.
    state: Option<Arc<RegionState>>,
}

/// How an invalidation is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Wait,
    Await,
}

impl Owed {
    fn new<const N: usize>(writer: &'static str, targets: [Invalidate; N], caller: Caller, is_due: bool) -> Self {
        let debt = |operation: Invalidate| {
            let state = operation.state().cloned();
            let far = state.as_ref().and_then(|state| state.far.as_ref());
            let way = match caller {
                // Nobody could be told that a face is missing, so that the other one must do: a short block is better
                // than a value that stays, and what is begun and left is pending.
                Caller::Blocks if far.is_some_and(|far| far.blocking.is_none()) => Way::Await,
                Caller::Awaits if far.is_some_and(|far| far.tasks.is_none()) => Way::Wait,
                Caller::Blocks => Way::Wait,
                Caller::Awaits => Way::Await,
            };
            Debt { operation, way, state }
        };
        Owed { writer, debts: targets.into_iter().map(debt).collect(), is_due }
    }

    /// Pays what is due in this thread, and leaves with its backend what can only be awaited.
    fn pay(&mut self) {
        if !self.is_due {
            return self.debts.clear();
        }
        while let Some(Debt { operation, way, state }) = self.debts.pop_front() {
            let outcome = match way {
                Way::Wait => Poll::Ready(operation.wait()),
                Way::Await => operation.leave(),
            };
            report(self.writer, state.as_deref(), outcome);
        }
    }

    /// The same by awaiting, all at the same time.
    async fn settle(&mut self) {
        if self.is_due {
            let Owed { writer, debts, .. } = self;
            poll_fn(|cx| {
                debts.retain_mut(|debt| debt.way == Way::Wait || debt.poll(writer, cx).is_pending());
                let is_done = debts.iter().all(|debt| debt.way == Way::Wait);
                if is_done { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        self.pay();
    }
}

impl Debt {
    fn poll(&mut self, writer: &'static str, cx: &mut Context<'_>) -> Poll<()> {
        let outcome = Pin::new(&mut self.operation).poll(cx);
        let done = outcome.is_ready();
        report(writer, self.state.as_deref(), outcome);
        if done { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Owed {
    /// The body did not come to its end, or nobody waits for the invalidations any more: what was begun is pending when
    /// its future goes, and the others are begun here.
    fn drop(&mut self) {
        while !self.debts.is_empty() {
            // A backend or an observer that panics would end the process if a panic is what brought us here. Its hook
            // has told of it.
            let _told = catch_unwind(AssertUnwindSafe(|| self.pay()));
        }
    }
}

/// Says what failed: the writer returns its own result, and somebody must know.
fn report(writer: &'static str, state: Option<&RegionState>, outcome: Poll<Result<Reached>>) {
    let Poll::Ready(Err(error)) = outcome else { return };
    let message = format_args!("what `{writer}` may have changed is not invalidated everywhere: {error:?}");
    match state {
        Some(state) => state.complain("writer", writer, message),
        // No region is behind it.
        None => Registry::in_force().complain("writer", writer, message),
    }
}
