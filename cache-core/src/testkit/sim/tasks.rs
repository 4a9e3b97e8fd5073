//! The async face: requests and replies take their time on the clock. Twin of `blocking`, line by line.

use super::client::SimFar;
use super::pipeline::{Memory, Pipeline};
use crate::backend::{
    AsyncBytesBackend, BoxFuture, Check, Fill, Filled, HandBack, Invalidated, Read, Returned, Seen, Strength, Take,
};
use crate::error::Result;
use crate::key::FarKey;

impl AsyncBytesBackend for SimFar {
    fn read<'a>(&'a self, read: &'a Read<'a>) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move {
            let pipeline = Pipeline::new(self, self.read_asks(read), read.scopes, Memory::of(read.recall));
            let answers = self.run(pipeline).await;
            read.keys.iter().zip(answers).map(|(key, answer)| self.seen(key, answer)).collect()
        })
    }

    fn fill<'a>(&'a self, fills: &'a [Fill<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Filled>>> {
        Box::pin(async move {
            let answers = self.run(Pipeline::new(self, self.fill_asks(fills), scopes, Memory::Pass)).await;
            fills.iter().zip(answers).map(|(fill, answer)| self.filled(fill, answer)).collect()
        })
    }

    fn hand_back<'a>(
        &'a self,
        claims: &'a [HandBack<'a>],
        scopes: &'a [FarKey],
    ) -> BoxFuture<'a, Vec<Result<Returned>>> {
        Box::pin(async move {
            let answers = self.run(Pipeline::new(self, self.hand_back_asks(claims), scopes, Memory::Pass)).await;
            claims.iter().zip(answers).map(|(claim, answer)| self.returned(claim, answer)).collect()
        })
    }

    fn take<'a>(&'a self, takes: &'a [Take<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move {
            let answers = self.run(Pipeline::new(self, self.take_asks(takes), scopes, Memory::Pass)).await;
            takes.iter().zip(answers).map(|(take, answer)| self.seen(take.key, answer)).collect()
        })
    }

    fn validate<'a>(&'a self, keys: &'a [FarKey], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Check>>> {
        Box::pin(async move {
            let answers = self.run(Pipeline::new(self, self.validate_asks(keys), scopes, Memory::Pass)).await;
            let accidents = self.accident_asks(keys, &answers);
            let mut accidents = self.run(Pipeline::new(self, accidents, &[], Memory::Pass)).await.into_iter();
            keys.iter().zip(answers).map(|(key, answer)| self.checked(key, answer, &mut accidents)).collect()
        })
    }

    fn invalidate<'a>(
        &'a self,
        keys: &'a [FarKey],
        strength: Strength,
        _region: &'a FarKey,
    ) -> BoxFuture<'a, Vec<Invalidated>> {
        // Owed before the future is first polled: dropping it at any time leaves the invalidation pending.
        let asks = self.invalidate_asks(keys, strength);
        Box::pin(async move {
            let answers = self.run(Pipeline::new(self, asks, &[], Memory::Pass)).await;
            keys.iter().zip(answers).map(|(key, answer)| self.invalidated(self.owner(key), key, answer)).collect()
        })
    }

    fn bump<'a>(&'a self, scopes: &'a [FarKey], _region: &'a FarKey) -> BoxFuture<'a, Vec<Invalidated>> {
        let asks = self.bump_asks(scopes);
        Box::pin(async move {
            let answers = self.run(Pipeline::new(self, asks, &[], Memory::Pass)).await;
            self.bumped(scopes, answers)
        })
    }

    fn pending(&self) -> usize {
        SimFar::pending(self)
    }

    fn size_limit(&self) -> Option<usize> {
        Some(self.largest_record())
    }
}
