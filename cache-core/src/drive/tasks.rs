//! Performs a plan by awaiting.

use std::sync::Arc;

use super::call::Call;
use super::exchange::{missing_face, one, unasked};
use super::settle::Own;
use super::wait;
use crate::backend::AsyncBytesBackend;
use crate::board::{self, LedBy};
use crate::outcome::{Outcome, Sharing};
use crate::plan::{Answer, Land, Load, Plan, Step, Verdict};
use crate::wire::Wire;

/// Answers the call, with `load(arguments)` if it must. The call stays where it was made: it is large.
#[allow(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
pub(crate) fn drive<R, O, S, W, A, L, F>(
    mut call: Box<Call<R, O, S, W>>,
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
    async move {
        let far = call.state.far.as_ref().and_then(|far| far.tasks.clone());
        let mut plan = Plan::new(call.brief());
        match seek(&mut call, &mut plan, far.as_ref()).await {
            Ok(result) => result,
            // Boxed: who waits for the load of another needs no room for one of its own.
            Err(shared) => Box::pin(run(&mut call, &mut plan, shared, arguments, load, far.as_ref())).await,
        }
    }
}

/// Up to the answer, or to the load.
#[allow(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
fn seek<'a, R, O, S, W>(
    call: &'a mut Call<R, O, S, W>,
    plan: &'a mut Plan,
    far: Option<&'a Arc<dyn AsyncBytesBackend>>,
) -> impl Future<Output = Result<R, Load>> + use<'a, R, O, S, W>
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    async move {
        let mut step = plan.begin();
        loop {
            step = match step {
                Step::Look => plan.looked(call.look_in_turn(LedBy::Task)),
                Step::Join(joining) => plan.joined(call.join(joining, LedBy::Task)),
                Step::LookAgain => plan.looked_again(call.look_again()),
                Step::Validate => {
                    call.prepare();
                    let check = match (far, call.to_validate()) {
                        (Some(far), Some(keys)) => one(far.validate(keys, call.scopes()).await),
                        (None, _) => Err(missing_face()),
                        (_, None) => Err(unasked()),
                    };
                    plan.validated(call.validated(check))
                }
                Step::Read(recall) => {
                    call.prepare();
                    let seen = match (far, call.to_read(recall)) {
                        (Some(far), Some(read)) => one(far.read(&read).await),
                        (None, _) => Err(missing_face()),
                        (_, None) => Err(unasked()),
                    };
                    plan.read(call.seen(seen))
                }
                Step::Take(kept) => {
                    call.prepare();
                    let seen = match (far, call.to_take(kept)) {
                        (Some(far), Some(take)) => one(far.take(&[take], call.scopes()).await),
                        (None, _) => Err(missing_face()),
                        (_, None) => Err(unasked()),
                    };
                    plan.read(call.taken(seen))
                }
                Step::Follow(patience) => {
                    let wait = call.to_follow(LedBy::Task);
                    let landing = wait::follow_async(&call.state.clock, wait, patience).await;
                    plan.followed(call.followed(landing))
                }
                Step::Pause(pause) => {
                    let paused = wait::pause_async(&call.state.clock, pause).await;
                    let step = plan.paused(call.paused(paused));
                    call.observe_patience(step);
                    step
                }
                Step::HandBack => plan.settled(hand_back(call, far).await),
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
}

/// The load, and what comes after it.
async fn run<R, O, S, W, A, F>(
    call: &mut Call<R, O, S, W>,
    plan: &mut Plan,
    shared: Load,
    arguments: A,
    load: impl FnOnce(A) -> F,
    far: Option<&Arc<dyn AsyncBytesBackend>>,
) -> R
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
    F: Future<Output = R>,
{
    let result = match call.before_load(shared) {
        Some(flight) => {
            // Whatever runs before the future's first poll is part of the load too.
            let load = board::loading(&flight, || load(arguments));
            wait::loading(&flight, load).await
        }
        None => load(arguments).await,
    };
    let (loaded, own) = call.loaded(result);
    let step = plan.loaded(shared, loaded);
    settle(call, plan, step, own, far).await
}

/// From the load to the answer.
async fn settle<R, O, S, W>(
    call: &mut Call<R, O, S, W>,
    plan: &mut Plan,
    first: Step,
    own: Own<R, O>,
    far: Option<&Arc<dyn AsyncBytesBackend>>,
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
                    (Some(far), Some(fill)) => Some(one(far.fill(&[fill.as_fill()], call.scopes()).await)),
                    _ => None,
                };
                plan.settled(call.filled(filled))
            }
            Step::HandBack => plan.settled(hand_back(call, far).await),
            Step::Land(land) => {
                own = call.land(land, own);
                plan.landed(land)
            }
            Step::Done(answer) => return call.finish(answer, own),
            _ => return call.finish(Answer::Loaded, own),
        };
    }
}

async fn hand_back<R, O, S, W>(call: &mut Call<R, O, S, W>, far: Option<&Arc<dyn AsyncBytesBackend>>) -> Verdict
where
    O: Outcome<R>,
    O::Value: Clone + Send + Sync + 'static,
    S: Sharing<O::Failure>,
    W: Wire<O::Value>,
{
    let returned = match (far, call.to_hand_back()) {
        (Some(far), Some(claim)) => one(far.hand_back(&[claim], call.scopes()).await),
        (None, _) => Err(missing_face()),
        (_, None) => Err(unasked()),
    };
    call.handed_back(returned)
}
