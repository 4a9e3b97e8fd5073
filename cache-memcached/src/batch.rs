//! Requests to one node, written one behind the other, and what comes of them.

use std::sync::atomic::{AtomicU32, Ordering};

use cache_core::generation::Generation;
use cache_core::key::FarKey;

use crate::proto::{Expected, Get, Key, Opaque, Reply, Request};

/// The next opaque of this process. Two unanswered requests of one connection never have the same: that would take
/// four thousand million of them.
static NEXT_OPAQUE: AtomicU32 = AtomicU32::new(1);

/// Requests that travel together: written at once, answered in order.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    /// The requests' bytes.
    pub(crate) bytes: Vec<u8>,
    /// What may answer each.
    pub(crate) expected: Vec<Expected>,
    /// Where a blocking caller pauses to read: after so many bytes, which are so many requests.
    pub(crate) pauses: Vec<Pause>,
    /// The scopes whose generations are to be read behind all of the requests. They are not written yet: what several
    /// callers want to know is asked once.
    pub(crate) scopes: &'a [FarKey],
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

/// What came of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replied {
    /// One per request, and more for one that is answered by a list.
    pub(crate) replies: Vec<Reply>,
    /// One per scope; `None` if the node has none.
    pub(crate) generations: Vec<Option<Generation>>,
}

impl Replied {
    /// What comes of a batch that asks nothing.
    pub(crate) fn nothing() -> Self {
        Replied { replies: Vec::new(), generations: Vec::new() }
    }
}

impl<'a> Batch<'a> {
    /// One for about so many requests, beside the values that they bring.
    pub(crate) fn with_room(requests: usize) -> Self {
        Batch { bytes: Vec::with_capacity(requests * 80), expected: Vec::with_capacity(requests), ..Batch::default() }
    }

    pub(crate) fn push(&mut self, request: &Request<'_>) {
        let opaque = Opaque(NEXT_OPAQUE.fetch_add(1, Ordering::Relaxed));
        self.expected.push(request.write(opaque, &mut self.bytes));
        if self.bytes.len() >= self.pauses.last().map_or(0, |pause| pause.bytes) + PIECE {
            self.pauses.push(Pause { bytes: self.bytes.len(), requests: self.expected.len() });
        }
    }

    pub(crate) fn push_generation_read(&mut self, scope: &FarKey) {
        let key = Key::checked_before(scope.as_str());
        self.push(&Request::Get(Get { value: true, ..Get::new(key) }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.expected.is_empty() && self.scopes.is_empty()
    }
}

/// What an answer to [`push_generation_read`](Batch::push_generation_read) tells.
pub(crate) fn generation(reply: &Reply) -> Option<Generation> {
    let bytes = <[u8; 8]>::try_from(reply.value.as_deref()?).ok()?;
    Some(Generation(u64::from_le_bytes(bytes)))
}
