//! memcached itself: plain values under plain keys, for programs that want a client and no regions.

mod item;
mod operation;
mod said;

use std::collections::BTreeMap;
use std::fmt;

use cache_core::backend::NodeStats;
use cache_core::clock::Clock;
use cache_core::config::BackendUrl;
use cache_core::error::{Error, Kind, Result};

pub use item::{Expiry, Item, Stored};
pub use operation::Operation;

use crate::backend::Memcached;
use crate::config::Config;
use crate::proto::{Arithmetic, Code, Delete, Get, Key, Mode, Reply, Request, Set};
use said::{Read, Said};

/// A client of memcached. Clones share its connections.
///
/// Each method gives an [`Operation`], which is awaited under tokio, or done by [`wait`](Operation::wait) in a thread of
/// any kind. Keys are routed as the backend routes them, and nodes that do not answer are left alone in the same way:
/// with all regions of the process that use them. An operation that fails is not repeated, but for one whose connection
/// ended before a byte of the reply came: what is not the same when it is done twice may then have been done twice.
///
/// A plain `set` that comes late, after a `delete` that came after it, brings the old value back; and so does one by a
/// program that read its source before. Regions have fences against that, and this client has
/// [`compare_and_set`](Client::compare_and_set).
///
/// ```no_run
/// use std::time::Duration;
/// use cache_memcached::Client;
///
/// # fn main() -> Result<(), cache_core::error::Error> {
/// let client = Client::from_url("memcached://10.0.0.1,10.0.0.2")?;
/// client.set("greeting", b"hello", Duration::from_secs(60)).wait()?;
/// let item = client.get("greeting").wait()?.map(|item| item.value);
/// assert_eq!(item.as_deref(), Some(b"hello".as_slice()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    memcached: Memcached,
}

/// What a server tells of itself, by the name of each figure.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerStats {
    /// The node, as errors name it.
    pub node: String,
    /// What it told, or why it did not.
    pub stats: Result<BTreeMap<String, String>>,
}

