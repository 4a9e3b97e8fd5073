//! Records: the bytes kept far, made from a value and back, trusting nothing.
//!
//! ```text
//! write:  value -> codec -> zstd -> header
//! read:   header -> zstd -> codec -> value
//! ```
//!
//! Whatever the bytes are, reading them gives the value that was written for that key, or a [`Miss`] that says why not.
//! It never panics, and allocates nothing that `max_value` does not bound.

#[cfg(any(feature = "bincode", feature = "postcard"))]
mod bounded;
mod codec;
mod compress;
mod envelope;
mod fingerprint;
mod misread;
mod miss;
mod path;
mod readback;
#[cfg(test)]
mod tests;
mod weigh;

/// The traits that a [`CustomCodec`] is written against.
pub use erased_serde;

pub use codec::{Codec, CodecError, CustomCodec, DecodeInto};
pub use compress::Compression;
pub use envelope::{Expect, HEADER, Header, Record, SPLIT, Sound, WriteError, Writing, read, write};
pub use fingerprint::{Fingerprint, fingerprint};
pub use misread::Misread;
pub use miss::Miss;
pub use readback::reads_back;
pub use weigh::weigh;
