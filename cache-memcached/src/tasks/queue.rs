//! What waits on a shared connection: bytes to be written, and callers to be answered. It does no I/O.
//!
//! Invariant: callers are answered in the order in which their bytes were queued. One who gave up keeps its place, so
//! that its replies are read and dropped, and reach nobody else. The generations that callers want to know are read
//! once behind all that is written at once, after the requests of each of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cache_core::generation::Generation;
use cache_core::key::FarKey;
use tokio::sync::oneshot;

use crate::batch::{Batch, Replied};
use crate::budget::Budget;
use crate::proto::Reply;
use crate::replies::Replies;
use crate::trouble::Trouble;

/// How a caller is told.
pub(super) type Outcome = Result<Replied, Trouble>;

/// How much may wait on one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    /// What is to be written, while nobody is writing it.
    unsent: Vec<u8>,
    /// The scopes whose generations the callers of these bytes want to know.
    wanted: Vec<FarKey>,
    waiting: VecDeque<Waiting>,
    /// What waits, the batch included whose replies are being read.
    requests: usize,
    bytes: usize,
    bounds: Bounds,
    /// Somebody has promised to write.
    flushing: bool,
    /// The socket took only a part: the connection's task has the promise.
    is_full: bool,
    /// When the batch was queued whose replies are being read.
    reading_since: Option<Instant>,
    /// When the connection's task looks for callers whose time is over. It is not moved with every caller: he who
    /// comes later has more time.
    look_at: Option<Instant>,
    ended: Option<Trouble>,
}

/// A batch that was queued, and who is told of its replies.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) replies: Replies,
    pub(super) asker: Asker,
    requests: usize,
    bytes: usize,
    since: Instant,
}

#[derive(Debug)]
pub(super) enum Asker {
    Caller(Caller),
    /// All callers whose replies came since the last one.
    Generations,
}

#[derive(Debug)]
pub(super) struct Caller {
    /// Taken when he is told.
    sender: Option<oneshot::Sender<Outcome>>,
    /// The places of his scopes among the generations that are read behind his requests.
    pub(super) scopes: Vec<usize>,
    deadline: Instant,
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
    pub(super) answer: oneshot::Receiver<Outcome>,
    pub(super) role: Role,
    /// Whether the connection's task must be told when to look for him.
    pub(super) is_first_to_end: bool,
}

impl Caller {
    /// Tells him, unless he was told before. One who gave up is gone.
    pub(super) fn tell(&mut self, outcome: Outcome) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(outcome);
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn has_given_up(&self) -> bool {
        self.sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Tells him what came for him, given the generations that were read behind his requests.
    pub(super) fn answer(&mut self, replies: Vec<Reply>, generations: &[Option<Generation>]) {
        let generations = self.scopes.iter().map(|place| generations.get(*place).copied().flatten()).collect();
        self.tell(Ok(Replied { replies, generations }));
    }

    /// Tells him if his time is over; otherwise, when it will be.
    pub(super) fn look(&mut self, budget: Duration, now: Instant) -> Option<Instant> {
        self.sender.as_ref()?;
        if self.deadline > now {
            return Some(self.deadline);
        }
        self.tell(Err(Trouble::TimedOut(budget)));
        None
    }
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Queue {
            unsent: Vec::new(),
            wanted: Vec::new(),
            waiting: VecDeque::new(),
            requests: 0,
            bytes: 0,
            bounds,
            flushing: false,
            is_full: false,
            reading_since: None,
            look_at: None,
            ended: None,
        }
    }

    /// Queues a batch.
    pub(super) fn push(&mut self, batch: Batch<'_>, budget: Budget, now: Instant) -> Result<Place, Trouble> {
        if let Some(trouble) = &self.ended {
            return Err(trouble.clone());
        }
        let (requests, bytes) = (batch.expected.len() + batch.scopes.len(), batch.bytes.len());
        // One that is larger than a bound alone may go when nothing else waits.
        if self.requests > 0 && self.requests + requests > self.bounds.requests {
            return Err(Trouble::Crowded("max_in_flight"));
        }
        if self.bytes > 0 && self.bytes + bytes > self.bounds.bytes {
            return Err(Trouble::Crowded("max_bytes_in_flight"));
        }
        let role = match (self.flushing, self.requests) {
            (true, _) => Role::Wait,
            (false, 0) => Role::WriteNow,
            (false, _) => Role::WriteSoon,
        };
        self.flushing = true;
        self.requests += requests;
        self.bytes += bytes;
        if self.unsent.is_empty() {
            self.unsent = batch.bytes;
        } else {
            self.unsent.extend_from_slice(&batch.bytes);
        }
        let scopes = batch.scopes.iter().map(|scope| self.want(scope)).collect();
        let (sender, answer) = oneshot::channel();
        let asker = Asker::Caller(Caller { sender: Some(sender), scopes, deadline: budget.deadline });
        self.waiting.push_back(Waiting { replies: Replies::to(batch.expected), asker, requests, bytes, since: now });
        let is_first_to_end = self.look_at.is_none_or(|at| budget.deadline < at);
        if is_first_to_end {
            self.look_at = Some(budget.deadline);
        }
        Ok(Place { answer, role, is_first_to_end })
    }

