//! The blocking face: the caller writes and reads itself, on a connection of its own while it does. Twin of `tasks`,
//! line by line.

mod connection;
mod pool;
mod resolve;

use std::time::Instant;

use cache_core::backend::{
    BytesBackend, Check, Fill, FillOutcome, Filled, HandBack, Invalidated, NodeStats, Read, Returned, Seen, Strength,
    Take,
};
use cache_core::error::Result;
use cache_core::key::FarKey;
use smallvec::SmallVec;

pub(crate) use connection::Connection;
use connection::Progress;
use pool::Exchange;
pub(crate) use pool::{Pool, PoolSettings};

use crate::backend::Memcached;
use crate::budget::{Budget, Errand};
use crate::node::{Node, UnderWay};
use crate::operations::each;
use crate::split::Split;
use crate::trouble::Trouble;
use crate::waves::AtOnce;
use crate::work::{Ask, Part, Work};

impl BytesBackend for Memcached {
    fn read(&self, read: &Read<'_>) -> Vec<Result<Seen>> {
        let errand = self.errand("read");
        let mut work = self.run_now(errand, self.read_asks(read), read.scopes);
        let seen = each(read.keys, work.answers(), |(key, answer)| self.seen(key, answer));
        self.whole_now(errand, read.keys.iter(), seen)
    }

    fn fill(&self, fills: &[Fill<'_>], scopes: &[FarKey]) -> Vec<Result<Filled>> {
        let errand = self.errand("fill");
        let mut work = self.run_now(errand, self.fill_asks(fills), scopes);
        let mut filled = each(fills, work.answers(), |(fill, answer)| self.filled(fill, answer));
        for (fill, filled) in fills.iter().zip(&mut filled) {
            if let Ok(Filled { outcome: FillOutcome::TooLarge { limit }, .. }) = filled
                && let Some(split) = Split::of(fill, *limit)
            {
                *filled = self.fill_split_now(errand, fill, &split, scopes);
            }
        }
        filled
    }

    fn hand_back(&self, claims: &[HandBack<'_>], scopes: &[FarKey]) -> Vec<Result<Returned>> {
        let mut work = self.run_now(self.errand("hand_back"), self.hand_back_asks(claims), scopes);
        each(claims, work.answers(), |(claim, answer)| self.returned(claim, answer))
    }

    fn take(&self, takes: &[Take<'_>], scopes: &[FarKey]) -> Vec<Result<Seen>> {
        let errand = self.errand("take");
        let mut work = self.run_now(errand, self.take_asks(takes), scopes);
        let seen = each(takes, work.answers(), |(take, answer)| self.seen(take.key, answer));
        self.whole_now(errand, takes.iter().map(|take| take.key), seen)
    }

    fn validate(&self, keys: &[FarKey], scopes: &[FarKey]) -> Vec<Result<Check>> {
        let errand = self.errand("validate");
        let mut work = self.run_now(errand, self.validate_asks(keys), scopes);
        let accidents = self.accident_asks(keys, work.answers());
        let mut accidents = self.run_now(errand, accidents, &[]);
        let mut accidents = accidents.answers();
        each(keys, work.answers(), |(key, answer)| self.checked(key, answer, &mut accidents))
    }

    fn invalidate(&self, keys: &[FarKey], strength: Strength, region: &FarKey) -> Vec<Invalidated> {
        let asks = self.invalidate_asks(keys, strength, region);
        let settled = self.unless_settled(keys, region);
        let mut work = self.run_now(self.errand("invalidate"), asks, &[]);
        settled.by(each(keys, work.answers(), |(key, answer)| self.invalidated(key, region, answer)))
    }

    fn bump(&self, scopes: &[FarKey], region: &FarKey) -> Vec<Invalidated> {
        let asks = self.bump_asks(scopes, region);
        let settled = self.unless_settled(scopes, region);
        let mut work = self.run_now(self.errand("bump"), asks, &[]);
        settled.by(self.bumped(scopes, region, work.answers()))
    }

    fn pending(&self) -> usize {
        self.owed()
    }

    fn nodes(&self) -> Vec<NodeStats> {
        self.nodes().iter().map(|node| node.stats()).collect()
    }
}

impl Memcached {
    /// Puts those records together that are kept in parts.
    fn whole_now<'k>(
        &self,
        errand: Errand,
        keys: impl Iterator<Item = &'k FarKey>,
        mut seen: Vec<Result<Seen>>,
    ) -> Vec<Result<Seen>> {
        if let Some(parts) = self.parts_of(keys, &seen) {
            let mut work = self.run_now(errand, parts.read_asks(), &[]);
            parts.join(self, work.answers(), &mut seen);
        }
        seen
    }

    /// Stores a record in parts: the parts first, the manifest last. What was sent in vain is deleted.
    fn fill_split_now(&self, errand: Errand, fill: &Fill<'_>, split: &Split<'_>, scopes: &[FarKey]) -> Result<Filled> {
        let mut standing = self.run_now(errand, self.standing_ask(fill), &[]);
        let accidents = self.accident_asks(std::slice::from_ref(fill.key), standing.answers());
        let mut accidents = self.run_now(errand, accidents, &[]);
        if let Some(superseded) = self.standing(fill, standing.answer(), &mut accidents.answers())? {
            return Ok(superseded);
        }
        let mut parts = self.run_now(errand, self.part_fill_asks(fill, split), &[]);
        let filled = match self.parts_filled(fill, parts.answers()) {
            Ok(()) if errand.budget.is_spent() => Err(self.too_late(fill)),
            Ok(()) => {
                let manifest = Fill { record: &split.manifest, ..*fill };
                let mut work = self.run_now(errand, self.fill_asks(&[manifest]), scopes);
                self.filled(&manifest, work.answer())
            }
            Err(error) => Err(error),
        };
        let is_stored = filled.as_ref().is_ok_and(|filled| matches!(filled.outcome, FillOutcome::Stored(_)));
        // Without the time for it they end with their TTL.
        if !is_stored && !errand.budget.is_spent() {
            self.run_now(errand, self.part_delete_asks(fill, split), &[]);
        }
        filled
    }

    /// Runs an operation to its end, within its budget.
    fn run_now<'a>(&'a self, errand: Errand, asks: impl Iterator<Item = Ask<'a>>, scopes: &'a [FarKey]) -> Work<'a> {
        let mut work = Work::new(asks, scopes, self.nodes(), self.clock(), AtOnce::ALL);
        self.say_now(errand, &mut work.parts);
        work
    }

