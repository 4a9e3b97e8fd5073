//! The async face: the tasks of a runtime share one connection to each node. Twin of `blocking`, line by line.

mod caller;
mod exchange;
mod link;
mod links;
mod queue;
mod slot;
mod socket;
mod wanted;

use std::future::poll_fn;

use cache_core::backend::{
    AsyncBytesBackend, BoxFuture, Check, Fill, FillOutcome, Filled, HandBack, Invalidated, NodeStats, Read, Returned,
    Seen, Strength, Take,
};
use cache_core::error::Result;
use cache_core::key::FarKey;
use smallvec::SmallVec;

pub(crate) use exchange::Talk;
pub(crate) use links::{LinkSettings, Links, Size};
pub(crate) use queue::Bounds;

use crate::backend::Memcached;
use crate::budget::Errand;
use crate::config::Config;
use crate::operations::each;
use crate::split::Split;
use crate::waves::AtOnce;
use crate::work::{Ask, Part, Work};

/// Of what may wait on a connection, how much is one operation's at most: one part in so many.
const SHARE: usize = 8;

impl AsyncBytesBackend for Memcached {
    fn read<'a>(&'a self, read: &'a Read<'a>) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move {
            let errand = self.errand("read");
            let mut work = self.run(errand, self.read_asks(read), read.scopes).await;
            let seen = each(read.keys, work.answers(), |(key, answer)| self.seen(key, answer));
            self.whole(errand, read.keys.iter(), seen).await
        })
    }

    fn fill<'a>(&'a self, fills: &'a [Fill<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Filled>>> {
        Box::pin(async move {
            let errand = self.errand("fill");
            let mut work = self.run(errand, self.fill_asks(fills), scopes).await;
            let mut filled = each(fills, work.answers(), |(fill, answer)| self.filled(fill, answer));
            for (fill, filled) in fills.iter().zip(&mut filled) {
                if let Ok(Filled { outcome: FillOutcome::TooLarge { limit }, .. }) = filled
                    && let Some(split) = Split::of(fill, *limit)
                {
                    *filled = Box::pin(self.fill_split(errand, fill, &split, scopes)).await;
                }
            }
            filled
        })
    }

    fn hand_back<'a>(
        &'a self,
        claims: &'a [HandBack<'a>],
        scopes: &'a [FarKey],
    ) -> BoxFuture<'a, Vec<Result<Returned>>> {
        Box::pin(async move {
            let mut work = self.run(self.errand("hand_back"), self.hand_back_asks(claims), scopes).await;
            each(claims, work.answers(), |(claim, answer)| self.returned(claim, answer))
        })
    }

    fn take<'a>(&'a self, takes: &'a [Take<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move {
            let errand = self.errand("take");
            let mut work = self.run(errand, self.take_asks(takes), scopes).await;
            let seen = each(takes, work.answers(), |(take, answer)| self.seen(take.key, answer));
            self.whole(errand, takes.iter().map(|take| take.key), seen).await
        })
    }

    fn validate<'a>(&'a self, keys: &'a [FarKey], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Check>>> {
        Box::pin(async move {
            let errand = self.errand("validate");
            let mut work = self.run(errand, self.validate_asks(keys), scopes).await;
            let accidents = self.accident_asks(keys, work.answers());
            let mut accidents = self.run(errand, accidents, &[]).await;
            let mut accidents = accidents.answers();
            each(keys, work.answers(), |(key, answer)| self.checked(key, answer, &mut accidents))
        })
    }

    fn invalidate<'a>(
        &'a self,
        keys: &'a [FarKey],
        strength: Strength,
        region: &'a FarKey,
    ) -> BoxFuture<'a, Vec<Invalidated>> {
        // Owed before the future is first polled: dropping it at any time leaves the invalidation pending.
        let asks = self.invalidate_asks(keys, strength, region);
        let settled = self.unless_settled(keys, region);
        Box::pin(async move {
            let mut work = self.run(self.errand("invalidate"), asks, &[]).await;
            settled.by(each(keys, work.answers(), |(key, answer)| self.invalidated(key, region, answer)))
        })
    }

    fn bump<'a>(&'a self, scopes: &'a [FarKey], region: &'a FarKey) -> BoxFuture<'a, Vec<Invalidated>> {
        let asks = self.bump_asks(scopes, region);
        let settled = self.unless_settled(scopes, region);
        Box::pin(async move {
            let mut work = self.run(self.errand("bump"), asks, &[]).await;
            settled.by(self.bumped(scopes, region, work.answers()))
        })
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
    async fn whole<'k>(
        &self,
        errand: Errand,
        keys: impl Iterator<Item = &'k FarKey>,
        mut seen: Vec<Result<Seen>>,
    ) -> Vec<Result<Seen>> {
        if let Some(parts) = self.parts_of(keys, &seen) {
            // Boxed, as it is rare: every look-up would have to make room for it.
            let mut work = Box::pin(self.run(errand, parts.read_asks(), &[])).await;
            parts.join(self, work.answers(), &mut seen);
        }
        seen
    }

    /// Stores a record in parts: the parts first, the manifest last. What was sent in vain is deleted.
    async fn fill_split(
        &self,
        errand: Errand,
        fill: &Fill<'_>,
        split: &Split<'_>,
        scopes: &[FarKey],
    ) -> Result<Filled> {
        let mut standing = self.run(errand, self.standing_ask(fill), &[]).await;
        let accidents = self.accident_asks(std::slice::from_ref(fill.key), standing.answers());
        let mut accidents = self.run(errand, accidents, &[]).await;
        if let Some(superseded) = self.standing(fill, standing.answer(), &mut accidents.answers())? {
            return Ok(superseded);
        }
        let mut parts = self.run(errand, self.part_fill_asks(fill, split), &[]).await;
        let filled = match self.parts_filled(fill, parts.answers()) {
            Ok(()) if errand.budget.is_spent() => Err(self.too_late(fill)),
            Ok(()) => {
                let manifest = Fill { record: &split.manifest, ..*fill };
                let mut work = self.run(errand, self.fill_asks(&[manifest]), scopes).await;
                self.filled(&manifest, work.answer())
            }
            Err(error) => Err(error),
        };
        let is_stored = filled.as_ref().is_ok_and(|filled| matches!(filled.outcome, FillOutcome::Stored(_)));
        // Without the time for it they end with their TTL.
        if !is_stored && !errand.budget.is_spent() {
            self.run(errand, self.part_delete_asks(fill, split), &[]).await;
        }
        filled
    }

    /// Runs an operation to its end, within its budget.
    async fn run<'a>(
        &'a self,
        errand: Errand,
        asks: impl Iterator<Item = Ask<'a>> + Send,
        scopes: &'a [FarKey],
    ) -> Work<'a> {
        let mut work = Work::new(asks, scopes, self.nodes(), self.clock(), self.at_once());
        let size = if work.is_large(self.sizes()) { Size::Large } else { Size::Small };
        for (before, wave) in work.waves().enumerate() {
            // In vain, what is left would still be sent.
            if before > 0 && errand.budget.is_spent() {
                break;
            }
            let errand = if before == 0 { errand } else { errand.continued() };
            self.say(errand, size, wave).await;
        }
        work.note_sizes(self.sizes());
        work
    }

    /// A part of what may wait on a connection, so that there is room for several such operations and for small ones.
    pub(crate) fn at_once(&self) -> AtOnce {
        let Config { max_in_flight, max_bytes_in_flight, .. } = self.config();
        AtOnce { requests: (max_in_flight / SHARE).max(1), bytes: max_bytes_in_flight / SHARE }
    }

    /// Says each part to its node, all nodes at the same time.
    async fn say<P: Part>(&self, errand: Errand, size: Size, parts: &mut [P]) {
        let talk = || Talk::new(self, errand, size);
        let mut talks: SmallVec<[Talk<'_>; 1]> = parts.iter().map(|_| talk()).collect();
        poll_fn(|cx| Talk::poll_all(&mut talks, parts, cx)).await;
    }
}