    /// The place of a scope among those that are wanted.
    fn want(&mut self, scope: &FarKey) -> usize {
        self.wanted.iter().position(|known| known == scope).unwrap_or_else(|| {
            self.wanted.push(scope.clone());
            self.wanted.len() - 1
        })
    }

    /// What is to be written now, by whoever has promised to; nothing ends the promise.
    pub(super) fn unsent(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.ended.is_some() || (self.unsent.is_empty() && self.wanted.is_empty()) {
            self.flushing = false;
            self.is_full = false;
            return None;
        }
        let mut batch = Batch { bytes: std::mem::take(&mut self.unsent), ..Batch::default() };
        if !self.wanted.is_empty() {
            self.wanted.drain(..).for_each(|scope| batch.push_generation_read(&scope));
            let replies = Replies::to(batch.expected);
            let waiting = Waiting { replies, asker: Asker::Generations, requests: 0, bytes: 0, since: now };
            self.waiting.push_back(waiting);
        }
        Some(batch.bytes)
    }

    /// Puts back what could not be written, in front of what came meanwhile.
    pub(super) fn put_back(&mut self, mut rest: Vec<u8>) {
        rest.append(&mut self.unsent);
        self.unsent = rest;
        self.is_full = true;
    }

    /// Whether the connection's task has to write when the socket has room.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// The batch whose replies come next.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        let next = self.waiting.pop_front();
        self.reading_since = next.as_ref().map(|next| next.since);
        next
    }

    /// The batch that came from [`next`](Queue::next) has all of its replies.
    pub(super) fn answered(&mut self, waiting: &Waiting) {
        self.requests -= waiting.requests;
        self.bytes -= waiting.bytes;
        self.reading_since = None;
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
    /// `timeout`: what comes behind it cannot come either. `beside`: when the next one's time is over of those who are
    /// no longer in the queue.
    pub(super) fn look(&mut self, timeout: Duration, now: Instant, beside: Option<Instant>) {
        let head = self.reading_since.or_else(|| self.waiting.front().map(|front| front.since));
        if head.is_some_and(|since| now.saturating_duration_since(since) + SLACK >= timeout) {
            self.end(Trouble::TimedOut(timeout));
        }
        let callers = self.waiting.iter_mut().filter_map(|waiting| match &mut waiting.asker {
            Asker::Caller(caller) => caller.look(timeout, now),
            Asker::Generations => None,
        });
        self.look_at = callers.chain(beside).min();
    }

    /// Ends the connection: all who wait are told, and whoever comes.
    pub(super) fn end(&mut self, trouble: Trouble) {
        self.unsent = Vec::new();
        self.wanted = Vec::new();
        let told = self.ended.get_or_insert(trouble).clone();
        for waiting in self.waiting.drain(..) {
            if let Asker::Caller(mut caller) = waiting.asker {
                caller.tell(Err(told.clone()));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::proto::Request;

    const TIMEOUT: Duration = Duration::from_millis(100);

    fn queue(requests: usize) -> Queue {
        Queue::new(Bounds { requests, bytes: 1000 })
    }

    fn batch(requests: usize) -> Batch<'static> {
        let mut batch = Batch::default();
        (0..requests).for_each(|_| batch.push(&Request::Noop));
        batch
    }

    /// As a caller would that begins now.
    fn push(queue: &mut Queue, batch: Batch<'_>, now: Instant) -> Result<Place, Trouble> {
        queue.push(batch, Budget { started: now, deadline: now + TIMEOUT }, now)
    }

    fn role(queue: &mut Queue, requests: usize, now: Instant) -> Role {
        push(queue, batch(requests), now).unwrap().role
    }

    fn scopes(names: &[&str]) -> Vec<FarKey> {
        names.iter().map(|name| FarKey::new(*name).unwrap()).collect()
    }

    #[test]
    fn the_first_writes_at_once_the_next_waits_and_a_later_one_gathers() {
        let (mut queue, now) = (queue(100), Instant::now());
        assert_eq!(role(&mut queue, 1, now), Role::WriteNow);
        assert_eq!(role(&mut queue, 1, now), Role::Wait);
        assert_eq!(queue.unsent(now).unwrap(), b"mn\r\nmn\r\n");
        assert_eq!(role(&mut queue, 1, now), Role::Wait, "the writer looks again");
        queue.put_back(b"rest".to_vec());
        assert!(queue.is_full());
        assert_eq!(queue.unsent(now).unwrap(), b"restmn\r\n");
        assert_eq!(queue.unsent(now), None);
        assert!(!queue.is_full());
        assert_eq!(role(&mut queue, 1, now), Role::WriteSoon, "replies are due: others are about");
    }

    #[test]
    fn no_more_may_wait_than_the_bounds() {
        let (mut queue, now) = (queue(3), Instant::now());
        assert_eq!(role(&mut queue, 5, now), Role::WriteNow);
        assert_eq!(push(&mut queue, batch(1), now).unwrap_err(), Trouble::Crowded("max_in_flight"));
        let next = queue.next().unwrap();
        queue.answered(&next);
        assert!(push(&mut queue, batch(2), now).is_ok());
        assert!(push(&mut queue, batch(2), now).is_err());
        let long = Batch { bytes: vec![b' '; 990], ..batch(1) };
        assert!(push(&mut queue, long, now).is_ok());
        queue.bounds.requests = 9;
        assert_eq!(push(&mut queue, batch(1), now).unwrap_err(), Trouble::Crowded("max_bytes_in_flight"));
    }

    #[test]
    fn generations_are_asked_for_once_behind_all_who_want_to_know_them() {
        let (mut queue, now) = (queue(100), Instant::now());
        let (some, others) = (scopes(&["r", "a"]), scopes(&["b", "r"]));
        let mut places = Vec::new();
        for scopes in [&some, &others] {
            places.push(push(&mut queue, Batch { scopes, ..batch(1) }, now).unwrap());
        }
        let sent = String::from_utf8(queue.unsent(now).unwrap()).unwrap();
        let words: Vec<&str> = sent.lines().map(|line| line.split(" v").next().unwrap()).collect();
        assert_eq!(words, ["mn", "mn", "mg r", "mg a", "mg b"]);
        let numbers = [Some(Generation(1)), Some(Generation(2)), None];
        for (mut place, expected) in places.into_iter().zip([[numbers[0], numbers[1]], [numbers[2], numbers[0]]]) {
            let Asker::Caller(mut caller) = queue.next().unwrap().asker else { panic!("a caller comes first") };
            caller.answer(Vec::new(), &numbers);
            assert_eq!(place.answer.try_recv().unwrap().unwrap().generations, expected);
        }
        assert!(matches!(queue.next().unwrap().asker, Asker::Generations));
        assert_eq!(queue.unsent(now), None, "they are not asked for again");
    }

    #[test]
    fn an_end_is_told_to_all_who_wait_and_to_whoever_comes() {
        let (mut queue, now) = (queue(3), Instant::now());
        let mut place = push(&mut queue, batch(1), now).unwrap();
        drop(push(&mut queue, batch(1), now).unwrap());
        let trouble = Trouble::closed(false);
        queue.end(trouble.clone());
        assert_eq!(place.answer.try_recv().unwrap(), Err(trouble.clone()));
        assert_eq!(push(&mut queue, batch(1), now).unwrap_err(), trouble);
        assert!(queue.ended().is_some() && queue.unsent(now).is_none());
    }

    #[test]
    fn only_the_head_can_end_the_connection_by_waiting() {
        let (mut queue, now) = (queue(9), Instant::now());
        queue.look(TIMEOUT, now + TIMEOUT, None);
        assert!(queue.ended().is_none(), "nobody waits");
        let _head = push(&mut queue, batch(1), now).unwrap();
        let _next = push(&mut queue, batch(1), now + TIMEOUT).unwrap();
        queue.look(TIMEOUT, now + TIMEOUT / 2, None);
        assert_eq!((queue.ended(), queue.look_at()), (None, Some(now + TIMEOUT)));
        let head = queue.next().unwrap();
        queue.answered(&head);
        queue.look(TIMEOUT, now + TIMEOUT, None);
        assert_eq!((queue.ended(), queue.look_at()), (None, Some(now + TIMEOUT * 2)), "the next one has time");
        let _reading = queue.next().unwrap();
        queue.look(TIMEOUT, now + TIMEOUT * 2, None);
        assert!(queue.ended().is_some(), "also while its replies are being read");
    }

    #[test]
    fn a_caller_with_less_time_is_told_alone() {
        let (mut queue, now) = (queue(9), Instant::now());
        let mut slow = push(&mut queue, batch(1), now).unwrap();
        let short = Budget { started: now, deadline: now + TIMEOUT / 4 };
        let mut hurried = queue.push(batch(1), short, now).unwrap();
        assert_eq!((slow.is_first_to_end, hurried.is_first_to_end), (true, true));
        assert!(!push(&mut queue, batch(1), now).unwrap().is_first_to_end);
        queue.look(TIMEOUT, now + TIMEOUT / 4, None);
        assert!(matches!(hurried.answer.try_recv(), Ok(Err(Trouble::TimedOut(_)))));
        assert!(slow.answer.try_recv().is_err() && queue.ended().is_none());
        assert_eq!(queue.look_at(), Some(now + TIMEOUT));
        queue.look(TIMEOUT, now + TIMEOUT / 4, Some(now + TIMEOUT / 2));
        assert_eq!(queue.look_at(), Some(now + TIMEOUT / 2), "he whose replies are being read has a deadline too");
    }
}
