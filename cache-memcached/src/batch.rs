//! Requests to one node, written one behind the other, and what comes of them.

use std::sync::atomic::{AtomicU32, Ordering};

use cache_core::generation::Generation;
use cache_core::key::FarKey;
use smallvec::SmallVec;

use crate::proto::{Expected, Get, Key, Opaque, Reply, Request};

/// Requests that travel together: written at once, answered in order. A connection uses its buffers again and again.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The requests' bytes.
    pub(crate) bytes: Vec<u8>,
    /// What may answer them.
    pub(crate) awaited: Awaited,
    /// Where a blocking caller pauses to read: after so many bytes, which are so many requests.
    pub(crate) pauses: Vec<Pause>,
    /// The last request's opaque. Two unanswered requests of one connection never have the same: that would take four
    /// thousand million of them.
    last: Opaque,
}

/// What may answer the requests of a batch.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// One for each request.
    pub(crate) expected: SmallVec<[Expected; 2]>,
    /// XXH3-64 of the keys of all its classic `get`s, in order.
    pub(crate) listed: Vec<u64>,
}

/// A place between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) bytes: usize,
    pub(crate) requests: usize,
}

/// How many bytes of requests there are between two pauses: two such pieces fit into the buffers between any client and
/// server, so they can be written whether or not the server is being read from.
const PIECE: usize = 16 << 10;

/// A buffer that has grown beyond this is not kept, in bytes.
pub(crate) const KEPT: usize = 256 << 10;

/// What came of a batch. Whoever reads it takes the replies out; the memory is used again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replied {
    /// One per request, and more for one that is answered by a list.
    pub(crate) replies: Vec<Reply>,
    /// One per scope; `None` if the node has none.
    pub(crate) generations: Vec<Option<Generation>>,
}

impl Replied {
    /// Moves the generations out of the replies, of which so many are last.
    pub(crate) fn split_generations(&mut self, scopes: usize) {
        let requests = self.replies.len().saturating_sub(scopes);
        self.generations.extend(self.replies.drain(requests..).map(|reply| generation(&reply)));
    }

    pub(crate) fn clear(&mut self) {
        self.replies.clear();
        self.replies.shrink_to(FEW);
        self.generations.clear();
    }
}

/// A list of replies that has grown beyond this is not kept.
const FEW: usize = 64;

/// How far the first opaques of two connections are apart: odd, so that they are all different, and far.
const APART: u32 = 0x9e37_79b9;

static FIRST_OPAQUE: AtomicU32 = AtomicU32::new(0);

impl Default for Batch {
    /// One for a new connection. It begins with another opaque than others: a reply that came over the wrong one is
    /// known.
    fn default() -> Self {
        let last = Opaque(FIRST_OPAQUE.fetch_add(APART, Ordering::Relaxed));
        Batch { bytes: Vec::new(), awaited: Awaited::default(), pauses: Vec::new(), last }
    }
}

impl Batch {
    pub(crate) fn push(&mut self, request: &Request<'_>) {
        self.last.0 = self.last.0.wrapping_add(1);
        self.awaited.expected.push(request.write(self.last, &mut self.bytes));
        if let Request::ClassicGet(keys) = request {
            self.awaited.listed.extend(keys.iter().map(|key| key.hash()));
        }
        if self.bytes.len() >= self.pauses.last().map_or(0, |pause| pause.bytes) + PIECE {
            self.pauses.push(self.end());
        }
    }

    pub(crate) fn push_generation_read(&mut self, scope: &str) {
        self.push(&Request::Get(Get { value: true, ..Get::new(Key::checked_before(scope)) }));
    }

    pub(crate) fn push_generation_reads(&mut self, scopes: &[FarKey]) {
        scopes.iter().for_each(|scope| self.push_generation_read(scope.as_str()));
    }

    /// Behind all that is written so far.
    pub(crate) fn end(&self) -> Pause {
        Pause { bytes: self.bytes.len(), requests: self.awaited.expected.len() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.awaited.expected.is_empty()
    }

    /// What may answer what was written since the last time.
    #[cfg(feature = "tokio")]
    pub(crate) fn take_awaited(&mut self) -> Awaited {
        self.pauses.clear();
        std::mem::take(&mut self.awaited)
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.awaited.expected.clear();
        self.awaited.listed.clear();
        self.pauses.clear();
    }
}

/// What an answer to [`push_generation_read`](Batch::push_generation_read) tells.
pub(crate) fn generation(reply: &Reply) -> Option<Generation> {
    let bytes = <[u8; 8]>::try_from(reply.value.as_deref()?).ok()?;
    Some(Generation(u64::from_le_bytes(bytes)))
}