impl Client {
    /// A client of the nodes of `config`. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if there is no node, or a setting is not allowed.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Client { memcached: Memcached::new(config, Clock::System)? })
    }

    /// A client as another process would have it.
    #[cfg(test)]
    pub(crate) fn over(memcached: Memcached) -> Self {
        Client { memcached }
    }

    /// The same from a URL as regions have it: `memcached://host:port,host?io_timeout=100ms`.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if it is no such URL, or a parameter is unknown or not allowed.
    pub fn from_url(url: &str) -> Result<Self> {
        Client::new(Config::from_url(&BackendUrl::parse(url)?)?)
    }

    /// Reads a value; `None` if there is none.
    pub fn get<'a>(&'a self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Operation<'a, Result<Option<Item>>> {
        let get = |key| Ok(Request::Get(Get { value: true, tags: true, ..Get::new(key) }));
        self.one("get", key, get, |said, client| said.one(client, Item::of))
    }

    /// Reads many values, in the order of their keys. All nodes are asked at the same time; where one fails, its keys are
    /// errors and the others are not.
    pub fn get_many<'a, K: AsRef<[u8]> + 'a>(
        &'a self,
        keys: impl IntoIterator<Item = &'a K>,
    ) -> Operation<'a, Vec<Result<Option<Item>>>> {
        let keys = keys.into_iter();
        let mut said = self.of_many(&keys);
        keys.for_each(|key| said.get(&self.memcached, checked(key)));
        Operation::new(&self.memcached, "get_many", said, Said::found)
    }

    /// Reads a value and gives it another life; `None` if there is none.
    pub fn get_and_touch<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        expiry: impl Into<Expiry>,
    ) -> Operation<'a, Result<Option<Item>>> {
        let seconds = expiry.into().seconds();
        let get = |key| Ok(Request::Get(Get { value: true, tags: true, touch: Some(seconds?), ..Get::new(key) }));
        self.one("get_and_touch", key, get, |said, client| said.one(client, Item::of))
    }

    /// Gives a value another life, without reading it. Whether there is one.
    pub fn touch<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        expiry: impl Into<Expiry>,
    ) -> Operation<'a, Result<bool>> {
        let seconds = expiry.into().seconds();
        let get = |key| Ok(Request::Get(Get { touch: Some(seconds?), ..Get::new(key) }));
        self.one("touch", key, get, |said, client| said.one(client, was_there))
    }

    /// Stores a value, whatever is there.
    pub fn set<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
        expiry: impl Into<Expiry>,
    ) -> Operation<'a, Result<()>> {
        self.one("set", key, set(value, expiry, Mode::Set, None), |said, client| said.one(client, done))
    }

    /// Stores many values, whatever is there. One answer for each, in their order.
    pub fn set_many<'a, K: AsRef<[u8]> + 'a, V: AsRef<[u8]> + 'a>(
        &'a self,
        values: impl IntoIterator<Item = (&'a K, &'a V)>,
        expiry: impl Into<Expiry>,
    ) -> Operation<'a, Vec<Result<()>>> {
        let (values, expiry) = (values.into_iter(), expiry.into());
        let mut said = self.of_many(&values);
        values.for_each(|(key, value)| self.say(&mut said, key, set(value, expiry, Mode::Set, None)));
        Operation::new(&self.memcached, "set_many", said, |said, client| said.each(client, done))
    }

    /// Stores a value if there is none.
    pub fn add<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
        expiry: impl Into<Expiry>,
    ) -> Operation<'a, Result<Stored>> {
        self.one("add", key, set(value, expiry, Mode::Add, None), |said, client| said.one(client, stored))
    }

    /// Stores a value if there is one.
    pub fn replace<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
        expiry: impl Into<Expiry>,
    ) -> Operation<'a, Result<Stored>> {
        self.one("replace", key, set(value, expiry, Mode::Replace, None), |said, client| said.one(client, stored))
    }

    /// Stores a value if the one that is there still is the one that was read with this [`cas`](Item::cas).
    pub fn compare_and_set<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
        expiry: impl Into<Expiry>,
        cas: u64,
    ) -> Operation<'a, Result<Stored>> {
        // Without CAS a server tells 0, and takes it for no condition at all.
        let fence = if cas == 0 { Err(no_fence()) } else { Ok(cas) };
        let set = set(value, expiry, Mode::Set, fence.as_ref().ok().copied());
        let fenced = |key| fence.and_then(|_| set(key));
        self.one("compare_and_set", key, fenced, |said, client| said.one(client, stored))
    }

    /// Puts bytes behind a value that is there. It keeps its life.
    pub fn append<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> Operation<'a, Result<Stored>> {
        self.one("append", key, set(value, Expiry::Never, Mode::Append, None), |said, client| said.one(client, stored))
    }

    /// Puts bytes before a value that is there. It keeps its life.
    pub fn prepend<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> Operation<'a, Result<Stored>> {
        self.one("prepend", key, set(value, Expiry::Never, Mode::Prepend, None), |said, client| {
            said.one(client, stored)
        })
    }

    /// Adds to a value that is a number in decimal; it wraps at 2^64. The new number; `None` if there is no value.
    pub fn increment<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        by: u64,
    ) -> Operation<'a, Result<Option<u64>>> {
        self.one("increment", key, arithmetic(by, false), |said, client| said.one(client, number))
    }

    /// Subtracts from a value that is a number in decimal; it stops at 0. The new number; `None` if there is no value.
    pub fn decrement<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        by: u64,
    ) -> Operation<'a, Result<Option<u64>>> {
        self.one("decrement", key, arithmetic(by, true), |said, client| said.one(client, number))
    }

    /// Deletes a value. Whether there was one.
    pub fn delete<'a>(&'a self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Operation<'a, Result<bool>> {
        let delete = |key| Ok(Request::Delete(Delete::new(key)));
        self.one("delete", key, delete, |said, client| said.one(client, was_there))
    }

    /// Deletes many values. For each, in their order, whether there was one.
    pub fn delete_many<'a, K: AsRef<[u8]> + 'a>(
        &'a self,
        keys: impl IntoIterator<Item = &'a K>,
    ) -> Operation<'a, Vec<Result<bool>>> {
        let keys = keys.into_iter();
        let mut said = self.of_many(&keys);
        keys.for_each(|key| self.say(&mut said, key, |key| Ok(Request::Delete(Delete::new(key)))));
        Operation::new(&self.memcached, "delete_many", said, |said, client| said.each(client, was_there))
    }

    /// What each server tells of itself: the figures of memcached's `stats`.
    pub fn stats(&self) -> Operation<'_, Vec<ServerStats>> {
        self.all_stats(None)
    }

    /// The figures of one kind: `items`, `slabs`, `settings`, `conns`.
    ///
    /// A kind that cannot be sent is an error of each node.
    pub fn stats_of<'a>(&'a self, kind: &'a str) -> Operation<'a, Vec<ServerStats>> {
        self.all_stats(Some(kind))
    }

    fn all_stats<'a>(&'a self, kind: Option<&'a str>) -> Operation<'a, Vec<ServerStats>> {
        let mut said = Said::new();
        for node in 0..self.memcached.nodes().count() {
            said.request(node, kind.map(checked).transpose().map(Request::Stats));
        }
        Operation::new(&self.memcached, "stats", said, |said, client| {
            let names = client.nodes().iter().map(|node| node.name.clone());
            names.zip(said.lists(client)).map(|(node, stats)| ServerStats { node, stats }).collect()
        })
    }

    /// What this process knows of each node: connections, timeouts, bytes, whether it is set aside. Nothing is asked.
    pub fn nodes(&self) -> Vec<NodeStats> {
        self.memcached.nodes().iter().map(|node| node.stats()).collect()
    }

    fn of_many<'a>(&self, asked: &impl Iterator) -> Said<'a> {
        Said::of_many(asked.size_hint().0, self.memcached.nodes().count())
    }

    fn one<'a, T>(
        &'a self,
        verb: &'static str,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        request: impl FnOnce(Key<'a>) -> Result<Request<'a>>,
        read: fn(Said<'a>, &Memcached) -> T,
    ) -> Operation<'a, T> {
        let mut said = Said::new();
        self.say(&mut said, key, request);
        Operation::new(&self.memcached, verb, said, read)
    }

    fn say<'a>(
        &self,
        said: &mut Said<'a>,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        request: impl FnOnce(Key<'a>) -> Result<Request<'a>>,
    ) {
        let node = self.memcached.owner_of(key.as_ref());
        said.request(node, checked(key).and_then(request));
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.memcached).finish()
    }
}

