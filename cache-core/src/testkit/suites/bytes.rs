//! The suite of far backends, in the caller's thread.

use super::bench::{Bench, SuiteFar};
use super::{Case, SuiteReport, claims, records, scopes, troubles};

/// Runs every case against a fresh subject from `make`.
///
/// # Errors
///
/// The report, if a case failed.
pub fn bytes_suite(make: impl Fn() -> SuiteFar) -> Result<SuiteReport, SuiteReport> {
    let mut report = SuiteReport::default();
    run(&mut report, make);
    report.finish()
}

pub(super) fn run(report: &mut SuiteReport, make: impl Fn() -> SuiteFar) {
    let lists = [records::CASES, claims::CASES, scopes::CASES, troubles::CASES];
    for (number, Case { name, run }) in lists.into_iter().flatten().enumerate() {
        report.note(name, Bench::new(make(), number).and_then(|bench| run(&bench)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::backend::{
        BytesBackend, Check, Claim, Fill, FillOutcome, Filled, HandBack, Invalidated, Kept, Lease, Read, Returned,
        Seen, Strength, Take, Token,
    };
    use crate::clock::ManualClock;
    use crate::error::Result;
    use crate::generation::{Generation, Generations};
    use crate::key::FarKey;
    use crate::testkit::meta::{Cas, ServerSettings};
    use crate::testkit::{AsyncSuiteFar, Faults, SimFar, SimNodes, async_bytes_suite};

    fn nodes(count: usize) -> SimFar {
        SimNodes::new(1, ManualClock::new(), count, ServerSettings::default()).client(Faults::none())
    }

    #[test]
    fn the_simulated_far_tier_passes_in_the_callers_thread_on_one_node_and_on_several() {
        for count in [1, 3] {
            let report = bytes_suite(|| SuiteFar::of_sim(&nodes(count))).unwrap_or_else(|report| panic!("{report}"));
            assert!(report.skipped.is_empty(), "{report}");
        }
    }

    #[test]
    fn it_passes_by_awaiting_with_and_without_delays() {
        for faults in [Faults::none(), Faults::delays()] {
            let make = || {
                let far = nodes(3);
                far.set_faults(faults.clone());
                AsyncSuiteFar::of_sim(&far)
            };
            let report = async_bytes_suite(make).unwrap_or_else(|report| panic!("{report}"));
            assert!(report.skipped.is_empty(), "{report}");
        }
    }

    #[test]
    fn without_cas_it_fails_wherever_a_fence_counts() {
        let settings = ServerSettings { cas: Cas::Off, ..ServerSettings::default() };
        let make = || SimNodes::new(1, ManualClock::new(), 1, settings).client(Faults::none());
        let report = bytes_suite(|| SuiteFar::of_sim(&make())).unwrap_err();
        assert!(report.failed.len() > 20, "{report}");
    }

    /// What is wrong with a backend.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Flaw {
        TakesAlwaysWin,
        ClaimsAlwaysWin,
        FillsAlwaysSucceed,
        FreshIsClaimed,
        BatchesAreReversed,
        LeasesAreShort,
        SoftIsHard,
        SoftIsNothing,
        HardIsSoft,
        BumpDoesNothing,
        BumpCountsFromZero,
        StaleIsHandedBackAsDead,
        GraceIsForgotten,
        ValidationKeepsClaims,
        StubsAreRecords,
        OldTokensHold,
        LateTimes,
        PendingIsDone,
        RecordsAreText,
    }

    #[derive(Debug)]
    struct Flawed(SimFar, Flaw);

    impl BytesBackend for Flawed {
        fn read(&self, read: &Read<'_>) -> Vec<Result<Seen>> {
            let mut read = *read;
            if let (Flaw::LeasesAreShort, Lease::Claim(_)) = (self.1, read.lease) {
                read.lease = Lease::Claim(Duration::from_secs(1));
            }
            let mut all = BytesBackend::read(&self.0, &read);
            for seen in all.iter_mut().flatten() {
                match self.1 {
                    Flaw::ClaimsAlwaysWin if seen.claim == Claim::Elsewhere => seen.claim = Claim::Won,
                    Flaw::FreshIsClaimed if seen.record.is_some() => seen.claim = Claim::Won,
                    Flaw::GraceIsForgotten => seen.grace = Duration::ZERO,
                    Flaw::StubsAreRecords if seen.record.is_none() => seen.record = Some(Vec::new()),
                    Flaw::LateTimes => seen.left = seen.left.map(|left| left + Duration::from_secs(9)),
                    Flaw::BumpCountsFromZero => {
                        seen.generations = Generations::new(seen.generations.iter().map(|_| Generation(0)));
                    }
                    Flaw::RecordsAreText => {
                        seen.record =
                            seen.record.take().map(|bytes| String::from_utf8_lossy(&bytes).into_owned().into_bytes());
                    }
                    _ => {}
                }
            }
            if self.1 == Flaw::BatchesAreReversed {
                all.reverse();
            }
            all
        }
        fn fill(&self, fills: &[Fill<'_>], scopes: &[FarKey]) -> Vec<Result<Filled>> {
            let mut all = BytesBackend::fill(&self.0, fills, scopes);
            for filled in all.iter_mut().flatten() {
                match filled.outcome {
                    FillOutcome::Superseded if self.1 == Flaw::FillsAlwaysSucceed => {
                        filled.outcome = FillOutcome::Stored(None);
                    }
                    FillOutcome::Stored(Some(Token(token))) if self.1 == Flaw::OldTokensHold => {
                        filled.outcome = FillOutcome::Stored(Some(Token(token - 1)));
                    }
                    _ => {}
                }
            }
            all
        }
        fn hand_back(&self, claims: &[HandBack<'_>], scopes: &[FarKey]) -> Vec<Result<Returned>> {
            let kept = |claim: &HandBack<'_>| match (self.1, claim.kept) {
                (Flaw::StaleIsHandedBackAsDead, Kept::Stale) => Kept::Dead,
                (_, kept) => kept,
            };
            let claims: Vec<_> = claims.iter().map(|claim| HandBack { kept: kept(claim), ..*claim }).collect();
            BytesBackend::hand_back(&self.0, &claims, scopes)
        }
        fn take(&self, takes: &[Take<'_>], scopes: &[FarKey]) -> Vec<Result<Seen>> {
            let mut all = BytesBackend::take(&self.0, takes, scopes);
            if self.1 == Flaw::TakesAlwaysWin {
                all.iter_mut().flatten().for_each(|seen| seen.claim = Claim::Won);
            }
            all
        }
        fn validate(&self, keys: &[FarKey], scopes: &[FarKey]) -> Vec<Result<Check>> {
            if self.1 == Flaw::ValidationKeepsClaims {
                let read = Read {
                    keys,
                    scopes,
                    lease: Lease::None,
                    grace: Duration::ZERO,
                    recall: crate::backend::Recall::Never,
                };
                drop(BytesBackend::read(&self.0, &read));
            }
            BytesBackend::validate(&self.0, keys, scopes)
        }
        fn invalidate(&self, keys: &[FarKey], strength: Strength, region: &FarKey) -> Vec<Invalidated> {
            let strength = match self.1 {
                Flaw::SoftIsHard => Strength::Hard,
                Flaw::HardIsSoft => Strength::Soft,
                Flaw::SoftIsNothing if strength == Strength::Soft => {
                    return keys.iter().map(|_| Invalidated::Done).collect();
                }
                _ => strength,
            };
            let all = BytesBackend::invalidate(&self.0, keys, strength, region);
            match self.1 {
                Flaw::PendingIsDone => all.into_iter().map(|_| Invalidated::Done).collect(),
                _ => all,
            }
        }
        fn bump(&self, scopes: &[FarKey], region: &FarKey) -> Vec<Invalidated> {
            match self.1 {
                Flaw::BumpDoesNothing => scopes.iter().map(|_| Invalidated::Done).collect(),
                _ => BytesBackend::bump(&self.0, scopes, region),
            }
        }
        fn size_limit(&self) -> Option<usize> {
            BytesBackend::size_limit(&self.0)
        }
    }

    #[test]
    fn every_flaw_fails_a_case() {
        use Flaw::*;
        let flaws = [
            TakesAlwaysWin,
            ClaimsAlwaysWin,
            FillsAlwaysSucceed,
            FreshIsClaimed,
            BatchesAreReversed,
            LeasesAreShort,
            SoftIsHard,
            SoftIsNothing,
            HardIsSoft,
            BumpDoesNothing,
            BumpCountsFromZero,
            StaleIsHandedBackAsDead,
            GraceIsForgotten,
            ValidationKeepsClaims,
            StubsAreRecords,
            OldTokensHold,
            LateTimes,
            PendingIsDone,
            RecordsAreText,
        ];
        for flaw in flaws {
            let make = || {
                let far = nodes(3);
                let mut subject = SuiteFar::of_sim(&far);
                subject.far = Arc::new(Flawed(far.clone(), flaw));
                subject.other = Arc::new(Flawed(far.client(), flaw));
                subject
            };
            assert!(bytes_suite(make).is_err(), "{flaw:?} passes every case");
        }
    }
}
