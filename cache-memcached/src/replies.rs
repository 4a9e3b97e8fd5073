//! The replies to one batch, as far as they have come.
//!
//! Invariant: no byte is taken that belongs to the next batch; and a length that is announced and never sent costs no
//! more memory than [`STEP`].

use std::io::IoSliceMut;

use crate::batch::Awaited;
use crate::inbox::Inbox;
use crate::proto::{Broken, Features, NO_END, Named, Open, Parsed, Reply, VALUE_END, parse};

/// How much memory there is for a value beyond what has come of it, in bytes.
const STEP: usize = 4 << 20;

/// The replies to one batch after the other, as far as those to the present one have come. A request that is answered by a
/// list has all of it in a row.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    answered: usize,
    /// How many of the keys of classic `get`s have been passed: values come in the order of their keys.
    passed: usize,
    replies: Vec<Reply>,
    partial: Option<Partial>,
}

/// A value that is read straight to where it stays.
#[derive(Debug)]
struct Partial {
    open: Open,
    value: Vec<u8>,
    filled: usize,
}

/// Whether a batch has its replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absorbed {
    Complete,
    Incomplete,
}

impl Replies {
    /// Where the next bytes belong: first to what is missing of a value, and what follows it to the inbox.
    pub(crate) fn room<'a>(&'a mut self, inbox: &'a mut Inbox) -> [IoSliceMut<'a>; 2] {
        let Some(partial) = &mut self.partial else {
            return [IoSliceMut::new(&mut []), IoSliceMut::new(inbox.room())];
        };
        let reaches_the_end = partial.reach() == partial.open.length;
        let behind = if reaches_the_end { inbox.room() } else { &mut [] };
        [IoSliceMut::new(&mut partial.value[partial.filled..]), IoSliceMut::new(behind)]
    }

    /// So many bytes were read into the room.
    pub(crate) fn came(&mut self, inbox: &mut Inbox, count: usize) {
        let of_value = self.partial.as_ref().map_or(0, |partial| count.min(partial.missing()));
        if let Some(partial) = &mut self.partial {
            partial.filled += of_value;
        }
        inbox.came(count - of_value);
    }

    /// Takes in what has come in answer to `awaited`.
    pub(crate) fn absorb(
        &mut self,
        awaited: &Awaited,
        inbox: &mut Inbox,
        features: Features,
    ) -> Result<Absorbed, Broken> {
        // As many as there are of most requests: a list that grows is copied again and again.
        if self.replies.is_empty() {
            self.replies.reserve(awaited.expected.len());
        }
        while let Some(expected) = awaited.expected.get(self.answered).copied() {
            let mut reply = match self.partial.take() {
                Some(partial) => match partial.end(inbox)? {
                    Ended::Whole(reply) => reply,
                    Ended::Partial(partial) => {
                        self.partial = Some(partial);
                        return Ok(Absorbed::Incomplete);
                    }
                },
                None => match parse(inbox.bytes(), expected, features)? {
                    Parsed::Whole(reply, used) => {
                        inbox.consume(used);
                        reply
                    }
                    Parsed::Open(open) => {
                        self.partial = Some(Partial::begin(open, inbox));
                        continue;
                    }
                    Parsed::Cut => return Ok(Absorbed::Incomplete),
                },
            };
            if let Named::Hash(hash) = reply.named {
                reply.named = Named::Place(self.pass(&awaited.listed, hash)?);
            }
            self.answered += usize::from(expected.ends_with(&reply.code));
            self.replies.push(reply);
        }
        Ok(Absorbed::Complete)
    }

    /// A value of the key with this hash has come: it is one of those that were asked for and not yet passed. Which.
    fn pass(&mut self, listed: &[u64], hash: u64) -> Result<u32, Broken> {
        let place = listed[self.passed..].iter().position(|known| *known == hash);
        self.passed += 1 + place.ok_or_else(|| Broken::new("the value of a key that was not asked for", &[]))?;
        Ok((self.passed - 1) as u32)
    }

    /// How many requests have all of their replies.
    pub(crate) fn answered(&self) -> usize {
        self.answered
    }

    /// Gives them out in exchange for an empty list, and begins with those to the next batch.
    pub(crate) fn take(&mut self, into: &mut Vec<Reply>) {
        (self.answered, self.passed, self.partial) = (0, 0, None);
        std::mem::swap(&mut self.replies, into);
        self.replies.clear();
    }
}

enum Ended {
    Whole(Reply),
    Partial(Partial),
}

impl Partial {
    /// Takes over what the inbox holds of the value.
    fn begin(open: Open, inbox: &mut Inbox) -> Self {
        let come = &inbox.bytes()[open.head..];
        let filled = come.len().min(open.length);
        let mut value = Vec::with_capacity(open.length.min(filled + STEP));
        value.extend_from_slice(&come[..filled]);
        inbox.consume(open.head + filled);
        Partial { open, value, filled }
    }

