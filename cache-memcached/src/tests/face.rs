//! Either face of a backend, asked about one key at a time.

use std::time::Duration;

use cache_core::backend::{
    BytesBackend, Check, Fill, Filled, HandBack, Invalidated, Kept, Lease, Read, Recall, Returned, Seen, Strength,
    Take, Token,
};
use cache_core::error::Result;
use cache_core::key::FarKey;

use super::region;
use crate::{Client, Item, Memcached};

/// One way to ask.
pub(super) enum Face {
    Waiting(Memcached),
    #[cfg(feature = "tokio")]
    Awaiting(Memcached, tokio::runtime::Runtime),
}

/// Asks by the face's own trait.
macro_rules! ask {
    ($face:ident.$method:ident($($argument:expr),*)) => {
        match $face {
            Face::Waiting(far) => BytesBackend::$method(far, $($argument),*),
            #[cfg(feature = "tokio")]
            Face::Awaiting(far, runtime) => {
                runtime.block_on(cache_core::backend::AsyncBytesBackend::$method(far, $($argument),*))
            }
        }
    };
}

impl Face {
    #[cfg(feature = "tokio")]
    pub(super) fn awaiting(far: Memcached) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Face::Awaiting(far, runtime)
    }

    pub(super) fn far(&self) -> &Memcached {
        match self {
            Face::Waiting(far) => far,
            #[cfg(feature = "tokio")]
            Face::Awaiting(far, _) => far,
        }
    }

    pub(super) fn read(&self, key: &FarKey) -> Result<Seen> {
        self.read_in(key, &[region()])
    }

    pub(super) fn read_in(&self, key: &FarKey, scopes: &[FarKey]) -> Result<Seen> {
        let (keys, lease) = (std::slice::from_ref(key), Lease::Claim(Duration::from_secs(30)));
        ask!(self.read(&Read { keys, scopes, lease, grace: Duration::ZERO, recall: Recall::Never })).remove(0)
    }

    pub(super) fn fill(&self, key: &FarKey, token: Token, record: &[u8]) -> Result<Filled> {
        let fill = Fill { key, record, token, keep: Some(Duration::from_secs(60)), grace: Duration::ZERO };
        ask!(self.fill(&[fill], &[region()])).remove(0)
    }

    pub(super) fn take(&self, key: &FarKey, token: Token) -> Result<Seen> {
        let take = Take { key, token, kept: Kept::Stale, lease: Duration::from_secs(30) };
        ask!(self.take(&[take], &[region()])).remove(0)
    }

    pub(super) fn hand_back(&self, key: &FarKey, token: Token) -> Result<Returned> {
        ask!(self.hand_back(&[HandBack { key, token, kept: Kept::Stub }], &[region()])).remove(0)
    }

    pub(super) fn validate(&self, key: &FarKey) -> Result<Check> {
        ask!(self.validate(std::slice::from_ref(key), &[region()])).remove(0)
    }

    pub(super) fn invalidate(&self, key: &FarKey, strength: Strength) -> Invalidated {
        ask!(self.invalidate(std::slice::from_ref(key), strength, &region())).remove(0)
    }

    pub(super) fn bump(&self, scope: &FarKey) -> Invalidated {
        ask!(self.bump(std::slice::from_ref(scope), &region())).remove(0)
    }

    /// What the client for plain values gets.
    pub(super) fn get_many(&self, keys: &[String]) -> Vec<Result<Option<Item>>> {
        let client = Client::over(self.far().clone());
        match self {
            Face::Waiting(_) => client.get_many(keys).wait(),
            #[cfg(feature = "tokio")]
            Face::Awaiting(_, runtime) => runtime.block_on(client.get_many(keys)),
        }
    }
}
