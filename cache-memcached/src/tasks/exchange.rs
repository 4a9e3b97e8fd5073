//! One exchange over a shared connection, as a machine of states: it owns nothing that is allocated but where it connects.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use cache_core::backend::BoxFuture;

use super::link::Link;
use super::links::{Known, Links, Size};
use super::queue::{Place, Role};
use super::slot::Answer;
use crate::backend::Memcached;
use crate::batch::Replied;
use crate::budget::{Budget, Errand};
use crate::node::UnderWay;
use crate::trouble::Trouble;
use crate::work::{Message, Part};

/// A part of an operation on its way: exchange after exchange, until it is done.
pub(crate) struct Talk<'a> {
    client: &'a Memcached,
    errand: Errand,
    size: Size,
    under_way: Option<(Exchange<'a>, tracing::Span, UnderWay<'a>)>,
}

impl<'a> Talk<'a> {
    pub(crate) fn new(client: &'a Memcached, errand: Errand, size: Size) -> Self {
        Talk { client, errand, size, under_way: None }
    }

    /// Goes on with each of these parts, the same each time.
    pub(crate) fn poll_all(talks: &mut [Talk<'_>], parts: &mut [impl Part], cx: &mut Context<'_>) -> Poll<()> {
        let mut all = Poll::Ready(());
        for (talk, part) in talks.iter_mut().zip(parts) {
            if talk.poll(part, cx).is_pending() {
                all = Poll::Pending;
            }
        }
        all
    }

    /// Goes on with the part, which is the same each time.
    pub(crate) fn poll(&mut self, part: &mut impl Part, cx: &mut Context<'_>) -> Poll<()> {
        let Talk { client, errand, size, under_way } = self;
        let blacklist = client.config().blacklist;
        while !part.is_done() {
            let node = client.nodes().node(part.node());
            let (exchange, span, _) = match under_way {
                Some(under_way) => under_way,
                None => {
                    if let Err(trouble) = node.admit(errand.budget.started, blacklist) {
                        part.fail(trouble);
                        break;
                    }
                    let span = tracing::trace_span!("memcached", node = &*node.name, verb = errand.verb);
                    let exchange = Exchange::new(client.links(part.node()), *size, errand.budget);
                    under_way.insert((exchange, span, node.under_way()))
                }
            };
            let outcome = ready!(span.in_scope(|| exchange.poll(part, cx)));
            *under_way = None;
            if let Err(trouble) = &outcome {
                part.fail(trouble.clone());
            }
            node.report(&outcome, blacklist);
            if !part.is_done() {
                *errand = errand.continued();
            }
        }
        Poll::Ready(())
    }
}

/// The message is written for the server that will get it, and again for another one if the connection turns out to
/// have been dead.
struct Exchange<'a> {
    links: &'a Links,
    size: Size,
    budget: Budget,
    state: State<'a>,
    is_repeated: bool,
}

enum State<'a> {
    Begin,
    Connecting(BoxFuture<'a, Result<Arc<Link>, Trouble>>),
    /// It is queued, and writes after others had their chance to queue theirs.
    Gathering(Arc<Link>, Answer),
    Waiting(Arc<Link>, Answer),
}

impl<'a> Exchange<'a> {
    fn new(links: &'a Links, size: Size, budget: Budget) -> Self {
        Exchange { links, size, budget, state: State::Begin, is_repeated: false }
    }

    fn poll(&mut self, message: &mut dyn Message, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        loop {
            match mem::replace(&mut self.state, State::Begin) {
                State::Begin => {
                    let now = if self.is_repeated { Instant::now() } else { self.budget.started };
                    match self.links.known(self.size, now)? {
                        Known::Link(link) => {
                            if let Some(outcome) = self.queue(link, message, now, cx) {
                                return outcome;
                            }
                        }
                        Known::None(which) => self.state = State::Connecting(self.links.connected(which, self.budget)),
                    }
                }
                State::Connecting(mut connecting) => match connecting.as_mut().poll(cx) {
                    Poll::Ready(link) => {
                        if let Some(outcome) = self.queue(link?, message, Instant::now(), cx) {
                            return outcome;
                        }
                    }
                    Poll::Pending => {
                        self.state = State::Connecting(connecting);
                        return Poll::Pending;
                    }
                },
                State::Gathering(link, answer) => {
                    link.flush();
                    self.state = State::Waiting(link, answer);
                }
                State::Waiting(link, mut answer) => match Pin::new(&mut &mut answer).poll(cx) {
                    Poll::Ready(Ok(())) => {
                        return Poll::Ready(answer.replied(|replied| message.absorb(link.node(), replied)));
                    }
                    Poll::Ready(Err(trouble)) if trouble.is_dead() && !self.is_repeated => {
                        self.is_repeated = true;
                        link.node().counters.reconnects.add(1);
                    }
                    Poll::Ready(Err(trouble)) => return Poll::Ready(Err(trouble)),
                    Poll::Pending => {
                        self.state = State::Waiting(link, answer);
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// Queues the message at `now`; if that is not to be gone on with at once, what the poll comes to.
    fn queue(
        &mut self,
        link: Arc<Link>,
        message: &mut dyn Message,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Result<(), Trouble>>> {
        match link.queue(message, self.budget, now) {
            Ok(Some(Place { answer, role: Role::WriteSoon, .. })) => {
                self.state = State::Gathering(link, answer);
                cx.waker().wake_by_ref();
                Some(Poll::Pending)
            }
            Ok(Some(Place { answer, .. })) => {
                self.state = State::Waiting(link, answer);
                None
            }
            Ok(None) => Some(Poll::Ready(message.absorb(link.node(), &mut Replied::default()))),
            // It ended since it was looked up.
            Err(trouble) if trouble.is_dead() && !self.is_repeated => {
                self.is_repeated = true;
                None
            }
            Err(trouble) => Some(Poll::Ready(Err(trouble))),
        }
    }
}

impl Drop for Exchange<'_> {
    /// What was promised is done: others count on it.
    fn drop(&mut self) {
        if let State::Gathering(link, _) = &self.state {
            link.flush();
        }
    }
}
