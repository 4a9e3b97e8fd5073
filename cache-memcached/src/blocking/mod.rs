//! The blocking face: the caller writes and reads itself, on a connection of its own while it does. Twin of `tasks`,
//! line by line.

mod connection;
mod pool;

use crate::budget::Budget;

use cache_core::backend::{
    BytesBackend, Check, Fill, Filled, HandBack, Invalidated, NodeStats, Read, Returned, Seen, Strength, Take,
};
use cache_core::error::Result;
use cache_core::key::FarKey;

pub(crate) use connection::Connection;
pub(crate) use pool::{Pool, PoolSettings};

use crate::backend::Memcached;
use crate::trouble::Trouble;
use crate::work::{Answer, Ask, Work};

impl BytesBackend for Memcached {
    fn read(&self, read: &Read<'_>) -> Vec<Result<Seen>> {
        let answers = self.run_now(self.read_asks(read), read.scopes);
        read.keys.iter().zip(answers).map(|(key, answer)| self.seen(key, answer)).collect()
    }

    fn fill(&self, fills: &[Fill<'_>], scopes: &[FarKey]) -> Vec<Result<Filled>> {
        let answers = self.run_now(self.fill_asks(fills), scopes);
        fills.iter().zip(answers).map(|(fill, answer)| self.filled(fill, answer)).collect()
    }

    fn hand_back(&self, claims: &[HandBack<'_>], scopes: &[FarKey]) -> Vec<Result<Returned>> {
        let answers = self.run_now(self.hand_back_asks(claims), scopes);
        claims.iter().zip(answers).map(|(claim, answer)| self.returned(claim, answer)).collect()
    }

    fn take(&self, takes: &[Take<'_>], scopes: &[FarKey]) -> Vec<Result<Seen>> {
        let answers = self.run_now(self.take_asks(takes), scopes);
        takes.iter().zip(answers).map(|(take, answer)| self.seen(take.key, answer)).collect()
    }

    fn validate(&self, keys: &[FarKey], scopes: &[FarKey]) -> Vec<Result<Check>> {
        let answers: Vec<_> = self.run_now(self.validate_asks(keys), scopes).collect();
        let accidents = self.accident_asks(keys, &answers);
        self.run_now(accidents, &[]).for_each(drop);
        keys.iter().zip(answers).map(|(key, answer)| self.checked(key, answer)).collect()
    }

    fn invalidate(&self, keys: &[FarKey], strength: Strength, region: &FarKey) -> Vec<Invalidated> {
        let asks = self.invalidate_asks(keys, strength, region);
        let _settled = self.unless_settled(keys, Some(region));
        let answers = self.run_now(asks, &[]);
        keys.iter().zip(answers).map(|(key, answer)| self.invalidated(key, region, answer)).collect()
    }

    fn bump(&self, scopes: &[FarKey]) -> Vec<Invalidated> {
        let asks = self.bump_asks(scopes);
        let _settled = self.unless_settled(scopes, None);
        let answers = self.run_now(asks, &[]);
        self.bumped(scopes, answers)
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
    fn run_now<'a>(
        &self,
        asks: impl Iterator<Item = Ask<'a>>,
        scopes: &'a [FarKey],
    ) -> impl Iterator<Item = Result<Answer, Trouble>> {
        let mut work = Work::new(asks, scopes, self.clock().now());
        let budget = Budget::of(self.config().io_timeout);
        while let Some((part, node)) = work.next() {
            let (known, blacklist) = (self.nodes().node(node), self.config().blacklist);
            if let Err(trouble) = known.admit(budget.started, blacklist) {
                work.give_up(part, trouble);
                continue;
            }
            let _under_way = known.under_way();
            let mut batch = |server: &_| work.batch(part, self.nodes(), server);
            let result = self.pool(node).exchange(budget, &mut batch);
            let outcome = work.absorb(part, self.nodes(), result, || self.clock().now());
            known.report(&outcome, blacklist);
        }
        work.finish()
    }
}
