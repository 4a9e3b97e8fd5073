//! The hash of a key, made of its values while they are written: of what is in registers, for bytes that were just put
//! together in memory would have to be waited for.
//!
//! Invariant: it is a function of the canonical bytes alone. Whoever writes them hands each value to [`KeyHash`] in the
//! order in which the bytes stand, and [`KeyHash::read`], which takes the values out of the bytes, comes to the same.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::quality::{FoldHasher, RandomState};

use super::writer::{significant_bytes, split, tag, text};

/// What was hashed so far. It is seeded anew in each process: keys that an attacker chose do not collide on purpose.
#[derive(Clone)]
pub(super) struct KeyHash(FoldHasher<'static>);

impl KeyHash {
    /// Of a key in `namespace`, without its arguments.
    #[inline(always)]
    pub(super) fn begin(namespace: &str) -> Self {
        static SEED: OnceLock<RandomState> = OnceLock::new();
        let mut hash = SEED.get_or_init(RandomState::default).build_hasher();
        hash.write(namespace.as_bytes());
        KeyHash(hash)
    }

    /// Of a key as it stands.
    pub(super) fn of(key: &[u8]) -> Self {
        let (namespace, arguments) = split(key);
        let mut hash = KeyHash::begin(namespace);
        hash.read(arguments);
        hash
    }

    /// A tag that says all.
    #[inline(always)]
    pub(super) fn tag(&mut self, tag: u8) {
        self.0.write_u8(tag);
    }

    /// A number: of an integer, the tag is the one of its sign.
    #[inline(always)]
    pub(super) fn number(&mut self, tag: u8, value: u64) {
        self.0.write_u64(value);
        self.0.write_u8(tag);
    }

    /// An integer that needs more than 64 bits.
    pub(super) fn wide_number(&mut self, tag: u8, value: u128) {
        self.number(tag, value as u64);
        self.number(tag, (value >> 64) as u64);
    }

    #[inline(always)]
    pub(super) fn text(&mut self, tag: u8, text: &[u8]) {
        self.0.write(text);
        self.0.write_u8(tag);
    }

    #[inline(always)]
    pub(super) fn finish(&self) -> u64 {
        self.0.finish()
    }

    /// Canonical values, as they stand in a key. What is not canonical ends it.
    pub(super) fn read(&mut self, values: &[u8]) {
        let mut rest = values;
        while let Some(after) = self.read_tag(rest) {
            rest = after;
        }
    }

    /// What stands before the next tag.
    fn read_tag<'a>(&mut self, values: &'a [u8]) -> Option<&'a [u8]> {
        let (&first, after) = values.split_first()?;
        match first {
            tag::STRING | tag::VARIANT | tag::UNIT_VARIANT => {
                let (text, after) = text(after)?;
                self.text(first, text);
                Some(after)
            }
            tag::FLOAT => {
                let (bits, after) = after.split_first_chunk()?;
                self.number(first, u64::from_le_bytes(*bits));
                Some(after)
            }
            tag::END..=tag::MAP => {
                self.tag(first);
                Some(after)
            }
            _ => {
                let significant = significant_bytes(first)?;
                let (bytes, after) = after.split_at_checked(significant)?;
                let mut word = [0; 16];
                word[..significant].copy_from_slice(bytes);
                let (sign, value) = (first - significant as u8, u128::from_le_bytes(word));
                match u64::try_from(value) {
                    Ok(value) => self.number(sign, value),
                    Err(_) => self.wide_number(sign, value),
                }
                Some(after)
            }
        }
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyHash({:016x})", self.finish())
    }
}
