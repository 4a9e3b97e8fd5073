//! Tells what a call goes through before its function runs: an observer that speaks to the call it is called in.

use std::cell::Cell;

use cache::{Count, Event, Observer};

use crate::log::Way;

thread_local! {
    static OF_THREAD: Cell<Way> = const { Cell::new(Way::Plain) };
}

tokio::task_local! {
    static OF_TASK: Cell<Way>;
}

/// A call in this thread, from its beginning.
pub fn in_thread<T>(call: impl FnOnce() -> T) -> T {
    OF_THREAD.set(Way::Plain);
    call()
}

/// The same in a task.
pub async fn in_task<F: Future>(call: F) -> F::Output {
    OF_TASK.scope(Cell::new(Way::Plain), call).await
}

/// What the call that this is called in has gone through.
pub fn met() -> Way {
    OF_TASK.try_with(Cell::get).unwrap_or_else(|_| OF_THREAD.get())
}

fn meet(way: Way) {
    if OF_TASK.try_with(|met| met.set(way)).is_err() {
        OF_THREAD.set(way);
    }
}

#[derive(Debug)]
pub struct Witness;

impl Observer for Witness {
    fn observe(&self, event: &Event<'_>) {
        match event.what {
            Count::FarError | Count::NotFenced => meet(Way::Degraded),
            Count::PatienceSpent | Count::Alone => meet(Way::Impatient),
            _ => {}
        }
    }
}
