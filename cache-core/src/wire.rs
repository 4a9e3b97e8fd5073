//! How the values of a function become records, or that they do not.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::generation::GenerationDigest;
use crate::key::KeyRef;
use crate::reach::Reach;
use crate::record::{self, Expect, Misread, Miss, WriteError, Writing};
use crate::state::Far;

/// How values of type `V` go to the far tier and come back.
pub trait Wire<V>: Copy + Send + Sync + 'static {
    /// Where such values can be.
    const REACH: Reach;

    /// Makes the record of `value`.
    ///
    /// # Errors
    ///
    /// Why it cannot be one.
    fn write(value: &V, far: &Far, making: &Making<'_>) -> Result<Vec<u8>, Unwritable>;

    /// Reads the value of `record`.
    ///
    /// # Errors
    ///
    /// The miss that it is instead.
    fn read(record: &[u8], far: &Far, expected: &Expected<'_>) -> Result<V, Miss>;

    /// What the value weighs, in bytes, if that can be told.
    fn weigh(value: &V) -> Option<u64>;
}

/// What a record is made for.
#[derive(Debug)]
pub struct Making<'a> {
    /// The key.
    pub key: KeyRef<'a>,
    /// The function's version.
    pub version: u16,
    /// The digest of the generations that the load began under.
    pub digest: GenerationDigest,
    /// Whether the record is read back and compared before it is sent.
    pub read_back: ReadBack,
}

/// Whether a record is read back before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// It is.
    Yes,
    /// It is one of many like it that were.
    No,
}

/// What a reader expects of a record.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The key.
    pub key: KeyRef<'a>,
    /// The function's version.
    pub version: u16,
    /// The digest of the generations as they are now.
    pub digest: GenerationDigest,
}

/// Why a value cannot be a record.
#[derive(Debug)]
pub enum Unwritable {
    /// Its function keeps values near only.
    NearOnly,
    /// It cannot be encoded, or is too large.
    Write(WriteError),
    /// It would come back as another value.
    Misread(Misread),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritable::NearOnly => f.write_str("the function is `near_only`"),
            Unwritable::Write(error) => error.fmt(f),
            Unwritable::Misread(error) => error.fmt(f),
        }
    }
}

/// Values are written with serde.
#[derive(Debug, Clone, Copy)]
pub struct Serde;

impl<V: Serialize + DeserializeOwned + 'static> Wire<V> for Serde {
    const REACH: Reach = Reach::Everywhere;

    fn write(value: &V, far: &Far, making: &Making<'_>) -> Result<Vec<u8>, Unwritable> {
        let writing = Writing {
            codec: &far.codec,
            compression: far.compression,
            version: making.version,
            fingerprint: record::fingerprint::<V>(),
            digest: making.digest,
            key: making.key,
            max_value: far.max_value,
        };
        let record = record::write(value, &writing).map_err(Unwritable::Write)?;
        if making.read_back == ReadBack::Yes {
            record::reads_back(value, &record, &writing.expect()).map_err(Unwritable::Misread)?;
        }
        Ok(record)
    }

    fn read(bytes: &[u8], far: &Far, expected: &Expected<'_>) -> Result<V, Miss> {
        let expect = Expect {
            codec: &far.codec,
            version: expected.version,
            fingerprint: record::fingerprint::<V>(),
            digest: expected.digest,
            key: expected.key,
            max_value: far.max_value,
        };
        record::read(bytes, &expect)
    }

    fn weigh(value: &V) -> Option<u64> {
        Some(record::weigh(value) as u64)
    }
}

/// Values stay in the near tier, and need no serde.
#[derive(Debug, Clone, Copy)]
pub struct NearOnly;

impl<V> Wire<V> for NearOnly {
    const REACH: Reach = Reach::Near;

    fn write(_value: &V, _far: &Far, _making: &Making<'_>) -> Result<Vec<u8>, Unwritable> {
        Err(Unwritable::NearOnly)
    }

    fn read(_bytes: &[u8], _far: &Far, _expected: &Expected<'_>) -> Result<V, Miss> {
        Err(Miss::Decode("values of the function stay near".into()))
    }

    fn weigh(_value: &V) -> Option<u64> {
        None
    }
}
