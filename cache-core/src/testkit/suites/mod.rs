//! Suites that a backend must pass: cases with names, each of which says in a sentence what it expected.
//!
//! Invariant: no case sleeps or reads a clock. Time passes as the author of the backend lets it.

mod awaited;
mod bench;
mod bytes;
mod claims;
mod object;
mod records;
mod region;
mod scopes;
mod troubles;

use std::fmt;

pub use awaited::{AsyncSuiteFar, BlockOn, async_bytes_suite};
pub use bench::{SuiteFar, Trouble};
pub use bytes::bytes_suite;
pub use object::object_suite;
pub use region::region_suite;

/// How a suite went. Shows itself as one line per case that did not pass.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SuiteReport {
    /// The cases that passed.
    pub passed: Vec<&'static str>,
    /// The cases that could not be tried, and why.
    pub skipped: Vec<(&'static str, String)>,
    /// The cases that failed: what was expected, and what came.
    pub failed: Vec<(&'static str, String)>,
}

impl fmt::Display for SuiteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SuiteReport { passed, skipped, failed } = self;
        write!(f, "{} passed, {} skipped, {} failed", passed.len(), skipped.len(), failed.len())?;
        for (name, why) in failed {
            write!(f, "\nfailed: {name}: {why}")?;
        }
        for (name, why) in skipped {
            write!(f, "\nskipped: {name}: {why}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SuiteReport {
    /// As text, so that `unwrap` tells what failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SuiteReport {}

/// Why a case did not pass.
enum Unmet {
    Failed(String),
    Skipped(String),
}

type Verdict<T = ()> = Result<T, Unmet>;

/// A case: its name and what it does with a fresh subject.
struct Case<S: ?Sized> {
    name: &'static str,
    run: fn(&S) -> Verdict,
}

impl SuiteReport {
    fn note(&mut self, name: &'static str, verdict: Verdict) {
        match verdict {
            Ok(()) => self.passed.push(name),
            Err(Unmet::Failed(why)) => self.failed.push((name, why)),
            Err(Unmet::Skipped(why)) => self.skipped.push((name, why)),
        }
    }

    fn finish(self) -> Result<SuiteReport, SuiteReport> {
        if self.failed.is_empty() { Ok(self) } else { Err(self) }
    }
}

/// Fails the case with this sentence unless `met`.
fn expect(met: bool, sentence: impl FnOnce() -> String) -> Verdict {
    if met { Ok(()) } else { Err(Unmet::Failed(sentence())) }
}

fn expect_eq<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Verdict {
    expect(found == expected, || format!("{what} should be {expected:?}, not {found:?}"))
}

fn skip(why: &str) -> Unmet {
    Unmet::Skipped(why.to_owned())
}
