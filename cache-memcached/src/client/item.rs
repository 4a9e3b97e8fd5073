//! What a client reads and writes: items, how long they live, and what becomes of them.

use std::time::Duration;

use cache_core::error::{Error, Kind, Result};

use crate::operations::{LONGEST, whole_seconds};

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// The value's bytes.
    pub value: Vec<u8>,
    /// The 32 bits that whoever stored the value left beside it; 0 unless that was another client, or
    /// [`Operation::client_flags`](super::Operation::client_flags) was used.
    pub client_flags: u32,
    /// What [`compare_and_set`](super::Client::compare_and_set) needs. None from a server that runs without (`-C`), and
    /// none for values that were read by [`get_many`](super::Client::get_many).
    pub cas: Option<u64>,
}

/// How long a value lives in memcached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Until memcached needs the room. It has to be asked for, as most values that never expire were meant to.
    Never,
    /// So long, in whole seconds, rounded down: from 2 s, since a value of 1 s may be gone at once, to 30 days, which is
    /// where memcached begins to read the number as a date.
    After(Duration),
}

impl From<Duration> for Expiry {
    fn from(duration: Duration) -> Self {
        Expiry::After(duration)
    }
}

impl Expiry {
    /// As memcached takes it.
    pub(super) fn seconds(self) -> Result<u32> {
        let refused = |why: &str, duration: Duration| {
            Err(Error::new(
                Kind::Config,
                format!("a value cannot live {duration:?}: {why}; or ask for `Expiry::Never`"),
            ))
        };
        match self {
            Expiry::Never => Ok(0),
            Expiry::After(short) if short < SHORTEST => refused(
                "memcached counts whole seconds, and one of a second may be gone at once; 2 s is the least",
                short,
            ),
            Expiry::After(long) if long > LONGEST => {
                refused("beyond 30 days memcached takes a time to live for a date", long)
            }
            Expiry::After(duration) => Ok(whole_seconds(duration)),
        }
    }
}

const SHORTEST: Duration = Duration::from_secs(2);

/// What became of a value that was to be stored under a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Stored,
    /// It is not: there was a value ([`add`](super::Client::add)) or there was none (the others).
    NotStored,
    /// It is not: the value was changed since its CAS was read.
    Changed,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_life_is_from_two_seconds_to_thirty_days_or_for_ever() {
        let seconds = |duration| Expiry::After(duration).seconds();
        assert_eq!(Expiry::Never.seconds().unwrap(), 0);
        assert_eq!(seconds(Duration::from_secs(2)).unwrap(), 2);
        assert_eq!(seconds(Duration::from_millis(2999)).unwrap(), 2);
        assert_eq!(seconds(LONGEST).unwrap(), 2_592_000);
        let short = seconds(Duration::from_millis(1999)).unwrap_err();
        assert_eq!(short.kind(), Kind::Config);
        assert!(short.to_string().contains("1.999s") && short.to_string().contains("2 s"), "{short}");
        let long = seconds(LONGEST + Duration::from_secs(1)).unwrap_err().to_string();
        assert!(long.contains("30 days") && long.contains("Expiry::Never"), "{long}");
        assert!(seconds(Duration::ZERO).is_err(), "it would live for ever");
    }
}
