//! Who writes, who is told, and what a connection takes: without a socket.

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
