//! STUB for building the attribute against; replaced by the real file at the merge. Signatures are fixed.
#![allow(missing_docs, unused_variables)]
pub use crate::key::{KeyArgument, KeyWriter};
pub use crate::outcome::{Alone, OkOnly, OutcomeOfOther, OutcomeOfResult, Returns, Shared, SharedBy, SharingOfClone, SharingOfOther, Whole};
pub use crate::site::{Entry, NearOnly, Region, Serde, Site, SiteSpec, Terms, Wire};
use crate::outcome::{Outcome, Sharing};
use std::future::Future;

pub fn call<R, O, S, W, A>(site: &'static Site, region: &Region, key: &mut KeyWriter, terms: Terms<R, O, S, W>, arguments: A, load: impl FnOnce(A) -> R) -> R
where O: Outcome<R>, O::Value: Clone + Send + Sync + 'static, S: Sharing<O::Failure>, W: Wire<O::Value> {
    load(arguments)
}

/// The real one probes the near tier at once (not at the first poll), so the key and the site must not be held across the await:
/// write `{ static ..; let mut key = ..; rt::call_async(..) }.await`. `call_async` itself is NOT an async fn.
pub fn call_async<R, O, S, W, A, L, F>(site: &'static Site, region: &Region, key: &mut KeyWriter, terms: Terms<R, O, S, W>, arguments: A, load: L) -> impl Future<Output = R> + use<R, O, S, W, A, L, F>
where O: Outcome<R>, O::Value: Clone + Send + Sync + 'static, S: Sharing<O::Failure>, W: Wire<O::Value>, L: FnOnce(A) -> F, F: Future<Output = R> {
    load(arguments)
}

/// The companion `NAME_entry`.
pub fn entry<R, W>(site: &'static Site, region: &Region, key: &mut KeyWriter, wire: W) -> Entry<R, W> { Entry::new() }

/// For a function whose result type is a type parameter or shows one: `outcome = ok | whole` was written.
pub const fn returns_of<R, F: FnOnce() -> R>(_: &F) -> Returns<R> { Returns::new() }
