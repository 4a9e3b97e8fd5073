//! Records above the server's item limit: kept in parts, with a manifest under the record's own key.
//!
//! ```text
//! K               manifest: format byte, 3 zeros, part length u32, generation u64, length u64, XXH3-64 of the record
//! K:GENERATION:i  part i; all but the last are of the part length
//! ```
//!
//! Numbers are little-endian. The parts go first and the manifest last, under the fence of the record. Each writer's parts
//! have names of their own, by a random generation, so no manifest ever leads to another's. Whoever finds a part missing
//! or other than the manifest says has the manifest itself for a record, which is of a format that no reader accepts:
//! a dead record (rule R6), with a reason.

use std::time::Duration;

use cache_core::backend::{Fill, Token};
use cache_core::key::FarKey;
use cache_core::record;
use twox_hash::XxHash3_64;

use crate::operations::LONGEST;
use crate::random::random;

/// A part is no longer than this, in bytes, for memcached keeps longer items in chains of slabs.
const LONGEST_PART: usize = (512 << 10) - 1024;
/// The longest record that is believed, in bytes, and the most parts: whatever bytes pass for a manifest, what they ask for
/// is a few megabytes of keys.
const LONGEST_RECORD: u64 = 1 << 30;
const MOST_PARTS: usize = 1 << 14;
const MANIFEST: usize = 32;
/// How much longer than their manifest parts live: so that nobody finds the one without the others.
const SLACK: Duration = Duration::from_secs(60);

/// What a manifest tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manifest {
    part: usize,
    generation: u64,
    len: usize,
    check: u64,
}

/// A record in parts, on its way to the node.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    pub(crate) record: &'a [u8],
    pub(crate) manifest: Vec<u8>,
    pub(crate) keys: Vec<FarKey>,
    part: usize,
}

impl<'a> Split<'a> {
    /// `None` if the key leaves no room for the names of the parts, or there would be more of them than are believed.
    pub(crate) fn of(fill: &Fill<'a>, limit: usize) -> Option<Self> {
        let (part, len) = (limit.min(LONGEST_PART), fill.record.len());
        if !Manifest::is_believed(part, len as u64) {
            return None;
        }
        let (generation, check) = (random(), XxHash3_64::oneshot(fill.record));
        let manifest = Manifest { part, generation, len, check };
        let keys = manifest.keys(fill.key)?;
        Some(Split { record: fill.record, manifest: manifest.to_bytes(), keys, part: manifest.part })
    }

    /// Each part with its key.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&FarKey, &'a [u8])> {
        self.keys.iter().zip(self.record.chunks(self.part))
    }

    /// How long the parts are kept.
    pub(crate) fn keep(fill: &Fill<'_>) -> Duration {
        fill.keep.map_or(LONGEST, |keep| (keep + SLACK).min(LONGEST))
    }
}

impl Manifest {
    /// The manifest that stands in the place of a record, if it is one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = <&[u8; MANIFEST]>::try_from(bytes).ok()?;
        if bytes[..4] != [record::SPLIT, 0, 0, 0] {
            return None;
        }
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let part = u32::from_le_bytes(std::array::from_fn(|byte| bytes[4 + byte])) as usize;
        let (generation, len, check) = (long(8), long(16), long(24));
        Self::is_believed(part, len).then_some(Manifest { part, generation, len: len as usize, check })
    }

    /// Whether a record of `len` bytes may be kept in parts of `part`.
    fn is_believed(part: usize, len: u64) -> bool {
        (1..=LONGEST_PART).contains(&part) && len <= LONGEST_RECORD && len.div_ceil(part as u64) <= MOST_PARTS as u64
    }

    fn to_bytes(self) -> Vec<u8> {
        let Manifest { part, generation, len, check } = self;
        let mut bytes = vec![record::SPLIT, 0, 0, 0];
        bytes.extend_from_slice(&(part as u32).to_le_bytes());
        [generation, len as u64, check].into_iter().for_each(|long| bytes.extend_from_slice(&long.to_le_bytes()));
        bytes
    }

    /// The keys of the parts of the record under `key`.
    pub(crate) fn keys(&self, key: &FarKey) -> Option<Vec<FarKey>> {
        let part = |n: usize| FarKey::new(format!("{}:{:016x}:{n}", key.as_str(), self.generation)).ok();
        (0..self.len.div_ceil(self.part)).map(part).collect()
    }

    /// The record, if these are its parts.
    pub(crate) fn join(&self, parts: impl Iterator<Item = Option<Vec<u8>>>) -> Option<Vec<u8>> {
        let mut record = Vec::new();
        for part in parts {
            let part = part?;
            if record.len() + part.len() > self.len {
                return None;
            }
            record.extend_from_slice(&part);
        }
        (record.len() == self.len && XxHash3_64::oneshot(&record) == self.check).then_some(record)
    }
}