    /// Says each part to its node: all nodes are written to before any is read from. The parts come in the order of the
    /// nodes, so that no two callers wait for connections that the other one has.
    pub(crate) fn say_now<P: Part>(&self, mut errand: Errand, parts: &mut [P]) {
        loop {
            let mut talks = SmallVec::<[Talk<'_, P>; 1]>::new();
            for part in parts.iter_mut().filter(|part| !part.is_done()) {
                let late = if talks.is_empty() { Late::No } else { Late::by(errand.budget) };
                talks.extend(self.talk_now(errand, part, late));
            }
            let in_turn = talks.len() > 1;
            let mut progress = Progress::More;
            while progress == Progress::More {
                progress = talks.iter_mut().map(|talk| talk.advance(in_turn)).max().unwrap_or(Progress::Whole);
            }
            talks.into_iter().for_each(|talk| talk.end(self));
            if parts.iter().all(P::is_done) {
                return;
            }
            errand = errand.continued();
        }
    }

    /// Begins to say this to its node, unless that is set aside.
    fn talk_now<'a, P: Part>(&'a self, errand: Errand, part: &'a mut P, late: Late) -> Option<Talk<'a, P>> {
        let node = self.nodes().node(part.node());
        if late == Late::Entirely {
            part.fail(Trouble::Late);
            return None;
        }
        if let Err(trouble) = node.admit(errand.budget.started, self.config().blacklist) {
            part.fail(trouble);
            return None;
        }
        let under_way = node.under_way();
        let span = tracing::trace_span!("memcached", node = &*node.name, verb = errand.verb);
        let pool = self.pool(part.node());
        let exchange = span.in_scope(|| pool.begin(part, errand.budget));
        Some(Talk { part, node, exchange, span, late, _under_way: under_way })
    }
}

/// How much of the time was spent on other nodes before something was said to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    No,
    /// More than half of it. That there is no answer then says little about the node.
    Mostly,
    Entirely,
}

impl Late {
    fn by(budget: Budget) -> Self {
        let now = Instant::now();
        match () {
            () if budget.left(now).is_zero() => Late::Entirely,
            () if budget.is_mostly_spent(now) => Late::Mostly,
            () => Late::No,
        }
    }
}

/// One part of an operation, on its way.
struct Talk<'a, P> {
    part: &'a mut P,
    node: &'a Node,
    exchange: Result<Exchange<'a>, Trouble>,
    span: tracing::Span,
    late: Late,
    _under_way: UnderWay<'a>,
}

impl<P: Part> Talk<'_, P> {
    fn advance(&mut self, in_turn: bool) -> Progress {
        let Talk { part, exchange, span, .. } = self;
        let advanced = match exchange {
            Ok(exchange) => span.in_scope(|| exchange.advance(*part, in_turn)),
            Err(_) => return Progress::Whole,
        };
        advanced.unwrap_or_else(|trouble| {
            *exchange = Err(trouble);
            Progress::Whole
        })
    }

    fn end(self, client: &Memcached) {
        let Talk { part, node, exchange, late, .. } = self;
        let outcome = exchange.and_then(|exchange| exchange.end(part)).map_err(|trouble| match trouble {
            Trouble::TimedOut(_) | Trouble::Unreached(_) if late == Late::Mostly => Trouble::Late,
            trouble => trouble,
        });
        if let Err(trouble) = &outcome {
            part.fail(trouble.clone());
        }
        node.report(&outcome, client.config().blacklist);
    }
}
