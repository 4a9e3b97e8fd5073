//! Writes, and invalidates after each write: mostly one key, at times all of a function, or all there is.

use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;

use cache::memcached::Client;
use cache::{Invalidate, Kind};

use crate::clock::now;
use crate::log::{Answer, Record};
use crate::naive;
use crate::options::Cache;
use crate::random::Random;
use crate::reader::{HUNT, by_task_entry, by_thread_entry};
use crate::worker::Worker;

/// How long a writer waits for what is pending before it goes on.
const FLUSH: Duration = Duration::from_secs(1);

/// What is to be invalidated, and how that is said.
#[derive(Debug)]
enum Target {
    Entry(usize),
    ByName(usize),
    /// All of the function that this slot belongs to.
    Namespace(usize),
    Region,
}

/// The writes of one caller.
#[derive(Debug)]
struct Writes<'a> {
    worker: &'a Worker,
    random: Random,
}

pub fn in_thread(worker: &Worker, client: &Client) {
    let mut writes = Writes { worker, random: Random::new(worker.job.seed, worker.job.number << 8) };
    while worker.goes_on() {
        let target = writes.next();
        let called = now();
        let done = match worker.job.cache {
            Cache::Naive => client.delete(&naive::key(target.slot())).wait().map(drop),
            Cache::Far | Cache::NearOverFar => target.invalidate(worker.job.keys).wait().map(drop),
        };
        if writes.returned(&target, called, done) == Answer::Pending {
            let called = now();
            let flushed = HUNT.flush_pending().within(FLUSH).wait();
            writes.flushed(called, flushed);
        }
        thread::sleep(writes.random.micros(0, 3_000));
    }
}

pub async fn in_task(worker: &Worker, client: &Client) {
    let mut writes = Writes { worker, random: Random::new(worker.job.seed, worker.job.number << 8 | 1) };
    while worker.goes_on() {
        let target = writes.next();
        let called = now();
        let done = match worker.job.cache {
            Cache::Naive => client.delete(&naive::key(target.slot())).await.map(drop),
            Cache::Far | Cache::NearOverFar => target.invalidate(worker.job.keys).await.map(drop),
        };
        if writes.returned(&target, called, done) == Answer::Pending {
            let called = now();
            let flushed = HUNT.flush_pending().within(FLUSH).await;
            writes.flushed(called, flushed);
        }
        let pause = writes.random.micros(0, 3_000);
        tokio::time::sleep(pause).await;
    }
}

impl Writes<'_> {
    /// Writes a slot, and says what that makes old. Low slots are written far more often than high ones.
    fn next(&mut self) -> Target {
        let keys = self.worker.job.keys;
        let within = 1 + self.random.below(keys);
        let slot = self.random.below(within) + if self.random.once_in(2) { keys } else { 0 };
        self.worker.write(slot);
        match self.random.below(1_000) {
            _ if self.worker.job.cache == Cache::Naive => Target::Entry(slot),
            0 => Target::Region,
            1..5 => Target::Namespace(slot),
            5..500 => Target::ByName(slot),
            _ => Target::Entry(slot),
        }
    }

    fn returned(&self, target: &Target, called: u64, done: cache::Result<()>) -> Answer {
        let returned = now();
        let answer = match done {
            Ok(()) => Answer::Done,
            Err(error) => {
                if error.kind() != Kind::Pending && self.worker.job.cache != Cache::Naive {
                    self.worker.log.note(&Record::Failed { why: format!("invalidate: {error}") });
                }
                Answer::Pending
            }
        };
        let slots = target.slots(self.worker.job.keys);
        self.worker.log.note(&Record::Invalidated { slots, called, returned, answer });
        answer
    }

    /// What was pending may be carried out later than this by another call or thread; then nobody judges by it.
    fn flushed(&self, called: u64, flushed: cache::Result<()>) {
        if flushed.is_ok() && self.worker.job.cache != Cache::Naive {
            self.worker.log.note(&Record::Flushed { called, returned: now() });
        }
    }
}

impl Target {
    fn slot(&self) -> usize {
        match *self {
            Target::Entry(slot) | Target::ByName(slot) | Target::Namespace(slot) => slot,
            Target::Region => 0,
        }
    }

    fn slots(&self, keys: usize) -> RangeInclusive<usize> {
        match *self {
            Target::Entry(slot) | Target::ByName(slot) => slot..=slot,
            Target::Namespace(slot) if slot < keys => 0..=keys - 1,
            Target::Namespace(_) => keys..=2 * keys - 1,
            Target::Region => 0..=2 * keys - 1,
        }
    }

    fn invalidate(&self, keys: usize) -> Invalidate {
        let namespace = if self.slot() < keys { "by_thread" } else { "by_task" };
        match *self {
            Target::Entry(slot) if slot < keys => by_thread_entry(slot).invalidate(),
            Target::Entry(slot) => by_task_entry(slot).invalidate(),
            Target::ByName(slot) => HUNT.invalidate(namespace, slot),
            Target::Namespace(_) => HUNT.invalidate_namespace(namespace),
            Target::Region => HUNT.clear(),
        }
    }
}
