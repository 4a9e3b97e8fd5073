//! What the attribute's output may touch. It is no part of the public interface.

use std::future::Future;

pub use crate::key::{KeyArgument, KeyBuffer, KeyWriter};
pub use crate::outcome::{
    Alone, OkOnly, OutcomeOfOther, OutcomeOfResult, Returns, Shared, SharedBy, SharingOfClone, SharingOfOther, Whole,
    WholeUnlessResult,
};
pub use crate::policy::OwnPolicy;
pub use crate::region::{Entry, Invalidate, Region};
pub use crate::site::{Site, SiteSpec};
pub use crate::state::TagList;
pub use crate::terms::Terms;
pub use crate::wire::{NearOnly, Serde, Wire};
pub use crate::writer::{Exits, MaybeOk};

use crate::error::{Error, Kind};
use crate::observe::Count;
use crate::outcome::{Outcome, Sharing};
use crate::region::{Bound, EntryTerms};
use crate::serve::{self, Served, untagged};
use crate::writer;

/// A call of a cached function.
#[inline]
pub fn call<R, O, S, W, A>(
    site: &'static Site,
    region: &Region,
    key: &mut KeyWriter<'_>,
    terms: Terms<R, O, S, W>,
    arguments: A,
    load: impl FnOnce(A) -> R,
) -> R
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    call_tagged(site, region, key, terms, untagged, arguments, load)
}

/// The same for a function whose entries have tags, rendered from the arguments if the near tier does not answer.
#[inline]
pub fn call_tagged<R, O, S, W, A>(
    site: &'static Site,
    region: &Region,
    key: &mut KeyWriter<'_>,
    terms: Terms<R, O, S, W>,
    tags: impl FnOnce(&A, &mut TagList),
    arguments: A,
    load: impl FnOnce(A) -> R,
) -> R
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    serve::blocking(region, &Served::Site(site), key, terms, tags, arguments, load)
}

/// A call of a cached async function. The near tier is asked before the future is returned.
#[inline]
pub fn call_async<R, O, S, W, A, L, F>(
    site: &'static Site,
    region: &Region,
    key: &mut KeyWriter<'_>,
    terms: Terms<R, O, S, W>,
    arguments: A,
    load: L,
) -> impl Future<Output = R> + use<R, O, S, W, A, L, F>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
    L: FnOnce(A) -> F,
    F: Future<Output = R>,
{
    call_async_tagged(site, region, key, terms, untagged, arguments, load)
}

/// The async twin of [`call_tagged`].
#[inline]
pub fn call_async_tagged<R, O, S, W, T, A, L, F>(
    site: &'static Site,
    region: &Region,
    key: &mut KeyWriter<'_>,
    terms: Terms<R, O, S, W>,
    tags: T,
    arguments: A,
    load: L,
) -> impl Future<Output = R> + use<R, O, S, W, T, A, L, F>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
    T: FnOnce(&A, &mut TagList),
    L: FnOnce(A) -> F,
    F: Future<Output = R>,
{
    serve::tasks(region, &Served::Site(site), key, terms, tags, arguments, load)
}

/// The entry of a call: the companion `NAME_entry`.
pub fn entry<R, W>(site: &'static Site, region: &Region, key: &mut KeyWriter<'_>, wire: W) -> Entry<R, W> {
    entry_tagged(site, region, key, wire, |_| {})
}

/// The same for a function whose entries have tags.
pub fn entry_tagged<R, W>(
    site: &'static Site,
    region: &Region,
    key: &mut KeyWriter<'_>,
    _wire: W,
    tags: impl FnOnce(&mut TagList),
) -> Entry<R, W> {
    let spec = site.spec();
    let bound = region.configured().and_then(|state| {
        let Some(state) = state else { return Ok(None) };
        let namespace = state.namespace(spec.namespace);
        let key = key.finish().map_err(|error| {
            state.observe(&namespace, Count::KeyError, None);
            let error = Error::new(Kind::Key, error.to_string());
            error.with("region", region.name()).with("function", spec.function)
        })?;
        Ok(Some(Bound { namespace, key: key.to_key(), state }))
    });
    let mut list = TagList::default();
    tags(&mut list);
    Entry::new(bound, EntryTerms { policy: spec.policy, version: spec.version, tags: list })
}

/// A call of a function that writes: runs its body, and then, however that ended, invalidates the targets.
pub fn write<R, A, const N: usize>(
    writer: &'static str,
    targets: [Invalidate; N],
    exits: Exits<R>,
    arguments: A,
    body: impl FnOnce(A) -> R,
) -> R {
    writer::blocking(writer, targets, exits, arguments, body)
}

/// A call of an async function that writes.
pub fn write_async<R, A, L, F, const N: usize>(
    writer: &'static str,
    targets: [Invalidate; N],
    exits: Exits<R>,
    arguments: A,
    body: L,
) -> impl Future<Output = R> + use<R, A, L, F, N>
where
    L: FnOnce(A) -> F,
    F: Future<Output = R>,
{
    writer::tasks(writer, targets, exits, arguments, body)
}

/// What a target of a writer comes to: a call of a cached function, by its entry.
pub fn target<R, W>(entry: Entry<R, W>) -> Invalidate {
    entry.invalidate()
}
