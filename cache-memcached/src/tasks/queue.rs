//! What waits on a shared connection: bytes to be written, and callers to be answered. It does no I/O.
//!
//! Invariant: callers are answered in the order in which their bytes were queued. One who gave up keeps its place, so
//! that its replies are read and dropped, and reach nobody else.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::batch::{Batch, Replies};
use crate::proto::Reply;
use crate::trouble::Trouble;

/// How a caller is told.
pub(super) type Outcome = Result<Vec<Reply>, Trouble>;

#[derive(Debug)]
pub(super) struct Queue {
    /// What is to be written, while nobody is writing it.
    unsent: Vec<u8>,
    waiting: VecDeque<Waiting>,
    /// How many requests wait, and how many may.
    requests: usize,
    max_in_flight: usize,
    /// Somebody has promised to write.
    flushing: bool,
    /// When the batch was queued whose replies are being read.
    reading_since: Option<Instant>,
    ended: Option<Trouble>,
}

/// A batch that was queued, and its caller.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) replies: Replies,
    pub(super) caller: oneshot::Sender<Outcome>,
    requests: usize,
    since: Instant,
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

impl Queue {
    pub(super) fn new(max_in_flight: usize) -> Self {
        Queue {
            unsent: Vec::new(),
            waiting: VecDeque::new(),
            requests: 0,
            max_in_flight,
            flushing: false,
            reading_since: None,
            ended: None,
        }
    }

    /// Queues a batch.
    pub(super) fn push(&mut self, batch: Batch, now: Instant) -> Result<(oneshot::Receiver<Outcome>, Role), Trouble> {
        if let Some(trouble) = &self.ended {
            return Err(trouble.clone());
        }
        let requests = batch.expected.len();
        // One that is larger than the bound alone may go when nothing else waits.
        if self.requests > 0 && self.requests + requests > self.max_in_flight {
            return Err(Trouble::Crowded("max_in_flight"));
        }
        let role = match (self.flushing, self.requests) {
            (true, _) => Role::Wait,
            (false, 0) => Role::WriteNow,
            (false, _) => Role::WriteSoon,
        };
        self.flushing = true;
        self.requests += requests;
        if self.unsent.is_empty() {
            self.unsent = batch.bytes;
        } else {
            self.unsent.extend_from_slice(&batch.bytes);
        }
        let (caller, answer) = oneshot::channel();
        self.waiting.push_back(Waiting { replies: Replies::to(batch.expected), caller, requests, since: now });
        Ok((answer, role))
    }

    /// What is to be written now, by whoever has promised to; nothing ends the promise.
    pub(super) fn unsent(&mut self) -> Option<Vec<u8>> {
        if self.unsent.is_empty() || self.ended.is_some() {
            self.flushing = false;
            return None;
        }
        Some(std::mem::take(&mut self.unsent))
    }

    /// Puts back what could not be written, in front of what came meanwhile.
    pub(super) fn put_back(&mut self, mut rest: Vec<u8>) {
        rest.append(&mut self.unsent);
        self.unsent = rest;
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
        self.reading_since = None;
    }

    /// Ends the connection if the batch whose replies are due has waited for so long. Whether it did.
    pub(super) fn end_if_overdue(&mut self, timeout: Duration, now: Instant) -> bool {
        let head = self.reading_since.or_else(|| self.waiting.front().map(|front| front.since));
        let overdue = head.is_some_and(|since| now.saturating_duration_since(since) >= timeout);
        if overdue {
            self.end(Trouble::TimedOut(timeout));
        }
        overdue
    }

    /// Ends the connection: all who wait are told, and whoever comes.
    pub(super) fn end(&mut self, trouble: Trouble) {
        self.unsent = Vec::new();
        let told = self.ended.get_or_insert(trouble).clone();
        for waiting in self.waiting.drain(..) {
            // Those who gave up are gone.
            let _ = waiting.caller.send(Err(told.clone()));
        }
        self.requests = 0;
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::proto::Request;

    fn batch(requests: usize) -> Batch {
        let mut batch = Batch::default();
        (0..requests).for_each(|_| batch.push(&Request::Noop));
        batch
    }

    #[test]
    fn the_first_writes_at_once_the_next_waits_and_a_later_one_gathers() {
        let (mut queue, now) = (Queue::new(100), Instant::now());
        assert_eq!(queue.push(batch(1), now).unwrap().1, Role::WriteNow);
        assert_eq!(queue.push(batch(1), now).unwrap().1, Role::Wait);
        assert_eq!(queue.unsent().unwrap(), b"mn\r\nmn\r\n");
        assert_eq!(queue.push(batch(1), now).unwrap().1, Role::Wait, "the writer looks again");
        queue.put_back(b"rest".to_vec());
        assert_eq!(queue.unsent().unwrap(), b"restmn\r\n");
        assert_eq!(queue.unsent(), None);
        assert_eq!(queue.push(batch(1), now).unwrap().1, Role::WriteSoon, "replies are due: others are about");
    }

    #[test]
    fn no_more_may_wait_than_the_bound() {
        let (mut queue, now) = (Queue::new(3), Instant::now());
        let _first = queue.push(batch(5), now).unwrap();
        assert_eq!(queue.push(batch(1), now).unwrap_err(), Trouble::Crowded("max_in_flight"));
        let next = queue.next().unwrap();
        queue.answered(&next);
        assert!(queue.push(batch(3), now).is_ok());
        assert!(queue.push(batch(1), now).is_err());
    }

    #[test]
    fn an_end_is_told_to_all_who_wait_and_to_whoever_comes() {
        let (mut queue, now) = (Queue::new(3), Instant::now());
        let (mut answer, _) = queue.push(batch(1), now).unwrap();
        let (gone, _) = queue.push(batch(1), now).unwrap();
        drop(gone);
        let trouble = Trouble::closed(false);
        queue.end(trouble.clone());
        assert_eq!(answer.try_recv().unwrap(), Err(trouble.clone()));
        assert_eq!(queue.push(batch(1), now).unwrap_err(), trouble);
        assert!(queue.is_ended() && queue.unsent().is_none());
    }

    #[test]
    fn only_the_head_can_be_overdue() {
        let (mut queue, now) = (Queue::new(9), Instant::now());
        let timeout = Duration::from_millis(100);
        assert!(!queue.end_if_overdue(timeout, now + timeout), "nobody waits");
        let _head = queue.push(batch(1), now).unwrap();
        let _next = queue.push(batch(1), now + timeout).unwrap();
        assert!(!queue.end_if_overdue(timeout, now + timeout / 2));
        let head = queue.next().unwrap();
        queue.answered(&head);
        assert!(!queue.end_if_overdue(timeout, now + timeout), "the next one has time");
        let _reading = queue.next().unwrap();
        assert!(queue.end_if_overdue(timeout, now + timeout * 2), "also while its replies are being read");
    }
}
