//! A key that may stand in a command line.

use std::fmt;

use twox_hash::XxHash3_64;

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
            // All are looked at, so that many are looked at together.
            1..=LONGEST if !bytes.iter().fold(false, |any, byte| any | is_bad(*byte)) => Ok(Key(bytes)),
            1..=LONGEST => Err(BadKey::Byte(bytes.iter().copied().find(|byte| is_bad(*byte)).unwrap_or_default())),
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
        XxHash3_64::oneshot(self.0)
    }

    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Whether this byte would end the word or the line, or is one that no terminal shows.
fn is_bad(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
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
