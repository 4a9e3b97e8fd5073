//! Requests to one node, written one behind the other, and the replies to them.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::proto::{Broken, Expected, Features, Opaque, Parsed, Reply, Request, parse};

/// The next opaque of this process. Two unanswered requests of one connection never have the same: that would take
/// four thousand million of them.
static NEXT_OPAQUE: AtomicU32 = AtomicU32::new(1);

/// Requests that travel together: written at once, answered in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The requests' bytes.
    pub(crate) bytes: Vec<u8>,
    /// What may answer each.
    pub(crate) expected: Vec<Expected>,
}

impl Batch {
    pub(crate) fn push(&mut self, request: &Request<'_>) {
        let opaque = Opaque(NEXT_OPAQUE.fetch_add(1, Ordering::Relaxed));
        self.expected.push(request.write(opaque, &mut self.bytes));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }
}

/// The replies to one batch, as far as they have come. A request that is answered by a list has all of it in a row.
#[derive(Debug)]
pub(crate) struct Replies {
    expected: Vec<Expected>,
    answered: usize,
    replies: Vec<Reply>,
}

impl Replies {
    pub(crate) fn to(expected: Vec<Expected>) -> Self {
        let replies = Vec::with_capacity(expected.len());
        Replies { expected, answered: 0, replies }
    }

    /// Takes in what `inbox` holds, and no byte more than belongs to this batch. While the batch is not complete, the
    /// answer is how many bytes must be in the inbox before it is worth looking again.
    pub(crate) fn absorb(&mut self, inbox: &mut Inbox, features: Features) -> Result<Absorbed, Broken> {
        while let Some(expected) = self.expected.get(self.answered) {
            match parse(inbox.bytes(), *expected, features)? {
                Parsed::Cut(needed) => return Ok(Absorbed::Needs(needed)),
                Parsed::Whole(reply, used) => {
                    inbox.consume(used);
                    self.answered += usize::from(expected.ends_with(&reply.code));
                    self.replies.push(reply);
                }
            }
        }
        Ok(Absorbed::Complete)
    }

    pub(crate) fn into_replies(self) -> Vec<Reply> {
        self.replies
    }
}

/// Whether a batch has its replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// It has.
    Complete,
    /// Not before so many bytes are in the inbox.
    Needs(usize),
}

/// What was read from a connection and not yet parsed. It keeps its memory, up to a bound.
#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// What an inbox holds at least and keeps at most, in bytes.
const SMALL: usize = 16 << 10;
const KEPT: usize = 256 << 10;
/// By how much it grows at most beyond what has come: a length that is announced and never sent costs no more.
const STEP: usize = 4 << 20;

impl Inbox {
    pub(crate) fn new() -> Self {
        Inbox { buffer: vec![0; SMALL], start: 0, end: 0 }
    }

    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.buffer.len() > KEPT {
                self.buffer = vec![0; SMALL];
            }
        }
    }

    /// Room to read into, so that in the end `needed` bytes can be there in a row. Never empty.
    pub(crate) fn room(&mut self, needed: usize) -> &mut [u8] {
        let held = self.end - self.start;
        let wanted = needed.max(held + 1).min(held + STEP);
        if self.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = held;
            if wanted > self.buffer.len() {
                // What comes behind a large value comes with it.
                self.buffer.resize(wanted + SMALL, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read into the room.
    pub(crate) fn came(&mut self, count: usize) {
        self.end += count;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::proto::{Code, Get, Key};

    const FEATURES: Features = Features { fenced_delete: true, opaque_on_miss: true };

    fn receive(inbox: &mut Inbox, bytes: &[u8], needed: usize) {
        inbox.room(needed)[..bytes.len()].copy_from_slice(bytes);
        inbox.came(bytes.len());
    }

    #[test]
    fn replies_that_come_byte_by_byte_are_put_together() {
        let mut batch = Batch::default();
        batch.push(&Request::Get(Get { value: true, ..Get::new(Key::new("k").unwrap()) }));
        batch.push(&Request::Noop);
        let opaque = batch.expected[0].opaque.0;
        let bytes = format!("VA 3 O{opaque}\r\nabc\r\nMN\r\nEN of another");
        let ours = bytes.find("EN").unwrap();
        let mut replies = Replies::to(batch.expected);
        let mut inbox = Inbox::new();
        for (at, byte) in bytes.bytes().enumerate().take(ours) {
            receive(&mut inbox, &[byte], 1);
            let complete = replies.absorb(&mut inbox, FEATURES) == Ok(Absorbed::Complete);
            assert_eq!(complete, at + 1 == ours, "after byte {at}");
        }
        assert!(inbox.is_empty());
        let codes: Vec<Code> = replies.into_replies().into_iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [Code::Value, Code::Barrier]);
    }

    #[test]
    fn no_byte_of_the_next_batch_is_taken() {
        let mut batch = Batch::default();
        batch.push(&Request::Noop);
        let mut inbox = Inbox::new();
        receive(&mut inbox, b"MN\r\nMN\r\n", 1);
        let mut replies = Replies::to(batch.expected);
        assert_eq!(replies.absorb(&mut inbox, FEATURES), Ok(Absorbed::Complete));
        assert_eq!(inbox.bytes(), b"MN\r\n");
    }

    #[test]
    fn an_inbox_grows_with_what_comes_and_lets_go_of_it() {
        let mut inbox = Inbox::new();
        assert!(inbox.room(1 << 30).len() <= STEP, "what is only announced takes no memory");
        let large = vec![b'x'; KEPT + 1];
        receive(&mut inbox, &large, large.len());
        assert_eq!(inbox.bytes(), large);
        inbox.consume(large.len() - 1);
        assert_eq!(inbox.bytes(), b"x");
        inbox.consume(1);
        assert_eq!(inbox.buffer.len(), SMALL);
    }
}
