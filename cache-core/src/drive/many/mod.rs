//! Many keys at once: a plan for each, whose steps are performed together.
//!
//! Each key is decided by its own [`Plan`], as in a call for one. What the plans ask for is collected: one request for
//! all that are to be read, one run of the function for all that are to be loaded, one request for all that are to be
//! stored. Waiting for others comes last, when everything that was won is loaded and stored: so batches that overlap
//! load each key once, and never wait for each other in a circle.

pub(crate) mod blocking;
pub(crate) mod tasks;

use std::sync::Arc;

use super::call::Call;
use super::exchange::{Outgoing, unasked};
use super::settle::Own;
use super::wait::{Wait, Waited};
use crate::backend::{Check, Filled, HandBack, Read, Recall, Returned, Seen, Take};
use crate::board::{Flight, Landing, LedBy};
use crate::clock::{Clock, Tick};
use crate::error::{Error, Kind, Result};
use crate::key::FarKey;
use crate::outcome::{Alone, OkOnly};
use crate::plan::{Answer, Followed, Land, Load, Plan, Step};
use crate::wire::Wire;

/// A load of many keys failed: its error, which is one, is kept elsewhere.
#[derive(Debug)]
pub(crate) struct Failed;

/// What one key comes to.
pub(crate) type Outcome<V> = std::result::Result<V, Failed>;

/// The call for one key of many.
pub(crate) type CallOfMany<V, W> = Call<Outcome<V>, OkOnly, Alone, W>;

/// The calls for many keys of one namespace.
pub(super) struct Many<V: Clone + Send + Sync + 'static, W: Wire<V>> {
    members: Vec<Member<V, W>>,
    led_by: LedBy,
}

struct Member<V: Clone + Send + Sync + 'static, W: Wire<V>> {
    call: Box<CallOfMany<V, W>>,
    plan: Plan,
    /// What the plan asks for next.
    step: Step,
    /// What the load came to.
    own: Option<Own<Outcome<V>, OkOnly>>,
    /// When the wait for the flight in hand is over.
    follow_until: Option<Tick>,
    end: Option<Outcome<V>>,
}

/// The members that ask for one thing, by their places, and what each asks.
pub(super) struct Asking<T> {
    pub(super) at: Vec<usize>,
    pub(super) what: Vec<T>,
}

impl<T> Asking<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

