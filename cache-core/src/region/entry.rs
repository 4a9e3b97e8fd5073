//! One entry of a cached function, with its types.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use super::bound::Bound;
use super::{Get, Invalidate, Set};
use crate::drive::Access;
use crate::error::Result;
use crate::key::Key;
use crate::policy::OwnPolicy;
use crate::wire::{Serde, Wire};

/// The entry of one call of a cached function that returns `R`: what its companion `NAME_entry` gives.
///
/// Where `R` is a `Result`, values are those of its `Ok`; else they are `R` itself (see [`WholeEntry`]).
pub struct Entry<R, W = Serde> {
    whole: WholeEntry<R, W>,
}

/// The entry of a function that keeps its whole result.
pub struct WholeEntry<R, W = Serde> {
    bound: Result<Option<Bound>, BoundError>,
    terms: EntryTerms,
    types: PhantomData<fn() -> (R, W)>,
}

/// An error that was met when the entry was made, told by each operation anew.
type BoundError = std::sync::Arc<crate::error::Error>;

/// What the function says of its entries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EntryTerms {
    pub(crate) policy: OwnPolicy,
    pub(crate) version: u16,
}

impl<R, W> Entry<R, W> {
    pub(crate) fn new(bound: Result<Option<Bound>>, terms: EntryTerms) -> Self {
        Entry { whole: WholeEntry { bound: bound.map_err(BoundError::new), terms, types: PhantomData } }
    }
}

impl<T, E, W: Wire<T>> Entry<std::result::Result<T, E>, W>
where
    T: Clone + Send + Sync + 'static,
{
    /// Reads the value that is kept, if it is fresh. Nothing is loaded.
    pub fn get(&self) -> Get<T, W> {
        Get::new(self.access())
    }

    /// Stores `value` as if the function had returned `Ok(value)`.
    pub fn set(&self, value: T) -> Set<T, W> {
        Set::new(self.access(), value)
    }
}

impl<R, W> Deref for Entry<R, W> {
    type Target = WholeEntry<R, W>;

    fn deref(&self) -> &WholeEntry<R, W> {
        &self.whole
    }
}

impl<R, W: Wire<R>> WholeEntry<R, W>
where
    R: Clone + Send + Sync + 'static,
{
    /// Reads the value that is kept, if it is fresh. Nothing is loaded.
    pub fn get(&self) -> Get<R, W> {
        Get::new(self.access())
    }

    /// Stores `value` as if the function had returned it.
    pub fn set(&self, value: R) -> Set<R, W> {
        Set::new(self.access(), value)
    }
}

impl<R, W> WholeEntry<R, W> {
    /// Makes the entry unreachable: whoever calls the function after this returned gets a value whose load began later.
    pub fn invalidate(&self) -> Invalidate {
        Invalidate::key(self.bound())
    }

    /// The key; `None` in a region that is switched off.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`](crate::error::Kind::Unconfigured) and [`Kind::Key`](crate::error::Kind::Key).
    pub fn key(&self) -> Result<Option<Key>> {
        Ok(self.bound()?.map(|bound| bound.key))
    }

    fn bound(&self) -> Result<Option<Bound>> {
        self.bound.clone().map_err(|error| error.again())
    }

    fn access(&self) -> Result<Option<Access>> {
        self.bound()?.map(|bound| bound.access(self.terms)).transpose()
    }
}

impl<R, W> fmt::Debug for Entry<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

impl<R, W> fmt::Debug for WholeEntry<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bound {
            Ok(Some(bound)) => write!(f, "Entry({:?})", bound.key),
            Ok(None) => f.write_str("Entry(off)"),
            Err(error) => write!(f, "Entry({error})"),
        }
    }
}
