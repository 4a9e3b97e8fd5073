//! Performs the plans of many keys in the calling thread.

use std::sync::Arc;

use super::{Asking, CallOfMany, Many, Outcome};
use crate::backend::{BytesBackend, Fill, Recall};
use crate::board::{self, LedBy};
use crate::drive::exchange::missing_face;
use crate::drive::wait;
use crate::error::Result;
use crate::key::FarKey;
use crate::wire::Wire;

/// Answers the calls. `load` is given the places of those that are to be loaded, and gives a value for each, or `None` if
/// it failed.
pub(crate) fn drive<V, W>(
    calls: Vec<Box<CallOfMany<V, W>>>,
    mut load: impl FnMut(&[usize]) -> Option<Vec<V>>,
) -> Vec<Outcome<V>>
where
    V: Clone + Send + Sync + 'static,
    W: Wire<V>,
{
    let shared = calls.first().map(|call| (call.state.clone(), call.scopes().to_vec()));
    let far = shared.as_ref().and_then(|(state, _)| state.far.as_ref()).and_then(|far| far.blocking.clone());
    let scopes = shared.as_ref().map_or(&[][..], |(_, scopes)| scopes);
    let mut many = Many::new(calls, LedBy::Thread);
    while many.advance() {
        if exchange(&mut many, far.as_ref(), scopes) {
            continue;
        }
        let (loading, flight) = many.to_load();
        if !loading.is_empty() {
            let values = match flight {
                Some(flight) => board::loading(&flight, || load(&loading.at)),
                None => load(&loading.at),
            };
            many.loaded(&loading, values);
            continue;
        }
        if many.has_failed() {
            break;
        }
        if !many.begin_to_wait() {
            continue;
        }
        if let (Some(pause), Some((state, _))) = (many.to_pause(), &shared) {
            let paused = wait::pause(&state.clock, pause);
            many.paused(paused);
            continue;
        }
        // Nobody who waits here leads anything, so there is no circle.
        if let Some(mut following) = many.to_follow() {
            let (wait, left) = (following.wait(), following.left);
            let landing = wait::follow(following.clock(), wait, left);
            following.followed(landing);
        }
        many.end_waits();
    }
    many.into_ends()
}

/// One request for each thing that is asked of the far tier. Whether anything was.
fn exchange<V, W>(many: &mut Many<V, W>, far: Option<&Arc<dyn BytesBackend>>, scopes: &[FarKey]) -> bool
where
    V: Clone + Send + Sync + 'static,
    W: Wire<V>,
{
    let mut any = false;
    let asked = many.to_validate();
    if !asked.is_empty() {
        let checks = match far {
            Some(far) => far.validate(&asked.what, scopes),
            None => missing(&asked),
        };
        many.validated(&asked.at, checks);
        any = true;
    }
    for recall in [Recall::Allowed, Recall::Never] {
        let asked = many.to_read(recall);
        if !asked.is_empty() {
            let seen = match (far, many.read_of(&asked, recall)) {
                (Some(far), Some(read)) => far.read(&read),
                _ => missing(&asked),
            };
            many.read(&asked.at, seen);
            any = true;
        }
    }
    let Asking { at, what } = many.to_take();
    if !at.is_empty() {
        let seen = match far {
            Some(far) => far.take(&what, scopes),
            None => Vec::new(),
        };
        many.taken(&at, seen);
        any = true;
    }
    let asked = many.to_fill();
    if !asked.is_empty() {
        let fills: Vec<Fill<'_>> = asked.what.iter().map(|fill| fill.as_fill()).collect();
        let filled = match far {
            Some(far) => far.fill(&fills, scopes),
            None => Vec::new(),
        };
        many.filled(&asked.at, filled);
        any = true;
    }
    let Asking { at, what } = many.to_hand_back();
    if !at.is_empty() {
        let returned = match far {
            Some(far) => far.hand_back(&what, scopes),
            None => Vec::new(),
        };
        many.handed_back(&at, returned);
        any = true;
    }
    many.settle_unasked();
    any
}

fn missing<T, A>(asked: &Asking<T>) -> Vec<Result<A>> {
    asked.at.iter().map(|_| Err(missing_face())).collect()
}
