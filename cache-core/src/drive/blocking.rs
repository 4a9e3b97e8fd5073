//! Performs a plan in the caller's thread.

use std::sync::Arc;

use super::call::Call;
use super::exchange::{missing_face, one, unasked};
use super::settle::Own;
use super::wait;
use crate::backend::BytesBackend;
use crate::board::{self, LedBy};
use crate::outcome::{Outcome, Sharing};
use crate::plan::{Answer, Land, Load, Plan, Step, Verdict};
use crate::wire::Wire;

/// Answers the call, with `load(arguments)` if it must. The call stays where it was made: it is large.
pub(crate) fn drive<R, O, S, W, A>(mut call: Box<Call<R, O, S, W>>, arguments: A, load: impl FnOnce(A) -> R) -> R
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let far = call.state.far.as_ref().and_then(|far| far.blocking.clone());
    let mut plan = Plan::new(call.brief());
    match seek(&mut call, &mut plan, far.as_ref()) {
        Ok(result) => result,
        Err(shared) => run(&mut call, &mut plan, shared, arguments, load, far.as_ref()),
    }
}

/// Up to the answer, or to the load.
fn seek<R, O, S, W>(
    call: &mut Call<R, O, S, W>,
    plan: &mut Plan,
    far: Option<&Arc<dyn BytesBackend>>,
) -> Result<R, Load>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let mut step = plan.begin();
    loop {
        step = match step {
            Step::Look => plan.looked(call.look_in_turn(LedBy::Thread)),
            Step::Join(joining) => plan.joined(call.join(joining, LedBy::Thread)),
            Step::LookAgain => plan.looked_again(call.look_again()),
            Step::Validate => {
                call.prepare();
                let check = match (far, call.to_validate()) {
                    (Some(far), Some(keys)) => one(far.validate(keys, call.scopes())),
                    (None, _) => Err(missing_face()),
                    (_, None) => Err(unasked()),
                };
                plan.validated(call.validated(check))
            }
            Step::Read(recall) => {
                call.prepare();
                let seen = match (far, call.to_read(recall)) {
                    (Some(far), Some(read)) => one(far.read(&read)),
                    (None, _) => Err(missing_face()),
                    (_, None) => Err(unasked()),
                };
                plan.read(call.seen(seen))
            }
            Step::Take(kept) => {
                call.prepare();
                let seen = match (far, call.to_take(kept)) {
                    (Some(far), Some(take)) => one(far.take(&[take], call.scopes())),
                    (None, _) => Err(missing_face()),
                    (_, None) => Err(unasked()),
                };
                plan.read(call.taken(seen))
            }
            Step::Follow(patience) => {
                let wait = call.to_follow(LedBy::Thread);
                let landing = wait::follow(&call.state.clock, wait, patience);
                plan.followed(call.followed(landing))
            }
            Step::Pause(pause) => {
                let paused = wait::pause(&call.state.clock, pause);
                let step = plan.paused(call.paused(paused));
                call.observe_patience(step);
                step
            }
            Step::HandBack => plan.settled(hand_back(call, far)),
            Step::Land(Land::Found) => {
                call.land_found();
                plan.landed(Land::Found)
            }
            Step::Load(load) => return Err(load),
            Step::Done(answer) => return call.found(answer).ok_or(Load::Alone),
            Step::Fill | Step::Land(_) => return Err(Load::Alone),
        };
    }
}

/// The load, and what comes after it.
fn run<R, O, S, W, A>(
    call: &mut Call<R, O, S, W>,
    plan: &mut Plan,
    shared: Load,
    arguments: A,
    load: impl FnOnce(A) -> R,
    far: Option<&Arc<dyn BytesBackend>>,
) -> R
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let result = match call.before_load(shared) {
        Some(flight) => board::loading(&flight, || load(arguments)),
        None => load(arguments),
    };
    let (loaded, own) = call.loaded(result);
    let step = plan.loaded(shared, loaded);
    settle(call, plan, step, own, far)
}

/// From the load to the answer.
fn settle<R, O, S, W>(
    call: &mut Call<R, O, S, W>,
    plan: &mut Plan,
    first: Step,
    own: Own<R, O>,
    far: Option<&Arc<dyn BytesBackend>>,
) -> R
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let (mut step, mut own) = (first, own);
    loop {
        step = match step {
            Step::Fill => {
                let filled = match (far, call.to_fill(&own)) {
                    (Some(far), Some(fill)) => Some(one(far.fill(&[fill.as_fill()], call.scopes()))),
                    _ => None,
                };
                plan.settled(call.filled(filled))
            }
            Step::HandBack => plan.settled(hand_back(call, far)),
            Step::Land(land) => {
                own = call.land(land, own);
                plan.landed(land)
            }
            Step::Done(answer) => return call.finish(answer, own),
            _ => return call.finish(Answer::Loaded, own),
        };
    }
}

fn hand_back<R, O, S, W>(call: &mut Call<R, O, S, W>, far: Option<&Arc<dyn BytesBackend>>) -> Verdict
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let returned = match (far, call.to_hand_back()) {
        (Some(far), Some(claim)) => one(far.hand_back(&[claim], call.scopes())),
        (None, _) => Err(missing_face()),
        (_, None) => Err(unasked()),
    };
    call.handed_back(returned)
}