/// Both ways as bytes.
pub(crate) mod fuzzing {
    use super::*;

    /// Those that were found of a record's parts.
    pub type Parts = Vec<Option<Vec<u8>>>;

    /// What is kept of a record: the manifest, and each part.
    pub fn split(record: &[u8], limit: usize) -> Option<(Vec<u8>, Parts)> {
        let key = FarKey::new("k").ok()?;
        let fill = Fill { key: &key, record, token: Token(1), keep: None, grace: Duration::ZERO };
        let split = Split::of(&fill, limit)?;
        let parts = split.parts().map(|(_, part)| Some(part.to_vec())).collect();
        Some((split.manifest, parts))
    }

    /// The record, if these bytes are a manifest and these its parts.
    pub fn joined(manifest: &[u8], parts: Parts) -> Option<Vec<u8>> {
        Manifest::parse(manifest)?.join(parts.into_iter())
    }

    /// How many parts these bytes ask for, if they are a manifest.
    pub fn asked_for(manifest: &[u8]) -> Option<usize> {
        let keys = Manifest::parse(manifest)?.keys(&FarKey::new("k").ok()?)?;
        Some(keys.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn split<'a>(key: &'a FarKey, record: &'a [u8], limit: usize) -> Option<Split<'a>> {
        Split::of(&Fill { key, record, token: Token(1), keep: None, grace: Duration::ZERO }, limit)
    }

    fn parts(split: &Split<'_>) -> Vec<Option<Vec<u8>>> {
        split.parts().map(|(_, part)| Some(part.to_vec())).collect()
    }

    #[test]
    fn what_was_split_is_joined_again_and_nothing_else_is() {
        let key = FarKey::new("k").unwrap();
        for len in [1_usize, 999, 1000, 1001, 12_345] {
            let record: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
            let one = split(&key, &record, 1000).unwrap();
            let manifest = Manifest::parse(&one.manifest).unwrap();
            assert_eq!(manifest.keys(&key).unwrap(), one.keys);
            assert_eq!(one.keys.len(), len.div_ceil(1000));
            assert_eq!(manifest.join(parts(&one).into_iter()), Some(record.clone()));
            let other = split(&key, &record, 1000).unwrap();
            assert!(one.keys.iter().all(|key| !other.keys.contains(key)), "each writer has names of its own");
            for broken in 0..one.keys.len() {
                let mut missing = parts(&one);
                missing[broken] = None;
                assert_eq!(manifest.join(missing.into_iter()), None);
                let mut foreign = parts(&one);
                foreign[broken].as_mut().unwrap()[0] ^= 1;
                assert_eq!(manifest.join(foreign.into_iter()), None);
                let mut short = parts(&one);
                short[broken].as_mut().unwrap().pop();
                assert_eq!(manifest.join(short.into_iter()), None);
            }
        }
    }

    #[test]
    fn what_is_no_manifest_is_not_taken_for_one() {
        let key = FarKey::new("k").unwrap();
        let manifest = split(&key, &[1; 5000], 1000).unwrap().manifest;
        assert!(Manifest::parse(&manifest).is_some());
        assert!(Manifest::parse(&manifest[1..]).is_none() && Manifest::parse(&[]).is_none());
        for (at, byte) in [(0, 1), (1, 1), (4, 0), (23, 1)] {
            let mut other = manifest.clone();
            other[at] = byte;
            if at == 4 {
                other[4..8].fill(0);
            }
            assert!(Manifest::parse(&other).is_none(), "byte {at}");
        }
    }

    #[test]
    fn no_manifest_asks_for_more_keys_than_memory_has() {
        let key = FarKey::new("k").unwrap();
        let manifest = |part: u32, len: u64| {
            let mut manifest = split(&key, &[1; 5000], 1000).unwrap().manifest;
            manifest[4..8].copy_from_slice(&part.to_le_bytes());
            manifest[16..24].copy_from_slice(&len.to_le_bytes());
            manifest
        };
        assert_eq!(fuzzing::asked_for(&manifest(1000, 1000 * MOST_PARTS as u64)), Some(MOST_PARTS));
        for (part, len) in [(1000, 1000 * MOST_PARTS as u64 + 1), (1, LONGEST_RECORD), (LONGEST_PART as u32, u64::MAX)]
        {
            assert_eq!(fuzzing::asked_for(&manifest(part, len)), None, "{part}, {len}");
        }
        assert!(split(&key, &vec![0; MOST_PARTS + 1], 1).is_none() && split(&key, &[1], 0).is_none());
    }

    #[test]
    fn a_key_without_room_for_the_parts_names_cannot_be_split() {
        let key = FarKey::new("k".repeat(240)).unwrap();
        assert!(split(&key, &[0; 5000], 1000).is_none());
    }
}
