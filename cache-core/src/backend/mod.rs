//! What stores entries: the traits that an author of a backend implements.
//!
//! [`ObjectBackend`] keeps objects of this process (the near tier); [`BytesBackend`] and its twin
//! [`AsyncBytesBackend`] keep records elsewhere (the far tier).

mod bytes;
mod object;

pub use bytes::{
    AsyncBytesBackend, BoxFuture, BytesBackend, Check, Claim, Fill, FillOutcome, Filled, HandBack, Invalidated, Kept,
    Lease, NodeStats, Read, Recall, Returned, Seen, Strength, Take, Token,
};
pub use object::{Object, ObjectBackend, ObjectStats, Put, Stamp};
