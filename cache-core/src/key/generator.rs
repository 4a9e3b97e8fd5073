//! Turns a key into the string that a far backend stores under.

use crate::error::{Error, Kind};

/// A key as a far backend takes it: 1 to 250 bytes, none of them a blank or a control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FarKey(Box<str>);

impl FarKey {
    /// Checks that memcached would take `text` as one key.
    ///
    /// # Errors
    ///
    /// [`Kind::Key`] if it is empty, longer than 250 bytes, or has a byte up to 0x20 or 0x7f.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, Error> {
        let text = text.into();
        if text.is_empty() || text.len() > 250 || text.bytes().any(|byte| byte <= 0x20 || byte == 0x7f) {
            return Err(Error::new(Kind::Key, "not a legal memcached key"));
        }
        Ok(FarKey(text))
    }

    /// The key as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
/// x
pub trait KeyGenerator {}
/// x
pub struct ReadableKeys;
/// x
pub struct Sha1Keys;