/// The key, which no error shows: it may hold what nobody should read.
fn checked<'a>(key: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Key<'a>> {
    Key::new(key).map_err(|bad| Error::new(Kind::Key, bad.to_string()))
}

fn set<'a>(
    value: &'a (impl AsRef<[u8]> + ?Sized),
    expiry: impl Into<Expiry>,
    mode: Mode,
    cas: Option<u64>,
) -> impl FnOnce(Key<'a>) -> Result<Request<'a>> {
    let seconds = expiry.into().seconds();
    move |key| Ok(Request::Set(Set { mode, cas, ttl: Some(seconds?), ..Set::new(key, value.as_ref()) }))
}

fn arithmetic<'a>(by: u64, is_negative: bool) -> impl FnOnce(Key<'a>) -> Result<Request<'a>> {
    move |key| Ok(Request::Arithmetic(Arithmetic { key, delta: by, is_negative, initial: None }))
}

fn no_fence() -> Error {
    Error::new(Kind::Backend, "a CAS of 0 is no fence: does the server run without (`-C`)?")
}

fn done(reply: Reply) -> Read<()> {
    if reply.code == Code::Done { Ok(()) } else { Err(reply.into()) }
}

fn was_there(reply: Reply) -> Read<bool> {
    match reply.code {
        Code::Done => Ok(true),
        Code::NotFound | Code::Missing => Ok(false),
        _ => Err(reply.into()),
    }
}

fn stored(reply: Reply) -> Read<Stored> {
    match reply.code {
        Code::Done => Ok(Stored::Stored),
        Code::NotStored | Code::NotFound => Ok(Stored::NotStored),
        Code::Changed => Ok(Stored::Changed),
        _ => Err(reply.into()),
    }
}

fn number(reply: Reply) -> Read<Option<u64>> {
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.trim_end().parse().ok();
    match (&reply.code, reply.value.as_deref().and_then(number)) {
        (Code::Value, Some(number)) => Ok(Some(number)),
        (Code::NotFound, _) => Ok(None),
        _ => Err(reply.into()),
    }
}
