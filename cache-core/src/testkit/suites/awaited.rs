//! The suite of far backends that answer by futures: the same cases, awaited, and those about dropped futures.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::bench::{Bench, SuiteFar, Trouble, holds, won};
use super::{SuiteReport, Verdict, bytes, expect};
use crate::backend::{
    AsyncBytesBackend, BoxFuture, BytesBackend, Check, Fill, Filled, HandBack, Invalidated, Read, Returned, Seen,
    Strength, Take,
};
use crate::error::{Error, Kind, Result};
use crate::key::FarKey;

/// Polls a future to its end, in the caller's thread; several threads may do so at once. A tokio runtime's `block_on`
/// will do.
pub type BlockOn = Arc<dyn Fn(BoxFuture<'_, ()>) + Send + Sync>;

/// A far backend that answers by futures, under test.
#[derive(Clone)]
pub struct AsyncSuiteFar {
    /// The client of one process.
    pub far: Arc<dyn AsyncBytesBackend>,
    /// The client of another process, of the same nodes. Neither remembers generations.
    pub other: Arc<dyn AsyncBytesBackend>,
    /// How futures are awaited.
    pub block_on: BlockOn,
    /// See [`SuiteFar::pass`].
    pub pass: Arc<dyn Fn(Duration) + Send + Sync>,
    /// See [`SuiteFar::trouble`].
    pub trouble: Option<Arc<dyn Fn(Trouble) + Send + Sync>>,
    /// See [`SuiteFar::prefix`].
    pub prefix: String,
}

/// Runs every case of [`bytes_suite`](super::bytes_suite) by awaiting, and those about dropped futures, against a
/// fresh subject from `make`.
///
/// # Errors
///
/// The report, if a case failed.
pub fn async_bytes_suite(make: impl Fn() -> AsyncSuiteFar) -> Result<SuiteReport, SuiteReport> {
    let mut report = SuiteReport::default();
    bytes::run(&mut report, || make().awaited());
    for (number, (name, polls)) in DROPPED.iter().enumerate() {
        let subject = make();
        // Far beyond the numbers of the other cases.
        let bench = Bench::new(subject.awaited(), 90 + number);
        report.note(name, bench.and_then(|bench| dropped_invalidation(&subject, &bench, *polls)));
    }
    report.finish()
}

const DROPPED: [(&str, usize); 3] = [
    ("an invalidation that was never polled is done before the next read", 0),
    ("an invalidation that was dropped after one poll is done before the next read", 1),
    ("an invalidation that was dropped after two polls is done before the next read", 2),
];

fn dropped_invalidation(subject: &AsyncSuiteFar, bench: &Bench, polls: usize) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"old")?;
    // Within the runtime, as a caller that hangs up would be.
    (subject.block_on)(Box::pin(async {
        let mut invalidation = subject.far.invalidate(std::slice::from_ref(&key), Strength::Hard, bench.region());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if invalidation.as_mut().poll(&mut cx).is_ready() {
                break;
            }
        }
    }));
    let seen = bench.claim(bench.far(), &key)?;
    holds("a read after a dropped invalidation", &seen, None)?;
    won("a claim after it", &seen)?;
    let other = bench.look(bench.other(), &key)?;
    expect(other.record.is_none(), || "another process should find nothing after that read".into())
}

impl AsyncSuiteFar {
    fn awaited(&self) -> SuiteFar {
        let AsyncSuiteFar { far, other, block_on, pass, trouble, prefix } = self.clone();
        let block_on = &block_on;
        let awaited = |far| Arc::new(Awaited { far, block_on: block_on.clone() });
        SuiteFar { far: awaited(far), other: awaited(other), pass, trouble, prefix }
    }
}

/// The blocking face of a backend that has only futures.
struct Awaited {
    far: Arc<dyn AsyncBytesBackend>,
    block_on: BlockOn,
}

impl Awaited {
    fn wait<T: Send>(&self, future: BoxFuture<'_, Vec<T>>, count: usize, unfinished: fn(Error) -> T) -> Vec<T> {
        let mut answer = None;
        (self.block_on)(Box::pin(async { answer = Some(future.await) }));
        answer.unwrap_or_else(|| {
            let error = || Error::new(Kind::Backend, "`block_on` returned before the future was ready");
            (0..count).map(|_| unfinished(error())).collect()
        })
    }
}

impl BytesBackend for Awaited {
    fn read(&self, read: &Read<'_>) -> Vec<Result<Seen>> {
        self.wait(self.far.read(read), read.keys.len(), Err)
    }

    fn fill(&self, fills: &[Fill<'_>], scopes: &[FarKey]) -> Vec<Result<Filled>> {
        self.wait(self.far.fill(fills, scopes), fills.len(), Err)
    }

    fn hand_back(&self, claims: &[HandBack<'_>], scopes: &[FarKey]) -> Vec<Result<Returned>> {
        self.wait(self.far.hand_back(claims, scopes), claims.len(), Err)
    }

    fn take(&self, takes: &[Take<'_>], scopes: &[FarKey]) -> Vec<Result<Seen>> {
        self.wait(self.far.take(takes, scopes), takes.len(), Err)
    }

    fn validate(&self, keys: &[FarKey], scopes: &[FarKey]) -> Vec<Result<Check>> {
        self.wait(self.far.validate(keys, scopes), keys.len(), Err)
    }

    fn invalidate(&self, keys: &[FarKey], strength: Strength, region: &FarKey) -> Vec<Invalidated> {
        self.wait(self.far.invalidate(keys, strength, region), keys.len(), Invalidated::Pending)
    }

    fn bump(&self, scopes: &[FarKey], region: &FarKey) -> Vec<Invalidated> {
        self.wait(self.far.bump(scopes, region), scopes.len(), Invalidated::Pending)
    }

    fn pending(&self) -> usize {
        self.far.pending()
    }

    fn size_limit(&self) -> Option<usize> {
        self.far.size_limit()
    }
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Awaited({:?})", self.far)
    }
}

impl fmt::Debug for AsyncSuiteFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncSuiteFar").field("far", &self.far).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