    fn missing(&self) -> usize {
        self.open.length - self.filled
    }

    /// Up to where there is memory now.
    fn reach(&mut self) -> usize {
        if self.filled == self.value.len() {
            self.value.resize(self.open.length.min(self.filled + STEP), 0);
        }
        self.value.len()
    }

    /// The reply, once the value and its end are there.
    fn end(self, inbox: &mut Inbox) -> Result<Ended, Broken> {
        let come = &inbox.bytes()[..inbox.bytes().len().min(VALUE_END.len())];
        if self.missing() > 0 || (come.len() < VALUE_END.len() && VALUE_END.starts_with(come)) {
            return Ok(Ended::Partial(self));
        }
        if come != VALUE_END {
            return Err(Broken::new(NO_END, inbox.bytes()));
        }
        inbox.consume(VALUE_END.len());
        Ok(Ended::Whole(self.open.close(self.value)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::batch::Batch;
    use crate::inbox::OF_ONE;
    use crate::proto::{Code, Get, Key, Request};

    const FEATURES: Features = Features { fenced_delete: true, opaque_on_miss: true };

    /// As a socket would that gives no more than `most` bytes at once.
    fn read(replies: &mut Replies, inbox: &mut Inbox, bytes: &mut &[u8], most: usize) {
        let mut left = most.min(bytes.len());
        let mut count = 0;
        for mut room in replies.room(inbox) {
            let part = left.min(room.len());
            room[..part].copy_from_slice(&bytes[count..count + part]);
            left -= part;
            count += part;
        }
        replies.came(inbox, count);
        *bytes = &bytes[count..];
    }

    fn batch() -> Batch {
        let mut batch = Batch::default();
        batch.push(&Request::Get(Get { value: true, ..Get::new(Key::new("k").unwrap()) }));
        batch.push(&Request::Noop);
        batch
    }

    #[test]
    fn replies_that_come_in_pieces_of_any_size_are_put_together_and_no_byte_more_is_taken() {
        for length in [0, 3, 20_000, STEP + 100_000] {
            for most in [1, 7, 15_000, usize::MAX] {
                if length > 20_000 && most < 15_000 {
                    continue;
                }
                let batch = batch();
                let value: Vec<u8> = (0..length).map(|n| n as u8).collect();
                let mut sent = format!("VA {length} O{}\r\n", batch.awaited.expected[0].opaque.0).into_bytes();
                sent.extend_from_slice(&value);
                sent.extend_from_slice(b"\r\nMN\r\n");
                let ours = sent.len();
                sent.extend_from_slice(b"EN of another");
                let (mut replies, mut inbox, mut left) = (Replies::default(), Inbox::of(OF_ONE), &sent[..]);
                loop {
                    read(&mut replies, &mut inbox, &mut left, most);
                    let complete = replies.absorb(&batch.awaited, &mut inbox, FEATURES) == Ok(Absorbed::Complete);
                    let come = sent.len() - left.len();
                    assert_eq!(complete, come >= ours, "{length}, {most}: after byte {come}");
                    if complete {
                        assert_eq!(inbox.bytes(), &sent[ours..come]);
                        break;
                    }
                }
                let mut whole = Vec::new();
                replies.take(&mut whole);
                let replies = whole;
                assert_eq!(replies.iter().map(|reply| &reply.code).collect::<Vec<_>>(), [&Code::Value, &Code::Barrier]);
                assert!(replies[0].value.as_ref() == Some(&value), "{length}, {most}");
            }
        }
    }

    #[test]
    fn what_is_only_announced_takes_no_memory() {
        let batch = batch();
        let mut inbox = Inbox::of(OF_ONE);
        inbox.receive(format!("VA {} O{}\r\nbeginning", 1 << 30, batch.awaited.expected[0].opaque.0).as_bytes());
        let mut replies = Replies::default();
        assert_eq!(replies.absorb(&batch.awaited, &mut inbox, FEATURES), Ok(Absorbed::Incomplete));
        let [value, _] = replies.room(&mut inbox);
        assert_eq!(value.len(), STEP);
    }

    #[test]
    fn a_value_that_does_not_end_where_it_should_is_no_value() {
        for (end, accepted) in [("\r", true), ("\n", false), ("\rx", false), ("EN", false)] {
            let batch = batch();
            let mut inbox = Inbox::of(OF_ONE);
            inbox.receive(format!("VA 5 O{}\r\nhel", batch.awaited.expected[0].opaque.0).as_bytes());
            let mut replies = Replies::default();
            assert_eq!(replies.absorb(&batch.awaited, &mut inbox, FEATURES), Ok(Absorbed::Incomplete));
            let rest = format!("lo{end}");
            read(&mut replies, &mut inbox, &mut rest.as_bytes(), usize::MAX);
            assert_eq!(replies.absorb(&batch.awaited, &mut inbox, FEATURES).is_ok(), accepted, "{end:?}");
        }
    }
}
