//! Operations of a client as values: made at once, done when awaited or waited for.

#[cfg(feature = "tokio")]
use std::future::Future;
#[cfg(feature = "tokio")]
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll, ready};

#[cfg(feature = "tokio")]
use smallvec::SmallVec;

use super::said::Said;
use crate::backend::Memcached;
#[cfg(feature = "tokio")]
use crate::tasks::{Size, Talk};

/// An operation of a [`Client`](super::Client) that comes to a `T`. It does nothing until it is awaited, or until
/// [`wait`](Operation::wait) is called; the time that it has begins then.
///
/// Awaited, it needs tokio, and the feature `tokio`. A future that is dropped after its first poll may or may not have
/// been carried out.
#[must_use = "an operation does nothing until it is awaited or `.wait()` is called"]
pub struct Operation<'a, T> {
    client: &'a Memcached,
    verb: &'static str,
    said: Said<'a>,
    read: fn(Said<'a>, &Memcached) -> T,
    #[cfg(feature = "tokio")]
    talks: Option<SmallVec<[Talk<'a>; 1]>>,
}

impl<'a, T> Operation<'a, T> {
    pub(super) fn new(
        client: &'a Memcached,
        verb: &'static str,
        said: Said<'a>,
        read: fn(Said<'a>, &Memcached) -> T,
    ) -> Self {
        Operation {
            client,
            verb,
            said,
            read,
            #[cfg(feature = "tokio")]
            talks: None,
        }
    }

    /// The 32 bits that are kept beside the value, where this stores one. Default 0.
    pub fn client_flags(mut self, client_flags: u32) -> Self {
        self.said.set_client_flags(client_flags);
        self
    }

    /// Does it in this thread, within [`io_timeout`](crate::Config::io_timeout).
    ///
    /// # Errors
    ///
    /// Where `T` is or holds a `Result`: [`Kind::Key`](cache_core::error::Kind::Key) for a key that memcached would not
    /// take, [`Kind::Config`](cache_core::error::Kind::Config) for an [`Expiry`](super::Expiry) that it would take for
    /// something else, [`Kind::Backend`](cache_core::error::Kind::Backend) if the node did not do it, and
    /// [`Kind::Unanswered`](cache_core::error::Kind::Unanswered) if it did not say so in time: then it may have been done.
    pub fn wait(mut self) -> T {
        self.client.say_now(self.client.errand(self.verb), &mut self.said.parts);
        (self.read)(self.said, self.client)
    }
}

#[cfg(feature = "tokio")]
impl<T> Future for Operation<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Operation { client, verb, said, read, talks } = self.get_mut();
        let talks = talks.get_or_insert_with(|| {
            let errand = client.errand(verb);
            let size = if said.is_large(client.sizes()) { Size::Large } else { Size::Small };
            said.go_in_waves(client.at_once());
            said.parts.iter().map(|_| Talk::new(client, errand, size)).collect()
        });
        ready!(Talk::poll_all(talks, &mut said.parts, cx));
        said.note_size(client.sizes());
        let said = std::mem::replace(said, Said::new());
        Poll::Ready(read(said, client))
    }
}