#[allow(clippy::wrong_self_convention, reason = "`to_..` is what a step sends or waits for, as in `Call`")]
impl<V: Clone + Send + Sync + 'static, W: Wire<V>> Many<V, W> {
    pub(super) fn new(calls: Vec<Box<CallOfMany<V, W>>>, led_by: LedBy) -> Self {
        let member = |call: Box<CallOfMany<V, W>>| {
            let mut plan = Plan::new(call.brief());
            let step = plan.begin();
            Member { call, plan, step, own: None, follow_until: None, end: None }
        };
        Many { members: calls.into_iter().map(member).collect(), led_by }
    }

    /// Takes every step that waits for nobody. Whether anything is left to do.
    pub(super) fn advance(&mut self) -> bool {
        let led_by = self.led_by;
        self.members.iter_mut().for_each(|member| member.advance(led_by));
        self.members.iter().any(|member| member.end.is_none())
    }

    /// What each key came to, in order.
    pub(super) fn into_ends(self) -> Vec<Outcome<V>> {
        self.members.into_iter().map(|member| member.end.unwrap_or(Err(Failed))).collect()
    }

    /// The near copies that are to be asked about.
    pub(super) fn to_validate(&mut self) -> Asking<FarKey> {
        self.asking(|member| match member.step {
            Step::Validate => {
                member.call.prepare();
                Some(member.call.to_validate().and_then(<[FarKey]>::first).cloned())
            }
            _ => None,
        })
        .or_unasked(|at| self.validated(&[at], vec![Err(unasked())]))
    }

    pub(super) fn validated(&mut self, at: &[usize], answers: Vec<Result<Check>>) {
        self.answer(at, answers, |member, answer| member.plan.validated(member.call.validated(answer)));
    }

    /// The keys that are to be read with this recall.
    pub(super) fn to_read(&mut self, recall: Recall) -> Asking<FarKey> {
        self.asking(|member| match member.step {
            Step::Read(wanted) if wanted == recall => {
                member.call.prepare();
                Some(member.call.to_read(recall).and_then(|read| read.keys.first()).cloned())
            }
            _ => None,
        })
        .or_unasked(|at| self.read(&[at], vec![Err(unasked())]))
    }

    /// How all of `keys` are read: the calls have one policy.
    pub(super) fn read_of<'a>(&'a self, asking: &'a Asking<FarKey>, recall: Recall) -> Option<Read<'a>> {
        let first = self.members.get(*asking.at.first()?)?;
        first.call.to_read(recall).map(|read| Read { keys: &asking.what, ..read })
    }

    pub(super) fn read(&mut self, at: &[usize], answers: Vec<Result<Seen>>) {
        self.answer(at, answers, |member, answer| member.plan.read(member.call.seen(answer)));
    }

    pub(super) fn taken(&mut self, at: &[usize], answers: Vec<Result<Seen>>) {
        self.answer(at, answers, |member, answer| member.plan.read(member.call.taken(answer)));
    }

    /// The claims that are to be taken.
    pub(super) fn to_take(&mut self) -> Asking<Take<'_>> {
        for member in &mut self.members {
            if matches!(member.step, Step::Take(_)) {
                member.call.prepare();
            }
        }
        let (mut at, mut what) = (Vec::new(), Vec::new());
        for (place, member) in self.members.iter().enumerate() {
            if let Step::Take(kept) = member.step
                && let Some(take) = member.call.to_take(kept)
            {
                at.push(place);
                what.push(take);
            }
        }
        Asking { at, what }
    }

    /// The claims that are given back.
    pub(super) fn to_hand_back(&self) -> Asking<HandBack<'_>> {
        let (mut at, mut what) = (Vec::new(), Vec::new());
        for (place, member) in self.members.iter().enumerate() {
            if member.step == Step::HandBack
                && let Some(claim) = member.call.to_hand_back()
            {
                at.push(place);
                what.push(claim);
            }
        }
        Asking { at, what }
    }

    pub(super) fn handed_back(&mut self, at: &[usize], answers: Vec<Result<Returned>>) {
        self.answer(at, answers, |member, answer| member.plan.settled(member.call.handed_back(answer)));
    }

    /// The records that are to be stored. What cannot be stored is settled.
    pub(super) fn to_fill(&mut self) -> Asking<Outgoing> {
        let (mut at, mut what) = (Vec::new(), Vec::new());
        for (place, member) in self.members.iter_mut().enumerate() {
            let (Step::Fill, Some(own)) = (member.step, &member.own) else { continue };
            match member.call.to_fill(own) {
                Some(fill) => {
                    at.push(place);
                    what.push(fill);
                }
                None => member.step = member.plan.settled(member.call.filled(None)),
            }
        }
        Asking { at, what }
    }

    pub(super) fn filled(&mut self, at: &[usize], answers: Vec<Result<Filled>>) {
        self.answer(at, answers, |member, answer| member.plan.settled(member.call.filled(Some(answer))));
    }

    /// What could not be asked, because it has no far form, is answered here.
    pub(super) fn settle_unasked(&mut self) {
        for member in self.members.iter_mut().filter(|member| member.end.is_none()) {
            match member.step {
                Step::Take(_) => member.step = member.plan.read(member.call.seen(Err(unasked()))),
                Step::HandBack => member.step = member.plan.settled(member.call.handed_back(Err(unasked()))),
                _ => {}
            }
        }
    }

    /// The members that are to be loaded, and the flight that the load is, if it is anybody else's concern. Each may be
    /// in a flight of its own: to whoever waits they are one.
    pub(super) fn to_load(&mut self) -> (Asking<Load>, Option<Arc<Flight>>) {
        let (mut at, mut what, mut first) = (Vec::new(), Vec::new(), None);
        for (place, member) in self.members.iter_mut().enumerate() {
            let Step::Load(load) = member.step else { continue };
            if let Some(flight) = member.call.before_load(load) {
                match &first {
                    None => first = Some(flight),
                    Some(first) => flight.loads_with(first),
                }
            }
            at.push(place);
            what.push(load);
        }
        (Asking { at, what }, first)
    }

    /// The load is over, with a value for each, or has failed.
    pub(super) fn loaded(&mut self, asking: &Asking<Load>, values: Option<Vec<V>>) {
        let mut values = values.into_iter().flatten();
        for (place, load) in asking.at.iter().zip(&asking.what) {
            let Some(member) = self.members.get_mut(*place) else { continue };
            let (loaded, own) = member.call.loaded(values.next().ok_or(Failed));
            member.step = member.plan.loaded(*load, loaded);
            member.own = Some(own);
        }
    }

    /// The shortest pause that anybody asks for.
    pub(super) fn to_pause(&self) -> Option<std::time::Duration> {
        let pauses = self.members.iter().filter_map(|member| match member.step {
            Step::Pause(pause) => Some(pause),
            _ => None,
        });
        pauses.min()
    }

    pub(super) fn paused(&mut self, paused: Waited<()>) {
        for member in &mut self.members {
            if matches!(member.step, Step::Pause(_)) {
                member.step = member.plan.paused(member.call.paused(paused));
                member.call.observe_patience(member.step);
            }
        }
    }

    /// The next member that waits for a flight.
    pub(super) fn to_follow(&mut self) -> Option<Following<'_, V, W>> {
        let led_by = self.led_by;
        let member = self.members.iter_mut().find(|member| matches!(member.step, Step::Follow(_)))?;
        let Step::Follow(patience) = member.step else { return None };
        let now = member.call.state.clock.now();
        let until = *member.follow_until.get_or_insert_with(|| now.after(patience));
        Some(Following { left: until.since(now), member, led_by })
    }

    /// Whether a load has failed for a key that no stale value stands in for: nothing that is left changes the answer.
    pub(super) fn has_failed(&self) -> bool {
        self.members.iter().any(|member| matches!(member.end, Some(Err(Failed))))
    }

    /// Whether all that is left is to wait for others. All that wait for flights begin to lose their patience now.
    pub(super) fn begin_to_wait(&mut self) -> bool {
        let mut all_wait = true;
        for member in self.members.iter_mut().filter(|member| member.end.is_none()) {
            match (member.step, member.follow_until) {
                (Step::Follow(patience), None) => {
                    member.follow_until = Some(member.call.state.clock.now().after(patience));
                }
                (Step::Follow(_) | Step::Pause(_), _) => {}
                _ => all_wait = false,
            }
        }
        all_wait
    }

    /// Ends whatever waits are over with the one that just was: what comes of them is done together.
    pub(super) fn end_waits(&mut self) {
        let led_by = self.led_by;
        for member in &mut self.members {
            if let (Step::Follow(_), Some(until)) = (member.step, member.follow_until)
                && let Some(followed) = member.call.end_of_wait(until, led_by)
            {
                member.followed(followed);
            }
        }
    }

    fn asking<T>(&mut self, ask: impl Fn(&mut Member<V, W>) -> Option<Option<T>>) -> MaybeAsking<T> {
        let (mut asking, mut unasked) = (Asking { at: Vec::new(), what: Vec::new() }, Vec::new());
        for (place, member) in self.members.iter_mut().enumerate() {
            match ask(member) {
                Some(Some(what)) => {
                    asking.at.push(place);
                    asking.what.push(what);
                }
                Some(None) => unasked.push(place),
                None => {}
            }
        }
        MaybeAsking { asking, unasked }
    }

    fn answer<T>(
        &mut self,
        at: &[usize],
        answers: Vec<Result<T>>,
        take: impl Fn(&mut Member<V, W>, Result<T>) -> Step,
    ) {
        let mut answers = answers.into_iter();
        for place in at {
            let none = || Err(Error::new(Kind::Backend, "the backend answered fewer keys than it was asked for"));
            let answer = answers.next().unwrap_or_else(none);
            if let Some(member) = self.members.get_mut(*place) {
                member.step = take(member, answer);
            }
        }
    }
}

