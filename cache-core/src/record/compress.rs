//! Compression of encoded values; what comes back is bounded before it is allocated.

use std::str::FromStr;

use super::Miss;
use crate::error::{Error, Kind};

/// Whether and how a region compresses its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As encoded.
    None,
    /// zstd. A compressed form that is not smaller is not kept.
    #[cfg(feature = "zstd")]
    Zstd {
        /// The level, from 1 (fast) to 22 (small); default 3.
        level: i32,
        /// Encoded values of fewer bytes are not compressed; default 1024.
        min_len: usize,
    },
}

impl Default for Compression {
    /// zstd with its defaults where this build has it.
    fn default() -> Self {
        #[cfg(feature = "zstd")]
        return Compression::Zstd { level: 3, min_len: 1024 };
        #[cfg(not(feature = "zstd"))]
        Compression::None
    }
}

impl FromStr for Compression {
    type Err = Error;

    /// `none`, or `zstd` with its defaults.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] for another name, or for `zstd` in a build without it.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "none" => Ok(Compression::None),
            #[cfg(feature = "zstd")]
            "zstd" => Ok(Compression::default()),
            #[cfg(not(feature = "zstd"))]
            "zstd" => Err(Error::new(Kind::Config, "zstd is not in this build: switch on the feature `zstd`")),
            _ => Err(Error::new(Kind::Config, format!("unknown compression `{name}` (known: none, zstd)"))),
        }
    }
}

/// The numbers in a record.
pub(super) const NONE: u8 = 0;
pub(super) const ZSTD: u8 = 1;

impl Compression {
    /// Compresses what follows the first `head` bytes of `record` if that makes it smaller, and tells the number.
    pub(super) fn compress(self, record: &mut Vec<u8>, head: usize) -> u8 {
        let _ = (&record, head);
        match self {
            Compression::None => NONE,
            #[cfg(feature = "zstd")]
            Compression::Zstd { level, min_len } => {
                let len = record.len() - head;
                if len < min_len || len == 0 {
                    return NONE;
                }
                // Room for one byte less: what does not fit is not smaller.
                let mut smaller = vec![0; record.len() - 1];
                match context::compress(&record[head..], level, &mut smaller[head..]) {
                    Some(written) => {
                        smaller.truncate(head + written);
                        *record = smaller;
                        ZSTD
                    }
                    None => NONE,
                }
            }
        }
    }
}

/// What `body` was before it was compressed by zstd.
#[cfg(feature = "zstd")]
pub(super) fn decompress(body: &[u8], max_value: usize) -> Result<Vec<u8>, Miss> {
    let announced = match zstd::zstd_safe::get_frame_content_size(body) {
        Ok(Some(announced)) => announced,
        _ => return Err(Miss::Decompress),
    };
    if announced > max_value as u64 {
        return Err(Miss::TooLarge(announced));
    }
    if announced > most(body.len()) {
        return Err(Miss::Decompress);
    }
    let mut value = Vec::with_capacity(usize::try_from(announced).map_err(|_| Miss::Decompress)?);
    match context::decompress(body, &mut value) {
        Some(written) if written as u64 == announced => Ok(value),
        _ => Err(Miss::Decompress),
    }
}

/// The most that a frame of `len` bytes can hold: a block of zstd takes at least four bytes and holds at most 128 KiB. A
/// frame that announces more lies, and nothing is allocated for it.
#[cfg(feature = "zstd")]
fn most(len: usize) -> u64 {
    (len as u64 / 4 + 1) * (128 << 10)
}

#[cfg(feature = "zstd")]
mod context {
    pub(super) fn compress(from: &[u8], level: i32, to: &mut [u8]) -> Option<usize> {
        zstd::bulk::compress_to_buffer(from, to, level).ok()
    }

    pub(super) fn decompress(from: &[u8], to: &mut Vec<u8>) -> Option<usize> {
        zstd::bulk::decompress_to_buffer(from, to).ok()
    }
}
