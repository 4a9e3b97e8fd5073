//! What the attribute's output may touch. It is no part of the public interface.

use std::future::Future;

pub use crate::key::{KeyArgument, KeyWriter};
pub use crate::outcome::{
    Alone, OkOnly, OutcomeOfOther, OutcomeOfResult, Returns, Shared, SharedBy, SharingOfClone, SharingOfOther, Whole,
};
pub use crate::policy::OwnPolicy;
pub use crate::region::{Entry, Region};
pub use crate::site::{Site, SiteSpec};
pub use crate::terms::Terms;
pub use crate::wire::{NearOnly, Serde, Wire};

use crate::error::{Error, Kind};
use crate::outcome::{Outcome, Sharing};
use crate::region::{Bound, EntryTerms};
use crate::serve::{self, Served};

/// A call of a cached function.
#[inline]
pub fn call<R, O, S, W, A>(
    site: &'static Site,
    region: &Region,
    key: &mut KeyWriter,
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
    serve::blocking(region, &Served::Site(site), key, terms, arguments, load)
}

/// A call of a cached async function. The near tier is asked before the future is returned.
#[inline]
pub fn call_async<R, O, S, W, A, L, F>(
    site: &'static Site,
    region: &Region,
    key: &mut KeyWriter,
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
    serve::tasks(region, &Served::Site(site), key, terms, arguments, load)
}

/// The entry of a call: the companion `NAME_entry`.
pub fn entry<R, W>(site: &'static Site, region: &Region, key: &mut KeyWriter, _wire: W) -> Entry<R, W> {
    let spec = site.spec();
    let bound = region.configured().and_then(|state| {
        let Some(state) = state else { return Ok(None) };
        let key = key.finish().map_err(|error| {
            let error = Error::new(Kind::Key, error.to_string());
            error.with("region", region.name()).with("function", spec.function)
        })?;
        Ok(Some(Bound { namespace: state.namespace(spec.namespace), key: key.to_key(), state }))
    });
    Entry::new(bound, EntryTerms { policy: spec.policy, version: spec.version })
}
