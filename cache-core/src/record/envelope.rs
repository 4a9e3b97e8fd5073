//! The header before each value, and the order in which it is believed.
//!
//! | bytes | content |
//! |---|---|
//! | 0 | format, 1 |
//! | 1 | codec in the lower four bits, compression in the upper four |
//! | 2..4 | `version` of the function |
//! | 4..8 | fingerprint of the type |
//! | 8..16 | digest of the generations |
//! | 16..24 | XXH3-64 of the body; its seed is the XXH3-64 of the key's check and bytes 0 to 16 |
//! | 24.. | the body: the encoded value, perhaps compressed |
//!
//! Numbers are little-endian. Nothing but the format and the codec is read before the check holds.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;
use twox_hash::XxHash3_64;

use super::codec::Codec;
use super::compress::{self, Compression};
use super::fingerprint::Fingerprint;
use super::miss::Miss;
use super::path::path_of_failure;
use crate::error::{Error, Kind};
use crate::generation::GenerationDigest;
use crate::key::KeyRef;

/// The format byte of what stands for a record that a backend keeps in several parts. A backend that finds all of them
/// gives the record; one that does not gives this, and it is read as [`Miss::Torn`].
pub const SPLIT: u8 = 0xf5;

/// The length of the header in bytes.
pub const HEADER: usize = 24;
/// What the check covers of the header.
const CHECKED: usize = 16;
const FORMAT: u8 = 1;

/// How a record is written.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// The region's codec.
    pub codec: &'a Codec,
    /// The region's compression.
    pub compression: Compression,
    /// The function's `version`.
    pub version: u16,
    /// Of the value's type.
    pub fingerprint: Fingerprint,
    /// What the generations came to before the load began.
    pub digest: GenerationDigest,
    /// The key that the record is stored for.
    pub key: KeyRef<'a>,
    /// The most bytes that the encoded value may have before it is compressed.
    pub max_value: usize,
}

impl<'a> Writing<'a> {
    /// What a reader of this record expects.
    pub fn expect(&self) -> Expect<'a> {
        Expect {
            codec: self.codec,
            version: self.version,
            fingerprint: self.fingerprint,
            digest: self.digest,
            key: self.key,
            max_value: self.max_value,
        }
    }
}

/// What a reader expects of a record.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The region's codec. A record of another built-in codec is read as well.
    pub codec: &'a Codec,
    /// The function's `version`.
    pub version: u16,
    /// Of the value's type.
    pub fingerprint: Fingerprint,
    /// What the generations come to now.
    pub digest: GenerationDigest,
    /// The key that was asked for.
    pub key: KeyRef<'a>,
    /// The most bytes that the encoded value may have, compressed or not.
    pub max_value: usize,
}

/// Why a value could not be made a record. It is then not stored far; the caller has it all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// The codec, or the type's `Serialize`, refused it.
    Encode {
        /// Where in the value, such as `images[17].block_device.parent`; empty for the whole.
        path: String,
        /// What it said.
        message: String,
    },
    /// The type's `Serialize` panicked.
    Panicked,
    /// The encoded value has this many bytes, more than `max_value`.
    TooLarge {
        /// The encoded length in bytes.
        len: usize,
        /// The most that was allowed.
        max_value: usize,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Encode { path, message } if path.is_empty() => f.write_str(message),
            WriteError::Encode { path, message } => write!(f, "{path}: {message}"),
            WriteError::Panicked => f.write_str("`Serialize` panicked"),
            WriteError::TooLarge { len, max_value } => {
                write!(f, "the encoded value has {len} bytes, `max_value` is {max_value}")
            }
        }
    }
}

impl std::error::Error for WriteError {}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        Error::new(Kind::Codec, error.to_string())
    }
}

