//! A namespace whose arguments and values have types, for use without the attribute.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::region::{Get, Invalidate, Region, Set};

/// A namespace of a region whose arguments are `A` and whose values are `V`, for use without the attribute.
///
/// ```
/// use cache_core::direct::Namespace;
/// use cache_core::region::Region;
///
/// static LONG_TERM: Region = Region::named("long_term");
/// static USERS: Namespace<(u64,), String> = LONG_TERM.namespace("users");
/// # let _ = &USERS;
/// ```
pub struct Namespace<A, V> {
    region: &'static Region,
    name: &'static str,
    types: PhantomData<fn(A) -> V>,
}

impl Region {
    /// The namespace `name`, with types.
    pub const fn namespace<A, V>(&'static self, name: &'static str) -> Namespace<A, V> {
        Namespace { region: self, name, types: PhantomData }
    }
}

impl<A: Serialize, V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Namespace<A, V> {
    /// See [`Region::get`].
    pub fn get(&self, arguments: &A) -> Get<V> {
        self.region.get(self.name, arguments)
    }

    /// See [`Region::set`].
    pub fn set(&self, arguments: &A, value: V) -> Set<V> {
        self.region.set(self.name, arguments, value)
    }

    /// See [`Region::invalidate`].
    pub fn invalidate(&self, arguments: &A) -> Invalidate {
        self.region.invalidate(self.name, arguments)
    }

    /// See [`Region::invalidate_multi`].
    pub fn invalidate_multi(&self, arguments: impl IntoIterator<Item = A>) -> Invalidate {
        self.region.invalidate_multi(self.name, arguments)
    }

    /// See [`Region::invalidate_namespace`].
    pub fn invalidate_all(&self) -> Invalidate {
        self.region.invalidate_namespace(self.name)
    }

    /// See [`Region::get_or_create`].
    ///
    /// # Errors
    ///
    /// What `load` returned.
    pub fn get_or_create<E>(&self, arguments: &A, load: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        self.region.get_or_create(self.name, arguments, load)
    }

    /// See [`Region::get_or_create_value`].
    pub fn get_or_create_value(&self, arguments: &A, load: impl FnOnce() -> V) -> V {
        self.region.get_or_create_value(self.name, arguments, load)
    }

    /// See [`Region::get_or_create_async`].
    ///
    /// # Errors
    ///
    /// What `load` resolved to.
    pub async fn get_or_create_async<E, F>(&self, arguments: &A, load: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        self.region.get_or_create_async(self.name, arguments, load).await
    }

    /// See [`Region::get_or_create_value_async`].
    pub async fn get_or_create_value_async<F: Future<Output = V>>(&self, arguments: &A, load: impl FnOnce() -> F) -> V {
        self.region.get_or_create_value_async(self.name, arguments, load).await
    }
}

impl<A, V> Namespace<A, Option<V>>
where
    A: Serialize + Clone + Eq + Hash,
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    /// See [`Region::get_or_create_multi`].
    ///
    /// # Errors
    ///
    /// What `load` returned.
    pub fn get_or_create_multi<E, Rows: IntoIterator<Item = (A, V)>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        load: impl FnMut(Vec<A>) -> Result<Rows, E>,
    ) -> Result<Vec<Option<V>>, E> {
        self.region.get_or_create_multi(self.name, arguments, load)
    }

    /// See [`Region::get_or_create_multi_async`].
    ///
    /// # Errors
    ///
    /// What `load` resolved to.
    pub async fn get_or_create_multi_async<E, Rows: IntoIterator<Item = (A, V)>, F>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        load: impl FnMut(Vec<A>) -> F,
    ) -> Result<Vec<Option<V>>, E>
    where
        F: Future<Output = Result<Rows, E>>,
    {
        self.region.get_or_create_multi_async(self.name, arguments, load).await
    }
}

impl<A, V> fmt::Debug for Namespace<A, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({}:{})", self.region.name(), self.name)
    }
}
