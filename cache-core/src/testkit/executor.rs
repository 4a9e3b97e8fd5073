//! Runs simulated processes one step at a time, in an order that a seed decides.
//!
//! Invariant: the only sources of order are the seed and the manual clock, so equal seeds give equal runs. Time moves
//! only when nobody can run, and then to the next instant that somebody sleeps for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::Random;
use crate::clock::{ManualClock, Tick};

/// A single-threaded executor for simulations. Clones share its tasks, so that a task can spawn others.
#[derive(Clone)]
pub struct SimExecutor {
    tasks: Rc<Tasks>,
}

struct Tasks {
    clock: ManualClock,
    random: RefCell<Random>,
    /// `None` while a task is being polled.
    all: RefCell<BTreeMap<usize, Option<Running>>>,
    stopped: RefCell<BTreeMap<u32, Tick>>,
    cancelled: RefCell<BTreeSet<usize>>,
    ready: Ready,
    next: Cell<usize>,
    steps: Cell<u64>,
    step_limit: Cell<u64>,
}

/// The tasks that were woken, each at most once. One that has ended meanwhile may still be among them.
type Ready = Arc<Mutex<Vec<usize>>>;

struct Running {
    name: String,
    process: u32,
    wake: Arc<WakeTask>,
    waker: Waker,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// Why a run ended before its tasks did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stuck {
    /// Nobody can run and nobody sleeps; these tasks wait for what never comes.
    Deadlock(Vec<String>),
    /// So many steps were taken without an end; these tasks are left.
    Endless(Vec<String>),
}

/// A task's result, once it has one. Dropping it lets the task run on.
pub struct Task<T> {
    id: usize,
    tasks: Rc<Tasks>,
    slot: Rc<RefCell<Slot<T>>>,
}

struct Slot<T> {
    result: Option<T>,
    waiting: Option<Waker>,
}

impl SimExecutor {
    /// An executor that picks among the ready tasks as `seed` says, and moves `clock`.
    pub fn new(seed: u64, clock: ManualClock) -> Self {
        let tasks = Tasks {
            clock,
            random: RefCell::new(Random::new(seed)),
            all: RefCell::default(),
            stopped: RefCell::default(),
            cancelled: RefCell::default(),
            ready: Arc::default(),
            next: Cell::new(0),
            steps: Cell::new(0),
            step_limit: Cell::new(10_000_000),
        };
        SimExecutor { tasks: Rc::new(tasks) }
    }

    /// Ends each run after so many steps of tasks. Default ten million.
    pub fn limit_steps(&self, steps: u64) {
        self.tasks.step_limit.set(steps);
    }

    /// Starts a task of process 0.
    pub fn spawn<T: 'static>(&self, name: impl Into<String>, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.spawn_in(0, name, future)
    }

    /// Starts a task of the process with this number; see [`stop`](SimExecutor::stop).
    pub fn spawn_in<T: 'static>(
        &self,
        process: u32,
        name: impl Into<String>,
        future: impl Future<Output = T> + 'static,
    ) -> Task<T> {
        let slot = Rc::new(RefCell::new(Slot { result: None, waiting: None }));
        let result = slot.clone();
        let future = Box::pin(async move {
            let value = future.await;
            let mut slot = result.borrow_mut();
            slot.result = Some(value);
            if let Some(waker) = slot.waiting.take() {
                waker.wake();
            }
        });
        let id = self.tasks.next.get();
        self.tasks.next.set(id + 1);
        let wake = Arc::new(WakeTask { id, ready: self.tasks.ready.clone(), queued: AtomicBool::new(false) });
        wake.wake_by_ref();
        let running = Running { name: name.into(), process, waker: Waker::from(wake.clone()), wake, future };
        self.tasks.all.borrow_mut().insert(id, Some(running));
        Task { id, tasks: self.tasks.clone(), slot }
    }

    /// Stops all tasks of a process for so long, as a host that is paused would.
    pub fn stop(&self, process: u32, time: Duration) {
        let until = self.tasks.clock.now().after(time);
        self.tasks.stopped.borrow_mut().insert(process, until);
    }

    /// Ends all tasks of a process where they stand: their futures are dropped, and nothing of them runs again.
    pub fn kill(&self, process: u32) {
        let of_process = |task: &Option<Running>| task.as_ref().is_some_and(|task| task.process == process);
        let all = self.tasks.all.borrow();
        let ids: Vec<usize> = all.iter().filter(|(_, task)| of_process(task)).map(|(id, _)| *id).collect();
        drop(all);
        ids.into_iter().for_each(|id| self.tasks.cancel(id));
    }

    /// Runs until every task has ended.
    ///
    /// # Errors
    ///
    /// [`Stuck`] when that can no longer happen, or takes too many steps.
    pub fn run(&self) -> Result<(), Stuck> {
        self.run_while(|| !self.tasks.all.borrow().is_empty())
    }

    /// Runs until `future` has ended, among the other tasks, which are left as they are then.
    ///
    /// # Errors
    ///
    /// [`Stuck`], as for [`run`](SimExecutor::run).
    pub fn run_until<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Result<T, Stuck> {
        let task = self.spawn("the awaited task", future);
        self.run_while(|| !task.has_ended())?;
        task.take().ok_or_else(|| Stuck::Deadlock(vec!["the awaited task was cancelled".to_owned()]))
    }

    /// How many steps of tasks were taken so far.
    pub fn steps(&self) -> u64 {
        self.tasks.steps.get()
    }

    /// A number below `end`, drawn from the seed of this run.
    pub fn random_below(&self, end: usize) -> usize {
        self.tasks.random.borrow_mut().below(end)
    }

    fn run_while(&self, goes_on: impl Fn() -> bool) -> Result<(), Stuck> {
        let tasks = &self.tasks;
        let last = tasks.steps.get().saturating_add(tasks.step_limit.get());
        while goes_on() {
            if tasks.steps.get() >= last {
                return Err(Stuck::Endless(tasks.names()));
            }
            match tasks.pick() {
                Some(id) => tasks.step(id),
                None => match tasks.next_instant() {
                    Some(next) => tasks.clock.advance(next.since(tasks.clock.now())),
                    None => return Err(Stuck::Deadlock(tasks.names())),
                },
            }
        }
        Ok(())
    }
}