/// What is asked, and the places of those who could not ask.
struct MaybeAsking<T> {
    asking: Asking<T>,
    unasked: Vec<usize>,
}

impl<T> MaybeAsking<T> {
    fn or_unasked(self, settle: impl FnMut(usize)) -> Asking<T> {
        self.unasked.into_iter().for_each(settle);
        self.asking
    }
}

/// One member that waits for a flight, and how long it has left.
pub(super) struct Following<'a, V: Clone + Send + Sync + 'static, W: Wire<V>> {
    member: &'a mut Member<V, W>,
    pub(super) left: std::time::Duration,
    led_by: LedBy,
}

impl<V: Clone + Send + Sync + 'static, W: Wire<V>> Following<'_, V, W> {
    pub(super) fn wait(&mut self) -> Waited<Wait> {
        self.member.call.to_follow(self.led_by)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.member.call.state.clock
    }

    pub(super) fn followed(self, landing: Waited<Option<Landing>>) {
        let followed = self.member.call.followed(landing);
        self.member.followed(followed);
    }
}

impl<V: Clone + Send + Sync + 'static, W: Wire<V>> Member<V, W> {
    fn followed(&mut self, followed: Followed) {
        self.follow_until = None;
        self.step = self.plan.followed(followed);
    }

    fn advance(&mut self, led_by: LedBy) {
        while self.end.is_none() {
            let (call, plan) = (&mut self.call, &mut self.plan);
            self.step = match (self.step, self.own.take()) {
                (Step::Look, _) => plan.looked(call.look()),
                (Step::Join(joining), _) => plan.joined(call.join(joining, led_by)),
                (Step::LookAgain, _) => plan.looked_again(call.look_again()),
                (Step::Land(land), Some(own)) => {
                    self.own = Some(call.land(land, own));
                    plan.landed(land)
                }
                (Step::Land(Land::Found), None) => {
                    call.land_found();
                    plan.landed(Land::Found)
                }
                (Step::Done(answer), Some(own)) => {
                    self.end = Some(call.finish(answer, own));
                    return;
                }
                (Step::Done(Answer::Loaded), None) | (Step::Land(_), None) => Step::Load(Load::Alone),
                (Step::Done(answer), None) => match call.found(answer) {
                    Some(end) => {
                        self.end = Some(end);
                        return;
                    }
                    None => Step::Load(Load::Alone),
                },
                (_, own) => {
                    self.own = own;
                    return;
                }
            };
        }
    }
}
