//! What a server tells about itself when a connection is made.

use crate::batch::Batch;
use crate::proto::{Broken, Code, Features, Key, Reply, Request, Version};
use crate::trouble::Trouble;

/// What an item takes beside its key and value: header, CAS, two separators, and client flags (memcached on 64 bits).
const ITEM_OVERHEAD: usize = 48 + 8 + 1 + 2 + 4;
/// The longest key: the limit is told for it, so that it holds for every key.
const LONGEST_KEY: usize = 250;

/// One server, as it described itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) version: Version,
    pub(crate) features: Features,
    /// Whether items have a CAS (not with `-C`): without, nothing can be fenced.
    pub(crate) cas: bool,
    /// The largest value that it takes, in bytes. It deletes the old value when it refuses a larger one.
    pub(crate) largest_value: usize,
}

impl Server {
    /// The largest value that it takes, if this request would store a larger one.
    pub(crate) fn limit_of(&self, request: &Request<'_>) -> Option<usize> {
        match request {
            Request::Set(set) if set.value.len() > self.largest_value => Some(self.largest_value),
            _ => None,
        }
    }

    /// What is asked on every new connection, before anything else.
    pub(crate) fn question() -> Batch {
        let mut batch = Batch::default();
        batch.push(&Request::Version);
        batch.push(&Request::Stats(Some(Key::checked_before("settings"))));
        batch
    }

    /// Reads the answer to the question.
    pub(crate) fn introduce(replies: &[Reply]) -> Result<Self, Trouble> {
        let Some(Code::Version(version)) = replies.first().map(|reply| reply.code.clone()) else {
            let begins = replies.first().map(|reply| format!("{:?}", reply.code)).unwrap_or_default();
            return Err(Trouble::Broken(Broken { why: "the server does not tell its version", begins }));
        };
        let features = Features::of(version).ok_or(Trouble::TooOld(version))?;
        let setting = |name: &str| {
            replies.iter().find_map(|reply| match &reply.code {
                Code::Stat(stat) if stat.0 == name => Some(stat.1.as_str()),
                _ => None,
            })
        };
        let item_size_max = setting("item_size_max").and_then(|text| text.parse().ok()).unwrap_or(1 << 20);
        Ok(Server {
            version,
            features,
            cas: setting("cas_enabled") != Some("no"),
            largest_value: usize::saturating_sub(item_size_max, ITEM_OVERHEAD + LONGEST_KEY),
        })
    }
}

/// What is parsed with before the version is known: the question's replies carry no opaque.
pub(crate) const ANY: Features = Features { fenced_delete: false, opaque_on_miss: false };

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::inbox::{Inbox, OF_ONE};
    use crate::replies::{Absorbed, Replies};

    fn answered(text: &str) -> Result<Server, Trouble> {
        let mut inbox = Inbox::of(OF_ONE);
        inbox.receive(text.as_bytes());
        let (mut replies, awaited) = (Replies::default(), Server::question().awaited);
        assert_eq!(replies.absorb(&awaited, &mut inbox, ANY).map_err(Trouble::Broken)?, Absorbed::Complete);
        let mut whole = Vec::new();
        replies.take(&mut whole);
        Server::introduce(&whole)
    }

    #[test]
    fn a_server_tells_its_version_its_limit_and_whether_it_has_a_cas() {
        let settings = "STAT maxbytes 67108864\r\nSTAT item_size_max 1048576\r\nSTAT cas_enabled yes\r\nEND\r\n";
        let server = answered(&format!("VERSION 1.6.18\r\n{settings}")).unwrap();
        // A value of 1,048,263 bytes under a key of 250 bytes with client flags is the largest that 1.6.18 took.
        assert_eq!((server.largest_value, server.cas), (1_048_263, true));
        assert!(server.features.opaque_on_miss);
        let server = answered("VERSION 1.6.12\r\nSTAT cas_enabled no\r\nEND\r\n").unwrap();
        assert_eq!((server.cas, server.features.fenced_delete), (false, false));
        assert_eq!(server.largest_value, 1_048_263, "memcached's default where the limit is not told");
    }

    #[test]
    fn what_is_no_usable_memcached_is_told_apart() {
        let old = answered("VERSION 1.5.22\r\nEND\r\n").unwrap_err();
        assert!(old.to_string().contains("1.5.22 is too old: at least 1.6.10"), "{old}");
        let web = answered("HTTP/1.1 400 Bad Request\r\nServer: x\r\n").unwrap_err();
        assert!(web.to_string().contains("`HTTP/1.1 400 Bad Request`"), "{web}");
        let full = answered("ERROR Too many open connections\r\n").unwrap_err();
        assert!(full.to_string().contains("Too many open connections"), "{full}");
    }
}