/// Makes the record of `value`.
///
/// # Errors
///
/// [`WriteError`] tells what cannot be stored far, and which part of it.
pub fn write<V: Serialize>(value: &V, writing: &Writing<'_>) -> Result<Vec<u8>, WriteError> {
    let mut record = vec![0; HEADER];
    match unpanicked(|| writing.codec.encode(value, &mut record)) {
        Some(Ok(())) => {}
        Some(Err(message)) => return Err(located(value, writing.codec, message)),
        None => return Err(WriteError::Panicked),
    }
    let len = record.len() - HEADER;
    if len > writing.max_value {
        return Err(WriteError::TooLarge { len, max_value: writing.max_value });
    }
    let compression = writing.compression.compress(&mut record, HEADER);
    seal(&mut record, writing, compression);
    Ok(record)
}

/// Fills in the header.
pub(super) fn seal(record: &mut [u8], writing: &Writing<'_>, compression: u8) {
    let Some((head, body)) = record.split_first_chunk_mut::<HEADER>() else { return };
    let header = Header {
        codec: writing.codec.id(),
        compression,
        version: writing.version,
        fingerprint: type_mark(writing.codec, writing.fingerprint),
        digest: writing.digest,
        check: 0,
    };
    head[..CHECKED].copy_from_slice(&header.checked_bytes());
    head[CHECKED..].copy_from_slice(&header.check(writing.key, body).to_le_bytes());
}

/// Reads the value of a record: [`Record::parse`], [`Record::judge`], [`Sound::decode`].
///
/// # Errors
///
/// The [`Miss`] that it is instead.
pub fn read<V: DeserializeOwned>(bytes: &[u8], expect: &Expect<'_>) -> Result<V, Miss> {
    Record::parse(bytes)?.judge(expect)?.decode()
}

/// What stands before a value. Not to be believed before [`Record::judge`] said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    codec: u8,
    compression: u8,
    version: u16,
    fingerprint: u32,
    digest: GenerationDigest,
    check: u64,
}

impl Header {
    /// Reads the header of a record.
    ///
    /// # Errors
    ///
    /// [`Miss::Short`] and [`Miss::UnknownFormat`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Miss> {
        let (&format, _) = bytes.split_first().ok_or(Miss::Short)?;
        if format != FORMAT {
            return Err(if format == SPLIT { Miss::Torn } else { Miss::UnknownFormat(format) });
        }
        let head = bytes.first_chunk::<HEADER>().ok_or(Miss::Short)?;
        let [_, kinds, v0, v1, f0, f1, f2, f3, d0, d1, d2, d3, d4, d5, d6, d7, c0, c1, c2, c3, c4, c5, c6, c7] = *head;
        Ok(Header {
            codec: kinds & 0x0f,
            compression: kinds >> 4,
            version: u16::from_le_bytes([v0, v1]),
            fingerprint: u32::from_le_bytes([f0, f1, f2, f3]),
            digest: GenerationDigest(u64::from_le_bytes([d0, d1, d2, d3, d4, d5, d6, d7])),
            check: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
        })
    }

    /// The `version` that it was written under.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// What the generations came to before its load began.
    pub fn digest(&self) -> GenerationDigest {
        self.digest
    }

    fn checked_bytes(&self) -> [u8; CHECKED] {
        let mut bytes = [0; CHECKED];
        bytes[0] = FORMAT;
        bytes[1] = self.codec | self.compression << 4;
        bytes[2..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.fingerprint.to_le_bytes());
        bytes[8..].copy_from_slice(&self.digest.0.to_le_bytes());
        bytes
    }

    fn check(&self, key: KeyRef<'_>, body: &[u8]) -> u64 {
        let mut head = [0; 8 + CHECKED];
        head[..8].copy_from_slice(&key.check().0.to_le_bytes());
        head[8..].copy_from_slice(&self.checked_bytes());
        // As a seed, so that the body is hashed where it lies and in one piece: by pieces it would take twice as long.
        XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(&head), body)
    }
}

