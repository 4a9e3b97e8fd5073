//! What waits on a shared connection: bytes to be written, and callers to be answered. It does no I/O.
//!
//! Invariant: callers are answered in the order in which their bytes were queued. One who gave up keeps its place, so
//! that its replies are read and dropped, and reach nobody else. The generations that callers want to know are read
//! once behind all that is written at once, after the requests of each of them.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::slot::{Answer, Slot};
use super::wanted::Wanted;
use crate::batch::{Awaited, Batch, KEPT};
use crate::budget::Budget;
use crate::node::Node;
use crate::server::Server;
use crate::trouble::Trouble;
use crate::work::Message;

/// How much may wait on one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    /// What is to be written, while nobody is writing it.
    batch: Batch,
    /// The buffer for what comes while this is being written.
    spare: Vec<u8>,
    /// The scopes whose generations the callers of these bytes want to know.
    wanted: Wanted,
    waiting: VecDeque<Waiting>,
    /// What waits, the batches included whose replies are being read.
    requests: usize,
    bytes: usize,
    bounds: Bounds,
    /// Slots of callers who have been told, or soon will be.
    used: VecDeque<Arc<Slot>>,
    writing: Writing,
    /// When the connection's task looks for callers whose time is over. It is not moved with every caller: he who
    /// comes later has more time.
    look_at: Option<Instant>,
    ended: Option<Trouble>,
}

/// A batch that was queued, and who is told of its replies.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) awaited: Awaited,
    pub(super) asker: Asker,
    pub(super) since: Instant,
    pub(super) load: Load,
}

/// Who writes what is unsent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Nobody, for there is nothing.
    Nobody,
    /// A caller has promised to, at this instant. He may be long in coming if his runtime is busy.
    Promised(Instant),
    /// Somebody is at it.
    Begun,
    /// The socket took only a part: the connection's task has the promise.
    Full,
}

/// How much of its bounds something takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    requests: usize,
    bytes: usize,
}

#[derive(Debug)]
pub(super) enum Asker {
    Caller(Caller),
    /// All callers whose replies came since the last one.
    Generations,
}

/// What a caller does after it has queued its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It writes at once: nobody else is about.
    WriteNow,
    /// It writes after others had their chance to queue theirs.
    WriteSoon,
    /// Another one writes.
    Wait,
}

/// A caller's place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) answer: Answer,
    pub(super) role: Role,
    /// Whether the connection's task must be told when to look for him.
    pub(super) is_first_to_end: bool,
}

impl Waiting {
    /// He who waits, if it is a caller.
    pub(super) fn caller(&mut self) -> Option<&mut Caller> {
        match &mut self.asker {
            Asker::Caller(caller) => Some(caller),
            Asker::Generations => None,
        }
    }
}

impl Load {
    pub(super) fn is_none(&self) -> bool {
        self.requests == 0
    }

