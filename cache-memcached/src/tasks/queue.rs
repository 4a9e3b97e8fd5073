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
        if let Some(trouble) = &self.ended {
            return Err(trouble.clone());
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::iter;

    use cache_core::generation::Generation;
    use cache_core::key::FarKey;

    use super::*;
    use crate::address::Address;
    use crate::batch::Replied;
    use crate::node::NodeSettings;
    use crate::proto::{Request, Version};
    use crate::replies::Replies;
    use crate::server::ANY;

    const TIMEOUT: Duration = Duration::from_millis(100);

    fn queue(requests: usize) -> Queue {
        Queue::new(Bounds { requests, bytes: 1000 })
    }

    /// So many requests, and so many bytes beside them.
    struct Noops<'a>(usize, usize, &'a [FarKey]);

    impl Message for Noops<'_> {
        fn write(&mut self, _: &Node, _: &Server, batch: &mut Batch) {
            (0..self.0).for_each(|_| batch.push(&Request::Noop));
            batch.bytes.extend(iter::repeat_n(b' ', self.1));
        }

        fn scopes(&self) -> &[FarKey] {
            self.2
        }

        fn absorb(&mut self, _: &Node, _: &mut Replied) -> Result<(), Trouble> {
            Ok(())
        }
    }

    /// As a caller would that has this budget.
    fn push_within(queue: &mut Queue, mut noops: Noops<'_>, budget: Budget) -> Result<Place, Trouble> {
        let settings = NodeSettings { connect_timeout: TIMEOUT, io_timeout: TIMEOUT, blacklist: TIMEOUT };
        let node = Node::new(Address::Tcp { host: "nowhere".to_owned(), port: 1 }, settings);
        let version = Version { major: 1, minor: 6, patch: 18 };
        let server = Server { version, features: ANY, cas: true, largest_value: 1000 };
        queue.push(&mut noops, (&node, &server), budget, budget.started).map(Option::unwrap)
    }

    fn push(queue: &mut Queue, noops: Noops<'_>, now: Instant) -> Result<Place, Trouble> {
        push_within(queue, noops, Budget { started: now, deadline: now + TIMEOUT })
    }

    fn role(queue: &mut Queue, requests: usize, now: Instant) -> Role {
        push(queue, Noops(requests, 0, &[]), now).unwrap().role
    }

    fn unsent(queue: &mut Queue) -> Option<String> {
        queue.unsent(Vec::new(), Instant::now).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn next(queue: &mut Queue) -> VecDeque<Waiting> {
        let mut next = VecDeque::new();
        queue.take(&mut next);
        next
    }

    fn scopes(names: &[&str]) -> Vec<FarKey> {
        names.iter().map(|name| FarKey::new(*name).unwrap()).collect()
    }

    #[test]
    fn the_first_writes_at_once_the_next_waits_and_a_later_one_gathers() {
        let (mut queue, now) = (queue(100), Instant::now());
        assert_eq!(role(&mut queue, 1, now), Role::WriteNow);
        assert_eq!(role(&mut queue, 1, now), Role::Wait);
        assert_eq!(unsent(&mut queue).unwrap(), "mn\r\nmn\r\n");
        assert_eq!(role(&mut queue, 1, now), Role::Wait, "the writer looks again");
        queue.put_back(b"rest".to_vec());
        assert!(queue.is_full());
        assert_eq!(unsent(&mut queue).unwrap(), "restmn\r\n");
        assert_eq!(unsent(&mut queue), None);
        assert!(!queue.is_full());
        assert_eq!(role(&mut queue, 1, now), Role::WriteSoon, "replies are due: others are about");
    }

    #[test]
    fn a_promise_to_write_that_is_overdue_is_kept_by_another_once() {
        let (mut queue, now) = (queue(100), Instant::now());
        assert_eq!(role(&mut queue, 1, now), Role::WriteNow);
        assert_eq!(queue.overdue_at(), Some(now + SOON));
        assert!(queue.begin_to_write() && unsent(&mut queue).is_some());
        assert_eq!(queue.overdue_at(), None, "somebody is at it");
        assert!(!queue.begin_to_write(), "and nobody else, or requests would change places");
        assert_eq!(unsent(&mut queue), None);
        assert!(!queue.begin_to_write(), "it has been done");
        assert_eq!(role(&mut queue, 1, now), Role::WriteSoon);
        assert_eq!(queue.overdue_at(), Some(now + SOON));
        assert!(queue.begin_to_write());
        queue.put_back(b"rest".to_vec());
        assert!(queue.is_full() && queue.overdue_at().is_none() && queue.begin_to_write());
    }

    #[test]
    fn no_more_may_wait_than_the_bounds() {
        let (mut queue, now) = (queue(3), Instant::now());
        assert_eq!(role(&mut queue, 5, now), Role::WriteNow);
        let written = queue.batch.bytes.len();
        assert_eq!(push(&mut queue, Noops(1, 0, &[]), now).unwrap_err(), Trouble::Crowded("max_in_flight"));
        assert_eq!((queue.batch.bytes.len(), queue.load()), (written, 5), "nothing of it is sent");
        let mut load = next(&mut queue)[0].load;
        queue.answered(&mut load, iter::empty());
        assert!(push(&mut queue, Noops(2, 0, &[]), now).is_ok());
        assert!(push(&mut queue, Noops(2, 0, &[]), now).is_err());
        queue.bounds.requests = 9;
        assert!(push(&mut queue, Noops(1, 980, &[]), now).is_ok());
        assert_eq!(push(&mut queue, Noops(3, 0, &[]), now).unwrap_err(), Trouble::Crowded("max_bytes_in_flight"));
    }

    #[test]
    fn generations_are_asked_for_once_behind_all_who_want_to_know_them() {
        let (mut queue, now) = (queue(100), Instant::now());
        let (some, others) = (scopes(&["r", "a"]), scopes(&["b", "r"]));
        let places = [&some, &others].map(|scopes| push(&mut queue, Noops(1, 0, scopes), now).unwrap());
        let sent = unsent(&mut queue).unwrap();
        let words: Vec<&str> = sent.lines().map(|line| line.split(" v").next().unwrap()).collect();
        assert_eq!(words, ["mn", "mn", "mg r", "mg a", "mg b"]);
        let numbers = [Some(Generation(1)), Some(Generation(2)), None];
        let mut next = next(&mut queue);
        for (place, expected) in places.into_iter().zip([[numbers[0], numbers[1]], [numbers[2], numbers[0]]]) {
            let mut waiting = next.pop_front().unwrap();
            waiting.caller().unwrap().answer(&numbers);
            assert_eq!(place.answer.come(), Some(Ok(())));
            place.answer.replied(|replied| assert_eq!(replied.generations, expected));
        }
        assert!(matches!(next[0].asker, Asker::Generations) && next[0].awaited.expected.len() == 3);
        assert_eq!(unsent(&mut queue), None, "they are not asked for again");
    }

    #[test]
    fn a_slot_is_used_again_when_its_caller_is_gone() {
        let (mut queue, now) = (queue(100), Instant::now());
        let first = push(&mut queue, Noops(1, 0, &[]), now).unwrap();
        let slot = |queue: &mut Queue| next(queue)[0].caller().unwrap().slot.clone();
        let used = slot(&mut queue);
        let address = Arc::as_ptr(&used);
        used.tell(Err::<iter::Empty<_>, _>(Trouble::closed(false)));
        queue.answered(&mut Load::default(), iter::once(used));
        let second = push(&mut queue, Noops(1, 0, &[]), now).unwrap();
        assert_ne!(Arc::as_ptr(&slot(&mut queue)), address, "its caller has not looked yet");
        drop((first, second));
        let third = push(&mut queue, Noops(1, 0, &[]), now).unwrap();
        let again = slot(&mut queue);
        assert_eq!(Arc::as_ptr(&again), address);
        assert!(third.answer.come().is_none() && again.put(&mut Replies::default()), "nothing is left of the first");
    }

    #[test]
    fn an_end_is_told_to_all_who_wait_and_to_whoever_comes() {
        let (mut queue, now) = (queue(3), Instant::now());
        let place = push(&mut queue, Noops(1, 0, &[]), now).unwrap();
        drop(push(&mut queue, Noops(1, 0, &[]), now).unwrap());
        let trouble = Trouble::closed(false);
        queue.end(trouble.clone());
        assert_eq!(place.answer.come().unwrap(), Err(trouble.clone()));
        assert_eq!(push(&mut queue, Noops(1, 0, &[]), now).unwrap_err(), trouble);
        assert!(queue.ended().is_some() && unsent(&mut queue).is_none());
    }

    #[test]
    fn only_the_head_can_end_the_connection_by_waiting() {
        let (mut queue, now) = (queue(9), Instant::now());
        queue.look(TIMEOUT, now + TIMEOUT, (None, None));
        assert!(queue.ended().is_none(), "nobody waits");
        let _head = push(&mut queue, Noops(1, 0, &[]), now).unwrap();
        let _next = push(&mut queue, Noops(1, 0, &[]), now + TIMEOUT).unwrap();
        queue.look(TIMEOUT, now + TIMEOUT / 2, (None, None));
        assert_eq!((queue.ended(), queue.look_at()), (None, Some(now + TIMEOUT)));
        drop(queue.waiting.pop_front());
        queue.look(TIMEOUT, now + TIMEOUT, (None, None));
        assert_eq!((queue.ended(), queue.look_at()), (None, Some(now + TIMEOUT * 2)), "the next one has time");
        drop(next(&mut queue));
        queue.look(TIMEOUT, now + TIMEOUT * 2, (Some(now + TIMEOUT), None));
        assert!(queue.ended().is_some(), "also while its replies are being read");
    }

    #[test]
    fn a_caller_with_less_time_is_told_alone() {
        let (mut queue, now) = (queue(9), Instant::now());
        let slow = push(&mut queue, Noops(1, 0, &[]), now).unwrap();
        let short = Budget { started: now, deadline: now + TIMEOUT / 4 };
        let hurried = push_within(&mut queue, Noops(1, 0, &[]), short).unwrap();
        assert_eq!((slow.is_first_to_end, hurried.is_first_to_end), (true, true));
        assert!(!push(&mut queue, Noops(1, 0, &[]), now).unwrap().is_first_to_end);
        queue.look(TIMEOUT, now + TIMEOUT / 4, (None, None));
        assert!(matches!(hurried.answer.come(), Some(Err(Trouble::TimedOut(_)))));
        assert!(slow.answer.come().is_none() && queue.ended().is_none());
        assert_eq!(queue.look_at(), Some(now + TIMEOUT));
        queue.look(TIMEOUT, now + TIMEOUT / 4, (None, Some(now + TIMEOUT / 2)));
        assert_eq!(queue.look_at(), Some(now + TIMEOUT / 2), "he whose replies are being read has a deadline too");
    }
}