/// Bytes that begin like a record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    header: Header,
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Splits a record into its header and its body.
    ///
    /// # Errors
    ///
    /// [`Miss::Short`] and [`Miss::UnknownFormat`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Miss> {
        let header = Header::parse(bytes)?;
        Ok(Record { header, body: &bytes[HEADER..] })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether this record is the one that was asked for, decided without decoding its value.
    ///
    /// # Errors
    ///
    /// In this order: [`Miss::UnknownCodec`], [`Miss::UnknownCompression`], [`Miss::Corrupt`], [`Miss::HigherVersion`] or
    /// [`Miss::LowerVersion`], [`Miss::OtherType`], [`Miss::TooLarge`], and at last [`Miss::OtherGeneration`]: who gets
    /// that one may ask for the generations again and judge once more.
    pub fn judge(&self, expect: &Expect<'_>) -> Result<Sound<'a>, Miss> {
        let header = &self.header;
        let codec = Codec::of_record(header.codec, expect.codec).ok_or(Miss::UnknownCodec(header.codec))?;
        let is_compressed = match header.compression {
            compress::NONE => Compressed::No,
            compress::ZSTD if cfg!(feature = "zstd") => Compressed::Zstd,
            unknown => return Err(Miss::UnknownCompression(unknown)),
        };
        if header.check != header.check(expect.key, self.body) {
            return Err(Miss::Corrupt);
        }
        if header.version > expect.version {
            return Err(Miss::HigherVersion(header.version));
        }
        if header.version < expect.version {
            return Err(Miss::LowerVersion(header.version));
        }
        let expected = Fingerprint(type_mark(&codec, expect.fingerprint));
        let found = Fingerprint(header.fingerprint);
        if found != expected {
            return Err(Miss::OtherType { found, expected });
        }
        if self.body.len() > expect.max_value {
            return Err(Miss::TooLarge(self.body.len() as u64));
        }
        if header.digest != expect.digest {
            return Err(Miss::OtherGeneration);
        }
        Ok(Sound { codec, is_compressed, body: self.body, max_value: expect.max_value })
    }
}

/// A record that was judged: intact, of this key, version, type and generation.
#[derive(Debug, Clone)]
pub struct Sound<'a> {
    codec: Codec,
    is_compressed: Compressed,
    body: &'a [u8],
    max_value: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compressed {
    No,
    Zstd,
}

impl Sound<'_> {
    /// The value.
    ///
    /// # Errors
    ///
    /// [`Miss::TooLarge`], [`Miss::Decompress`], [`Miss::Decode`], [`Miss::TrailingBytes`].
    pub fn decode<V: DeserializeOwned>(&self) -> Result<V, Miss> {
        let decode = |bytes: &[u8]| {
            unpanicked(|| self.codec.decode(bytes, self.max_value))
                .unwrap_or_else(|| Err(Miss::Decode("`Deserialize` panicked".into())))
        };
        match self.is_compressed {
            Compressed::No => decode(self.body),
            #[cfg(feature = "zstd")]
            Compressed::Zstd => decode(&compress::decompress(self.body, self.max_value)?),
            #[cfg(not(feature = "zstd"))]
            Compressed::Zstd => Err(Miss::UnknownCompression(compress::ZSTD)),
        }
    }
}

/// The fingerprint that stands in a record: with the name of a custom codec, which has no number of its own.
fn type_mark(codec: &Codec, fingerprint: Fingerprint) -> u32 {
    match codec {
        Codec::Custom(custom) => fingerprint.0 ^ XxHash3_64::oneshot(custom.name().as_bytes()) as u32,
        #[allow(unreachable_patterns)]
        _ => fingerprint.0,
    }
}

/// The error of an encoding, with its place: found by encoding once more.
#[cold]
fn located<V: Serialize>(value: &V, codec: &Codec, message: String) -> WriteError {
    let (again, path) = path_of_failure(value, |tracked| unpanicked(|| codec.encode(tracked, &mut Vec::new())));
    let path = if matches!(again, Some(Err(_))) { path } else { String::new() };
    WriteError::Encode { path, message }
}

/// `None` if the user's code panicked: nothing that it left half done is used again.
fn unpanicked<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}
