//! The async face: the tasks of a runtime share one connection to each node. Twin of `blocking`, line by line.

mod link;
mod links;
mod queue;
mod socket;

use cache_core::backend::{
    AsyncBytesBackend, BoxFuture, Check, Fill, Filled, HandBack, Invalidated, NodeStats, Read, Returned, Seen,
    Strength, Take,
};
use cache_core::error::Result;
use cache_core::key::FarKey;

pub(crate) use links::{LinkSettings, Links, Size};
pub(crate) use queue::Bounds;

use crate::backend::Memcached;
use crate::budget::Budget;
use crate::trouble::Trouble;
use crate::work::{Answer, Ask, Work};

impl AsyncBytesBackend for Memcached {
    fn read<'a>(&'a self, read: &'a Read<'a>) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move {
            let answers = self.run(self.read_asks(read), read.scopes).await;
            read.keys.iter().zip(answers).map(|(key, answer)| self.seen(key, answer)).collect()
        })
    }

    fn fill<'a>(&'a self, fills: &'a [Fill<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Filled>>> {
        Box::pin(async move {
            let answers = self.run(self.fill_asks(fills), scopes).await;
            fills.iter().zip(answers).map(|(fill, answer)| self.filled(fill, answer)).collect()
        })
    }

    fn hand_back<'a>(
        &'a self,
        claims: &'a [HandBack<'a>],
        scopes: &'a [FarKey],
    ) -> BoxFuture<'a, Vec<Result<Returned>>> {
        Box::pin(async move {
            let answers = self.run(self.hand_back_asks(claims), scopes).await;
            claims.iter().zip(answers).map(|(claim, answer)| self.returned(claim, answer)).collect()
        })
    }

    fn take<'a>(&'a self, takes: &'a [Take<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move {
            let answers = self.run(self.take_asks(takes), scopes).await;
            takes.iter().zip(answers).map(|(take, answer)| self.seen(take.key, answer)).collect()
        })
    }

    fn validate<'a>(&'a self, keys: &'a [FarKey], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Check>>> {
        Box::pin(async move {
            let answers: Vec<_> = self.run(self.validate_asks(keys), scopes).await.collect();
            let accidents = self.accident_asks(keys, &answers);
            self.run(accidents, &[]).await.for_each(drop);
            keys.iter().zip(answers).map(|(key, answer)| self.checked(key, answer)).collect()
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
        let settled = self.unless_settled(keys, Some(region));
        Box::pin(async move {
            let _settled = settled;
            let answers = self.run(asks, &[]).await;
            keys.iter().zip(answers).map(|(key, answer)| self.invalidated(key, region, answer)).collect()
        })
    }

    fn bump<'a>(&'a self, scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Invalidated>> {
        let asks = self.bump_asks(scopes);
        let settled = self.unless_settled(scopes, None);
        Box::pin(async move {
            let _settled = settled;
            let answers = self.run(asks, &[]).await;
            self.bumped(scopes, answers)
        })
    }

    fn pending(&self) -> usize {
        self.owed()
    }

    fn nodes(&self) -> Vec<NodeStats> {
        self.nodes().iter().map(|node| node.stats()).collect()
    }

    fn size_limit(&self) -> Option<usize> {
        self.largest_record()
    }
}

impl Memcached {
    /// Runs an operation to its end, within one `io_timeout`.
    async fn run<'a>(
        &self,
        asks: impl Iterator<Item = Ask<'a>> + Send,
        scopes: &'a [FarKey],
    ) -> impl Iterator<Item = Result<Answer, Trouble>> {
        let mut work = Work::new(asks, scopes, self.clock().now());
        let size = if work.is_large(self.sizes()) { Size::Large } else { Size::Small };
        let budget = Budget::of(self.config().io_timeout);
        while let Some((part, node)) = work.next() {
            let (known, blacklist) = (self.nodes().node(node), self.config().blacklist);
            if let Err(trouble) = known.admit(budget.started, blacklist) {
                work.give_up(part, trouble);
                continue;
            }
            let _under_way = known.under_way();
            let mut batch = |server: &_| work.batch(part, self.nodes(), server);
            let result = self.links(node).exchange(budget, size, &mut batch).await;
            let outcome = work.absorb(part, self.nodes(), result, || self.clock().now());
            known.report(&outcome, blacklist);
        }
        work.note_sizes(self.sizes());
        work.finish()
    }
}
