//! The way of a call: the near hit in a straight line, everything else behind it.
//!
//! A near hit takes no lock, allocates nothing, reads the coarse clock once and writes to no shared cache line but the
//! visited mark of its entry.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::board::is_loading;
use crate::drive::{self, Call, Subject};
use crate::key::{KeyError, KeyRef, KeyWriter};
use crate::observe::Count;
use crate::outcome::{Outcome, Sharing};
use crate::plan::Tiers;
use crate::reach::Reach;
use crate::region::{EntryTerms, Region, StateRef};
use crate::site::Site;
use crate::state::{Gate, NamespaceState, RegionState, TagList, ValueType};
use crate::terms::{Ask, Terms};
use crate::wire::Wire;

/// Whose results are served.
pub(crate) enum Served<'a> {
    /// A cached function's.
    Site(&'a Site),
    /// A namespace's, by name.
    Direct { namespace: &'a str },
}

impl<'a> Served<'a> {
    pub(crate) fn direct(namespace: &'a str) -> Self {
        Served::Direct { namespace }
    }

    fn namespace(&self, state: &StateRef<'_>) -> Arc<NamespaceState> {
        match self {
            Served::Site(site) => site.namespace(state),
            Served::Direct { namespace } => state.as_arc().namespace(namespace),
        }
    }

    /// The namespace in a region, if it was found there before.
    #[inline]
    fn remembered(&self, state: &Arc<RegionState>) -> Option<&'a Arc<NamespaceState>> {
        match self {
            Served::Site(site) => site.remembered(state),
            Served::Direct { .. } => None,
        }
    }

    /// How old the proof of a near copy may be for the function, if it says so itself.
    #[inline]
    fn max_staleness(&self) -> Option<Duration> {
        match self {
            Served::Site(site) => site.spec().policy.max_staleness,
            Served::Direct { .. } => None,
        }
    }

    fn terms(&self) -> EntryTerms {
        match self {
            Served::Site(site) => {
                EntryTerms { policy: site.spec().policy, version: site.spec().version, tags: TagList::default() }
            }
            Served::Direct { .. } => EntryTerms::default(),
        }
    }
}

/// A call whose entry has no tags.
pub(crate) fn untagged<A>(_: &A, _: &mut TagList) {}

/// Answers a blocking call. `tags` renders the tags of its entry, if the near tier does not answer.
#[inline]
pub(crate) fn blocking<R, O, S, W, A>(
    region: &Region,
    served: &Served<'_>,
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
    match probe(region, served, key, terms, |list| tags(&arguments, list), Face::Blocking) {
        Probed::Hit(value) => O::succeed(value),
        Probed::Miss(call) => drive::blocking::drive(call, arguments, load),
        Probed::Through => load(arguments),
    }
}

/// Answers an async call. The near tier is asked at once, and what is left of the future is small.
#[inline]
pub(crate) fn tasks<R, O, S, W, T, A, L, F>(
    region: &Region,
    served: &Served<'_>,
    key: &mut KeyWriter<'_>,
    terms: Terms<R, O, S, W>,
    tags: T,
    arguments: A,
    load: L,
) -> impl Future<Output = R> + use<R, O, S, W, T, A, L, F>
where
    T: FnOnce(&A, &mut TagList),
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
    L: FnOnce(A) -> F,
    F: Future<Output = R>,
{
    match probe(region, served, key, terms, |list| tags(&arguments, list), Face::Tasks) {
        Probed::Hit(value) => Answering::Ready(Some(O::succeed(value))),
        Probed::Miss(call) => Answering::Cold(Box::pin(drive::tasks::drive(call, arguments, load))),
        Probed::Through => Answering::Through(Box::pin(async move { load(arguments).await })),
    }
}

/// The future of an async call: the hit itself, or a pointer to everything else.
enum Answering<R, C, T> {
    Ready(Option<R>),
    Cold(Pin<Box<C>>),
    /// The function alone.
    Through(Pin<Box<T>>),
}

/// Nothing in it is pinned but what is boxed.
impl<R, C, T> Unpin for Answering<R, C, T> {}

impl<R, C: Future<Output = R>, T: Future<Output = R>> Future for Answering<R, C, T> {
    type Output = R;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        match &mut *self {
            Answering::Ready(result) => result.take().map_or(Poll::Pending, Poll::Ready),
            Answering::Cold(cold) => cold.as_mut().poll(cx),
            Answering::Through(function) => function.as_mut().poll(cx),
        }
    }
}

/// What the near tier had to say.
pub(crate) enum Probed<V, C> {
    Hit(V),
    Miss(Box<C>),
    /// The cache is not asked.
    Through,
}

/// How the caller waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Blocking,
    Tasks,
}

/// Asks the near tier. Where the region and the namespace are remembered, the way is straight to it.
#[inline]
pub(crate) fn probe<R, O, S, W>(
    region: &Region,
    served: &Served<'_>,
    key: &mut KeyWriter<'_>,
    terms: Terms<R, O, S, W>,
    tags: impl FnOnce(&mut TagList),
    face: Face,
) -> Probed<O::Value, Call<R, O, S, W>>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let remembered = region.remembered().and_then(|state| Some((state, served.remembered(state)?)));
    match (key.finish(), remembered) {
        (Ok(key), Some((state, namespace))) => match near_hit(state, namespace, key, served, &terms) {
            Some(value) => Probed::Hit(value),
            None => miss(served, state, namespace, key, terms, tags, face),
        },
        (key, _) => find(region, served, key, terms, tags, face),
    }
}