    pub(super) fn add(&mut self, other: Load) {
        self.requests += other.requests;
        self.bytes += other.bytes;
    }
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Queue {
            batch: Batch::default(),
            spare: Vec::new(),
            wanted: Wanted::default(),
            waiting: VecDeque::new(),
            requests: 0,
            bytes: 0,
            bounds,
            used: VecDeque::new(),
            writing: Writing::Nobody,
            look_at: None,
            ended: None,
        }
    }

    /// Queues what this message writes for the node, which is this server; no place if that is nothing.
    pub(super) fn push(
        &mut self,
        message: &mut dyn Message,
        (node, server): (&Node, &Server),
        budget: Budget,
        now: Instant,
    ) -> Result<Option<Place>, Trouble> {
        if self.ended.is_some() {
            // What became of others is not this one's trouble.
            return Err(Trouble::closed(false));
        }
        let before = self.batch.bytes.len();
        message.write(node, server, &mut self.batch);
        let (awaited, bytes) = (self.batch.take_awaited(), self.batch.bytes.len() - before);
        let scopes = message.scopes();
        let requests = awaited.expected.len() + scopes.len();
        if requests == 0 {
            return Ok(None);
        }
        if let Some(bound) = self.bound_of(requests, bytes) {
            self.batch.bytes.truncate(before);
            message.take_back();
            return Err(Trouble::Crowded(bound));
        }
        let role = match (self.writing, self.requests) {
            (Writing::Nobody, 0) => Role::WriteNow,
            (Writing::Nobody, _) => Role::WriteSoon,
            _ => Role::Wait,
        };
        if self.writing == Writing::Nobody {
            self.writing = Writing::Promised(now);
        }
        self.requests += requests;
        self.bytes += bytes;
        let scopes = scopes.iter().map(|scope| self.wanted.place(scope.as_str())).collect();
        let slot = self.slot();
        let answer = slot.answer();
        let asker = Asker::Caller(Caller::new(slot, scopes, budget.deadline));
        self.waiting.push_back(Waiting { awaited, asker, since: now, load: Load { requests, bytes } });
        let is_first_to_end = self.look_at.is_none_or(|at| budget.deadline < at);
        if is_first_to_end {
            self.look_at = Some(budget.deadline);
        }
        Ok(Some(Place { answer, role, is_first_to_end }))
    }

    /// The bound that so much more would break. What is larger than a bound alone may go when nothing else waits.
    fn bound_of(&self, requests: usize, bytes: usize) -> Option<&'static str> {
        match () {
            () if self.requests > 0 && self.requests + requests > self.bounds.requests => Some("max_in_flight"),
            () if self.bytes > 0 && self.bytes + bytes > self.bounds.bytes => Some("max_bytes_in_flight"),
            () => None,
        }
    }

    fn slot(&mut self) -> Arc<Slot> {
        match self.used.pop_front().map(Slot::used_again) {
            Some(Ok(slot)) => slot,
            // Its caller has yet to look at it.
            Some(Err(slot)) => {
                self.used.push_back(slot);
                Arc::default()
            }
            None => Arc::default(),
        }
    }

    /// Whether the caller of this is the one who writes: not if somebody is at it, or has done it.
    pub(super) fn begin_to_write(&mut self) -> bool {
        let begins = matches!(self.writing, Writing::Promised(_) | Writing::Full);
        if begins {
            self.writing = Writing::Begun;
        }
        begins
    }

    /// When the promise to write is overdue, if somebody has made it and not begun.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        match self.writing {
            Writing::Promised(at) => Some(at + SOON),
            _ => None,
        }
    }

    /// What is to be written now, by whoever has begun to; nothing ends that. `written` is the buffer of what he has
    /// written before.
    pub(super) fn unsent(&mut self, mut written: Vec<u8>, now: impl FnOnce() -> Instant) -> Option<Vec<u8>> {
        if (1..=KEPT).contains(&written.capacity()) {
            written.clear();
            self.spare = written;
        }
        if self.ended.is_some() || (self.batch.bytes.is_empty() && self.wanted.is_empty()) {
            self.writing = Writing::Nobody;
            return None;
        }
        if !self.wanted.is_empty() {
            self.wanted.read(&mut self.batch);
            let awaited = self.batch.take_awaited();
            let waiting = Waiting { awaited, asker: Asker::Generations, since: now(), load: Load::default() };
            self.waiting.push_back(waiting);
        }
        Some(mem::replace(&mut self.batch.bytes, mem::take(&mut self.spare)))
    }

    /// Puts back what could not be written, in front of what came meanwhile.
    pub(super) fn put_back(&mut self, mut rest: Vec<u8>) {
        rest.append(&mut self.batch.bytes);
        self.batch.bytes = rest;
        self.writing = Writing::Full;
    }

    /// Whether the connection's task has to write when the socket has room.
    pub(super) fn is_full(&self) -> bool {
        self.writing == Writing::Full
    }

    /// The batches whose replies come next, all of them; `into` is empty.
    pub(super) fn take(&mut self, into: &mut VecDeque<Waiting>) {
        mem::swap(&mut self.waiting, into);
    }

    /// So much has its replies, and these slots are soon free.
    pub(super) fn answered(&mut self, load: &mut Load, slots: impl Iterator<Item = Arc<Slot>>) {
        let Load { requests, bytes } = mem::take(load);
        self.requests = self.requests.saturating_sub(requests);
        self.bytes = self.bytes.saturating_sub(bytes);
        let room = SLOTS.saturating_sub(self.used.len());
        self.used.extend(slots.take(room));
    }

    /// How many requests wait.
    pub(super) fn load(&self) -> usize {
        self.requests
    }

    /// When [`look`](Queue::look) is due.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Tells the callers whose time is over. The connection ends if the batch whose replies are due has waited for
    /// `timeout`: what comes behind it cannot come either. `beside`: of those who are no longer in the queue, since when
    /// the first one has waited, and when the next one's time is over.
    pub(super) fn look(&mut self, timeout: Duration, now: Instant, beside: (Option<Instant>, Option<Instant>)) {
        let head = beside.0.or_else(|| self.waiting.front().map(|front| front.since));
        if head.is_some_and(|since| now.saturating_duration_since(since) + SLACK >= timeout) {
            self.end(Trouble::TimedOut(timeout));
        }
        let callers =
            self.waiting.iter_mut().filter_map(Waiting::caller).filter_map(|caller| caller.look(timeout, now));
        self.look_at = callers.chain(beside.1).min();
    }

    /// Ends the connection: all who wait are told, and whoever comes.
    pub(super) fn end(&mut self, trouble: Trouble) {
        self.batch = Batch::default();
        self.wanted = Wanted::default();
        let told = self.ended.get_or_insert(trouble).clone();
        for mut waiting in self.waiting.drain(..) {
            if let Some(caller) = waiting.caller() {
                caller.fail(told.clone());
            }
        }
        (self.requests, self.bytes) = (0, 0);
    }

    /// Why the connection ended, if it did.
    pub(super) fn ended(&self) -> Option<&Trouble> {
        self.ended.as_ref()
    }
}

/// An operation begins a little before its batch is queued, and has that much less time.
const SLACK: Duration = Duration::from_millis(10);
/// How long a caller has for writing what he has promised to write soon.
const SOON: Duration = Duration::from_millis(5);
/// How many slots are kept to be used again.
const SLOTS: usize = 1024;

#[cfg(test)]
mod tests;