impl<T> Task<T> {
    /// The result, if the task has ended and nobody took it before.
    pub fn take(&self) -> Option<T> {
        self.slot.borrow_mut().result.take()
    }

    /// Drops the task's future where it stands, as a caller that hangs up would.
    pub fn cancel(&self) {
        self.tasks.cancel(self.id);
    }

    /// Whether the task has ended or was cancelled.
    pub fn has_ended(&self) -> bool {
        !self.tasks.all.borrow().contains_key(&self.id)
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// Never ready if the task was cancelled, or if its result was taken.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.slot.borrow_mut();
        match slot.result.take() {
            Some(value) => Poll::Ready(value),
            None => {
                slot.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Tasks {
    /// One of the tasks that can run.
    fn pick(&self) -> Option<usize> {
        let mut stopped = self.stopped.borrow_mut();
        if !stopped.is_empty() {
            let now = self.clock.now();
            stopped.retain(|_, until| *until > now);
        }
        let mut ready = self.ready();
        let mut random = self.random.borrow_mut();
        if stopped.is_empty() {
            let place = random.below(ready.len());
            return (place < ready.len()).then(|| ready.swap_remove(place));
        }
        let all = self.all.borrow();
        let runs = |id: &usize| match all.get(id) {
            Some(Some(task)) => !stopped.contains_key(&task.process),
            _ => false,
        };
        let able: Vec<usize> = (0..ready.len()).filter(|place| runs(&ready[*place])).collect();
        let place = *able.get(random.below(able.len()))?;
        Some(ready.swap_remove(place))
    }

    fn step(self: &Rc<Self>, id: usize) {
        let taken = self.all.borrow_mut().get_mut(&id).and_then(Option::take);
        let Some(mut task) = taken else { return };
        self.steps.set(self.steps.get() + 1);
        task.wake.queued.store(false, Ordering::Relaxed);
        let ended = task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready();
        let cancelled = !self.cancelled.borrow().is_empty() && self.cancelled.borrow_mut().remove(&id);
        if ended || cancelled {
            self.all.borrow_mut().remove(&id);
            // Last, and with nothing borrowed: what is dropped may spawn and cancel.
            drop(task);
        } else if let Some(place) = self.all.borrow_mut().get_mut(&id) {
            *place = Some(task);
        }
    }

    /// The next instant at which somebody may be able to run.
    fn next_instant(&self) -> Option<Tick> {
        let all = self.all.borrow();
        let has_ready = self.ready().iter().any(|id| all.contains_key(id));
        let goes_on = self.stopped.borrow().values().min().copied().filter(|_| has_ready);
        let wakes = self.clock.next_wake().filter(|tick| *tick < Tick::NEVER);
        match (goes_on, wakes) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn cancel(&self, id: usize) {
        let mut all = self.all.borrow_mut();
        let task = match all.get_mut(&id) {
            // It cancels itself: dropped when this step is over.
            Some(None) => {
                self.cancelled.borrow_mut().insert(id);
                return;
            }
            Some(Some(_)) => all.remove(&id),
            None => None,
        };
        drop(all);
        drop(task);
    }

    fn ready(&self) -> MutexGuard<'_, Vec<usize>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Vec<String> {
        self.all.borrow().values().flatten().map(|task| task.name.clone()).collect()
    }
}

struct WakeTask {
    id: usize,
    ready: Ready,
    /// Whether it is among the ready ones, or has not been polled since it was.
    queued: AtomicBool,
}

impl Wake for WakeTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
        }
    }
}

impl fmt::Debug for SimExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimExecutor").field("clock", &self.tasks.clock).field("steps", &self.steps()).finish()
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.id).field("has_ended", &self.has_ended()).finish()
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, names) = match self {
            Stuck::Deadlock(names) => ("nobody can run, and nobody sleeps", names),
            Stuck::Endless(names) => ("too many steps", names),
        };
        write!(f, "{what}; unfinished: {}", names.join(", "))
    }
}

impl std::error::Error for Stuck {}

/// Polls one future to its end, moving `clock` whenever it waits: for tests of a single task.
///
/// # Errors
///
/// [`Stuck::Deadlock`] if it waits for anything but the clock.
pub fn block_on<T>(clock: &ManualClock, future: impl Future<Output = T>) -> Result<T, Stuck> {
    let wake = Arc::new(WakeTask { id: 0, ready: Arc::default(), queued: AtomicBool::new(false) });
    let waker = Waker::from(wake.clone());
    let mut future = std::pin::pin!(future);
    let mut asleep = false;
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(value);
        }
        if wake.queued.swap(false, Ordering::Relaxed) {
            asleep = false;
            continue;
        }
        match clock.next_wake().filter(|tick| *tick < Tick::NEVER) {
            Some(next) => clock.advance(next.since(clock.now())),
            None if asleep => return Err(Stuck::Deadlock(vec!["the awaited future".to_owned()])),
            // Another thread that shares the clock may just have passed the instant: one more look tells.
            None => asleep = true,
        }
    }
}

#[cfg(test)]
mod tests;
