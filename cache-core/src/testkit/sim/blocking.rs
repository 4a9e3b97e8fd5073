//! The blocking face: every request is answered at once or not at all. Twin of `tasks`, line by line.

use super::client::SimFar;
use super::pipeline::{Memory, Pipeline};
use crate::backend::{
    BytesBackend, Check, Fill, Filled, HandBack, Invalidated, Read, Recall, Returned, Seen, Strength, Take,
};
use crate::error::Result;
use crate::key::FarKey;

impl BytesBackend for SimFar {
    fn read(&self, read: &Read<'_>) -> Vec<Result<Seen>> {
        let answers = self.run_now(Pipeline::new(self, self.read_asks(read), read.scopes, Memory::of(read.recall)));
        read.keys.iter().zip(answers).map(|(key, answer)| self.seen(key, answer)).collect()
    }

    fn fill(&self, fills: &[Fill<'_>], scopes: &[FarKey]) -> Vec<Result<Filled>> {
        let answers = self.run_now(Pipeline::new(self, self.fill_asks(fills), scopes, Memory::Pass));
        fills.iter().zip(answers).map(|(fill, answer)| self.filled(fill, answer)).collect()
    }

    fn hand_back(&self, claims: &[HandBack<'_>], scopes: &[FarKey]) -> Vec<Result<Returned>> {
        let answers = self.run_now(Pipeline::new(self, self.hand_back_asks(claims), scopes, Memory::Pass));
        claims.iter().zip(answers).map(|(claim, answer)| self.returned(claim, answer)).collect()
    }

    fn take(&self, takes: &[Take<'_>], scopes: &[FarKey]) -> Vec<Result<Seen>> {
        let answers = self.run_now(Pipeline::new(self, self.take_asks(takes), scopes, Memory::Pass));
        takes.iter().zip(answers).map(|(take, answer)| self.seen(take.key, answer)).collect()
    }

    fn validate(&self, keys: &[FarKey], scopes: &[FarKey]) -> Vec<Result<Check>> {
        let answers = self.run_now(Pipeline::new(self, self.validate_asks(keys), scopes, Memory::Pass));
        let accidents = self.accident_asks(keys, &answers);
        let mut accidents = self.run_now(Pipeline::new(self, accidents, &[], Memory::Pass)).into_iter();
        keys.iter().zip(answers).map(|(key, answer)| self.checked(key, answer, &mut accidents)).collect()
    }

    fn invalidate(&self, keys: &[FarKey], strength: Strength, _region: &FarKey) -> Vec<Invalidated> {
        let asks = self.invalidate_asks(keys, strength);
        let answers = self.run_now(Pipeline::new(self, asks, &[], Memory::Pass));
        keys.iter().zip(answers).map(|(key, answer)| self.invalidated(self.owner(key), key, answer)).collect()
    }

    fn bump(&self, scopes: &[FarKey], _region: &FarKey) -> Vec<Invalidated> {
        let asks = self.bump_asks(scopes);
        let answers = self.run_now(Pipeline::new(self, asks, &[], Memory::Pass));
        self.bumped(scopes, answers)
    }

    fn pending(&self) -> usize {
        SimFar::pending(self)
    }

    fn size_limit(&self) -> Option<usize> {
        Some(self.largest_record())
    }
}

impl Memory {
    pub(super) fn of(recall: Recall) -> Self {
        match recall {
            Recall::Allowed => Memory::Use,
            Recall::Never => Memory::Pass,
        }
    }
}
