//! A region without the attribute: by the name of a namespace and the arguments as one value, `("bob", 0)` or `42`.

mod many;
mod namespace;

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::drive::Access;
use crate::error::Result;
use crate::key::KeyBuffer;
use crate::outcome::{self, Alone, OkOnly, Returns};
use crate::region::{Bound, BoundKeys, BoundScope, EntryTerms, FlushPending, Get, Invalidate, Region, Set, Whole};
use crate::serve::{self, Served, untagged};
use crate::state::RegionState;
use crate::terms::Terms;
use crate::wire::Serde;

pub use namespace::Namespace;

impl Region {
    /// Reads the value under `arguments`, if it is fresh. Nothing is loaded.
    pub fn get<V>(&self, namespace: &str, arguments: impl Serialize) -> Get<V>
    where
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        Get::new(self.access(namespace, &arguments))
    }

    /// Stores `value` under `arguments`.
    pub fn set<V>(&self, namespace: &str, arguments: impl Serialize, value: V) -> Set<V>
    where
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        Set::new(self.access(namespace, &arguments), value)
    }

    /// Makes the entry under `arguments` unreachable: the one that a cached function with these arguments made, whatever
    /// the integers' width or the strings' type. One argument may stand without its tuple.
    pub fn invalidate(&self, namespace: &str, arguments: impl Serialize) -> Invalidate {
        Invalidate::key(Bound::by_name(self, namespace, &arguments))
    }

    /// Makes the entries under many `ids` unreachable, by one request to each node. Each id is what would be given to
    /// [`invalidate`](Region::invalidate).
    pub fn invalidate_multi<A: Serialize>(&self, namespace: &str, ids: impl IntoIterator<Item = A>) -> Invalidate {
        Invalidate::keys(BoundKeys::by_name(self, namespace, ids))
    }

    /// Makes every entry of `namespace` unreachable. Its cost grows with the nodes, not with the entries.
    pub fn invalidate_namespace(&self, namespace: &str) -> Invalidate {
        Invalidate::scope(self.scope(|state| Whole::Namespace(state.namespace(namespace))))
    }

    /// Makes every entry with `tag` unreachable, in whichever namespace of the region. Its cost grows with the nodes, not
    /// with the entries.
    pub fn invalidate_tag(&self, tag: impl Display) -> Invalidate {
        Invalidate::scope(self.scope(|_| Whole::Tag(tag.to_string())))
    }

    /// Makes every entry of the region unreachable, and empties the near tier.
    pub fn clear(&self) -> Invalidate {
        Invalidate::scope(self.scope(|_| Whole::Region))
    }

    /// Waits until the invalidations are done that answered [`Kind::Pending`](crate::error::Kind::Pending), or whose
    /// caller did not wait for the answer.
    pub fn flush_pending(&self) -> FlushPending {
        FlushPending::new(self.configured())
    }

    /// The value under `arguments`; what `load` returns if there is none. Only its `Ok` is kept.
    ///
    /// # Errors
    ///
    /// What `load` returned; trouble of the cache itself is no error here.
    pub fn get_or_create<V, E>(
        &self,
        namespace: &str,
        arguments: impl Serialize,
        load: impl FnOnce() -> std::result::Result<V, E>,
    ) -> std::result::Result<V, E>
    where
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        let terms = Terms::new(Returns::new(), OkOnly, Alone, Serde);
        serve::blocking(
            self,
            &Served::direct(namespace),
            &mut KeyBuffer::new().call(namespace, &arguments),
            terms,
            untagged,
            (),
            |()| load(),
        )
    }

    /// The same for a `load` that returns a value: whatever it is, also an `Err`, is kept.
    pub fn get_or_create_value<V>(&self, namespace: &str, arguments: impl Serialize, load: impl FnOnce() -> V) -> V
    where
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        let terms = Terms::new(Returns::new(), outcome::Whole, Alone, Serde);
        serve::blocking(
            self,
            &Served::direct(namespace),
            &mut KeyBuffer::new().call(namespace, &arguments),
            terms,
            untagged,
            (),
            |()| load(),
        )
    }

    /// The async twin of [`get_or_create`](Region::get_or_create).
    ///
    /// # Errors
    ///
    /// What `load` resolved to.
    pub fn get_or_create_async<V, E, A, L, F>(
        &self,
        namespace: &str,
        arguments: A,
        load: L,
    ) -> impl Future<Output = std::result::Result<V, E>> + use<V, E, A, L, F>
    where
        A: Serialize,
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
        L: FnOnce() -> F,
        F: Future<Output = std::result::Result<V, E>>,
    {
        let terms = Terms::new(Returns::new(), OkOnly, Alone, Serde);
        let mut buffer = KeyBuffer::new();
        let mut key = buffer.call(namespace, &arguments);
        serve::tasks(self, &Served::direct(namespace), &mut key, terms, untagged, (), |()| load())
    }

    /// The async twin of [`get_or_create_value`](Region::get_or_create_value).
    pub fn get_or_create_value_async<V, A, L, F>(
        &self,
        namespace: &str,
        arguments: A,
        load: L,
    ) -> impl Future<Output = V> + use<V, A, L, F>
    where
        A: Serialize,
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
        L: FnOnce() -> F,
        F: Future<Output = V>,
    {
        let terms = Terms::new(Returns::new(), outcome::Whole, Alone, Serde);
        let mut buffer = KeyBuffer::new();
        let mut key = buffer.call(namespace, &arguments);
        serve::tasks(self, &Served::direct(namespace), &mut key, terms, untagged, (), |()| load())
    }

    fn access(&self, namespace: &str, arguments: &impl Serialize) -> Result<Option<Access>> {
        let bound = Bound::by_name(self, namespace, arguments)?;
        bound.map(|bound| bound.access(EntryTerms::default())).transpose()
    }

    fn scope(&self, whole: impl FnOnce(&RegionState) -> Whole) -> Result<Option<BoundScope>> {
        let Some(state) = self.configured()? else { return Ok(None) };
        Ok(Some(BoundScope { whole: whole(&state), state }))
    }
}