/// The same where they must be looked up first.
#[cold]
fn find<R, O, S, W>(
    region: &Region,
    served: &Served<'_>,
    key: Result<KeyRef<'_>, KeyError>,
    terms: Terms<R, O, S, W>,
    tags: impl FnOnce(&mut TagList),
    face: Face,
) -> Probed<O::Value, Call<R, O, S, W>>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let Some(state) = region.state() else {
        region.complain_unconfigured();
        return Probed::Through;
    };
    let (namespace, state) = (served.namespace(&state), state.as_arc());
    match key {
        Ok(key) => match near_hit(state, &namespace, key, served, &terms) {
            Some(value) => Probed::Hit(value),
            None => miss(served, state, &namespace, key, terms, tags, face),
        },
        Err(error) => key_error(state, &namespace, &error),
    }
}

/// The near tier's value, if these terms ask for one and it serves.
#[inline(always)]
fn near_hit<R, O, S, W>(
    state: &RegionState,
    namespace: &NamespaceState,
    key: KeyRef<'_>,
    served: &Served<'_>,
    terms: &Terms<R, O, S, W>,
) -> Option<O::Value>
where
    O: Outcome<R>,
    O::Value: Clone + 'static,
    W: Wire<O::Value>,
{
    let near = state.near.as_deref().filter(|_| terms.ask == Ask::Cache && state.is_open())?;
    // What is kept near only, or where the near tier is the only one, is never in doubt.
    let bound = match W::REACH {
        Reach::Everywhere if state.far.is_some() => terms.max_staleness.or(served.max_staleness()),
        _ => None,
    };
    let now = state.clock.now_or_just_after();
    let mut hit = None;
    near.visit(key, &mut |object| {
        let serves = match bound {
            Some(bound) => object.serves_within(bound, now),
            None => object.serves(now),
        };
        if serves {
            hit = object.value().downcast_ref::<O::Value>().cloned();
        }
    });
    if hit.is_some() {
        // What a load reads becomes part of another value, for longer than this one would be: it is read strictly.
        if state.far.is_some() && is_loading() {
            return None;
        }
        namespace.counters.near_hit();
    }
    hit
}

#[cold]
fn miss<R, O, S, W>(
    served: &Served<'_>,
    state: &Arc<RegionState>,
    namespace: &Arc<NamespaceState>,
    key: KeyRef<'_>,
    terms: Terms<R, O, S, W>,
    tags: impl FnOnce(&mut TagList),
    face: Face,
) -> Probed<O::Value, Call<R, O, S, W>>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let through = |why: std::fmt::Arguments<'_>| {
        state.observe(namespace, Count::Bypass, Some(why));
        Probed::Through
    };
    if terms.ask == Ask::Function {
        return through(format_args!("`when` did not hold"));
    }
    if state.gate() != Gate::Open {
        return through(format_args!("the region is paused or switched off"));
    }
    let Some(tiers) = state.tiers_within(W::REACH) else {
        let name = namespace.name();
        state.complain("near_only", name, format_args!("`{name}` is `near_only`, and its region has no near tier"));
        return through(format_args!("the function is `near_only`, and there is no near tier"));
    };
    if let (Some(far), true) = (&state.far, tiers != Tiers::Near) {
        let (there, how) = match face {
            Face::Blocking => (far.blocking.is_some(), "blocking"),
            Face::Tasks => (far.tasks.is_some(), "async"),
        };
        if !there {
            let name = namespace.name();
            state.complain("face", name, format_args!("the far tier has no {how} face: `{name}` runs uncached"));
            return through(format_args!("the far tier has no {how} face"));
        }
    }
    if let Served::Site(site) = served {
        if O::is_mistaken() {
            let function = site.spec().function;
            state.complain(
                "outcome",
                function,
                format_args!(
                    "`{function}` runs uncached: it returns a `Result` that its signature does not show, and an `Err` \
                     would be kept; let it return `Result<T, E>` to keep what is `Ok`, or write `outcome = whole`"
                ),
            );
            return through(format_args!("the function returns a `Result` that its signature does not show"));
        }
        register::<O::Value>(site, state, namespace, key);
    }
    let own = served.terms();
    let own_policy = match state.policy_of(&own.policy) {
        Ok(own_policy) => own_policy,
        Err(error) => {
            let name = namespace.name();
            state.complain("policy", name, format_args!("`{name}` runs uncached, for it cannot be kept so: {error}"));
            return through(format_args!("{error}"));
        }
    };
    let mut list = TagList::default();
    tags(&mut list);
    let (state, namespace, tagged) = (state.clone(), namespace.clone(), state.tagged(namespace, &list));
    let subject = Subject { state, namespace, key, tiers, own_policy, version: own.version, tagged };
    Probed::Miss(Box::new(Call::begin(subject, terms)))
}

/// Notes the function and the shape of its arguments, so that calls by name that cannot reach it are told.
fn register<V: 'static>(site: &Site, state: &RegionState, namespace: &NamespaceState, key: KeyRef<'_>) {
    let shape = || key.arguments().shape_of_call(site.spec().arguments.len());
    if namespace.register(site.spec().function, site.address(), ValueType::of::<V>(), shape).is_some() {
        state.complain_of_types(namespace);
    }
}

#[cold]
fn key_error<V, C>(state: &RegionState, namespace: &NamespaceState, error: &KeyError) -> Probed<V, C> {
    state.observe(namespace, Count::KeyError, Some(format_args!("{error}")));
    state.complain("key", namespace.name(), format_args!("`{}` runs uncached: {error}", namespace.name()));
    Probed::Through
}
