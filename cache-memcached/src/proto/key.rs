//! A key that may stand in a command line.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// The longest key, in bytes.
const LONGEST: usize = 250;

/// A key that memcached takes for one word, and for nothing but a key.
///
/// It is checked before any byte is sent: a server that gets a longer one does not swallow the value behind it, and
/// runs that value as commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    /// Checks a key: 1 to 250 bytes, none of them a blank, a control character or DEL.
    ///
    /// # Errors
    ///
    /// [`BadKey`], which says what is wrong.
    pub fn new(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Self, BadKey> {
        let bytes = bytes.as_ref();
        match bytes.len() {
            0 => Err(BadKey::Empty),
            1..=LONGEST => match bytes.iter().find(|byte| **byte <= b' ' || **byte == 0x7f) {
                Some(byte) => Err(BadKey::Byte(*byte)),
                None => Ok(Key(bytes)),
            },
            long => Err(BadKey::Long(long)),
        }
    }

    /// A key that was checked by these rules when it was made.
    pub(crate) fn checked_before(text: &'a str) -> Self {
        debug_assert!(Key::new(text).is_ok(), "{text:?} is no key");
        Key(text.as_bytes())
    }

    /// XXH3-64 of the bytes: what a [`Reply`](super::Reply) to the classic `get` tells of its key.
    pub fn hash(self) -> u64 {
        xxh3_64(self.0)
    }

    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Why a key cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadKey {
    /// It has no byte.
    Empty,
    /// It has this many bytes, more than 250.
    Long(usize),
    /// It holds this byte, which would end the word or the line.
    Byte(u8),
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadKey::Empty => f.write_str("a memcached key has at least one byte"),
            BadKey::Long(length) => write!(f, "a memcached key has at most {LONGEST} bytes, not {length}"),
            BadKey::Byte(byte) => {
                write!(f, "a memcached key has no blanks and no control characters; this one holds byte 0x{byte:02x}")
            }
        }
    }
}

impl std::error::Error for BadKey {}
