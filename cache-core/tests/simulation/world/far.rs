//! The far tier of a process, with or without a flaw. What fails is told to the monitor, as it explains loads.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_core::backend::{
    AsyncBytesBackend, BoxFuture, Check, Claim, Fill, FillOutcome, Filled, HandBack, Invalidated, Lease, Read, Recall,
    Returned, Seen, Strength, Take, Token,
};
use cache_core::clock::ManualClock;
use cache_core::error::Result;
use cache_core::generation::{Generation, Generations};
use cache_core::key::FarKey;
use cache_core::testkit::meta::{Command, MetaSet, ms};
use cache_core::testkit::{LoadId, Monitor, SimFar};

use super::plot::{Flaw, LEASE};

thread_local! {
    /// The value that is being set by the future that is polled.
    static SETTING: Cell<Option<LoadId>> = const { Cell::new(None) };
}

/// Polls `future`, which sets this value.
pub async fn setting<F: Future>(value: LoadId, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        SETTING.set(Some(value));
        let polled = future.as_mut().poll(cx);
        SETTING.set(None);
        polled
    })
    .await
}

/// What the processes' flaws share: the generations under which a record was made, and those that its reader was told.
pub type Aliases = Arc<Mutex<HashMap<(FarKey, Token), (Generations, Generations)>>>;

pub struct FlawedFar {
    pub far: SimFar,
    pub clock: ManualClock,
    pub monitor: Monitor,
    pub flaw: Flaw,
    pub aliases: Aliases,
    /// The generations that came with the last claim on each key.
    pub told: Mutex<HashMap<FarKey, Generations>>,
    pub requests: AtomicU64,
}

impl FlawedFar {
    fn trouble<T>(&self, answers: Vec<Result<T>>) -> Vec<Result<T>> {
        if answers.iter().any(Result::is_err) {
            self.monitor.trouble();
        }
        answers
    }

    fn generations(&self, generations: Generations) -> Generations {
        match self.flaw {
            Flaw::Generations => Generations::new(generations.iter().map(|_| Generation(7))),
            // The region and the namespace stand before the tags.
            Flaw::TagGenerations => {
                let tags = generations.iter().skip(2).map(|_| Generation(7));
                Generations::new(generations.iter().take(2).chain(tags).collect::<Vec<_>>())
            }
            _ => generations,
        }
    }

    fn seen(&self, keys: &[FarKey], answers: Vec<Result<Seen>>) -> Vec<Result<Seen>> {
        let answers = self.trouble(answers);
        if self.flaw == Flaw::None {
            return answers;
        }
        let each = keys.iter().zip(answers);
        each.map(|(key, seen)| seen.map(|seen| self.flawed(key, seen))).collect()
    }

    fn flawed(&self, key: &FarKey, seen: Seen) -> Seen {
        let mut seen = Seen { generations: self.generations(seen.generations), ..seen };
        match self.flaw {
            Flaw::LateProof => seen.proved = self.clock.now(),
            Flaw::MemoryRejects => seen.remembered = false,
            _ if seen.record.is_some() => seen.generations = self.aliased(key, seen.token, seen.generations),
            _ => {}
        }
        if seen.claim == Claim::Won || SETTING.get().is_some() {
            self.told.lock().unwrap().insert(key.clone(), seen.generations.clone());
        }
        seen
    }

    /// A record that was made under the present generations is told those that its reader needs to believe that.
    fn aliased(&self, key: &FarKey, token: Option<Token>, generations: Generations) -> Generations {
        let (Flaw::GenerationsAfterLoad, Some(token)) = (self.flaw, token) else { return generations };
        match self.aliases.lock().unwrap().get(&(key.clone(), token)) {
            Some((told, made_under)) if *made_under == generations => told.clone(),
            _ => generations,
        }
    }

    fn told(&self, key: &FarKey, otherwise: &Generations) -> Generations {
        self.told.lock().unwrap().get(key).unwrap_or(otherwise).clone()
    }

    async fn fill_flawed(&self, fill: Fill<'_>, scopes: &[FarKey], setting: bool) -> Result<Filled> {
        let mut fill = fill;
        if self.flaw == Flaw::UnfencedSet && setting {
            return self.store(fill).await;
        }
        if self.flaw == Flaw::Unfenced {
            let (lease, keys) = (Lease::Claim(LEASE), std::slice::from_ref(fill.key));
            let read = Read { keys, scopes, lease, grace: Duration::ZERO, recall: Recall::Never };
            let seen = AsyncBytesBackend::read(&self.far, &read).await.pop();
            fill.token = seen.and_then(Result::ok).and_then(|seen| seen.token).unwrap_or(fill.token);
        }
        let filled =
            AsyncBytesBackend::fill(&self.far, &[fill], scopes).await.pop().expect("one answer for one fill")?;
        let mut filled = Filled { generations: self.generations(filled.generations), ..filled };
        match (self.flaw, filled.outcome) {
            (Flaw::LateProof, _) => filled.proved = self.clock.now(),
            (Flaw::EveryVerdictHeld, _) => {
                if filled.outcome == FillOutcome::Superseded {
                    filled.outcome = FillOutcome::Stored(None);
                }
                filled.generations = self.told(fill.key, &filled.generations);
            }
            (Flaw::GenerationsAfterLoad, FillOutcome::Stored(Some(token))) => {
                let told = self.told(fill.key, &filled.generations);
                let made_under = std::mem::replace(&mut filled.generations, told.clone());
                self.aliases.lock().unwrap().insert((fill.key.clone(), token), (told, made_under));
            }
            _ => {}
        }
        Ok(filled)
    }

    /// A plain write, which its client gives up as it does any request.
    async fn store(&self, fill: Fill<'_>) -> Result<Filled> {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let set =
            MetaSet { ttl: fill.keep.map(seconds), client_flags: seconds(fill.grace), ..ms(fill.key, fill.record) };
        let proved = self.clock.now();
        let replies = self.far.send_raw(fill.key, vec![Command::Set(set)]).await;
        let cas = replies.and_then(|replies| replies.first().and_then(|reply| reply.cas));
        let generations = self.told(fill.key, &Generations::default());
        Ok(Filled { outcome: FillOutcome::Stored(cas.map(Token)), generations, proved })
    }

    async fn delay(&self) {
        if self.flaw == Flaw::SlowAnswers && self.requests.fetch_add(1, Ordering::Relaxed) % 50 == 49 {
            self.clock.sleep_until(self.clock.now().after(Duration::from_secs(60))).await;
        }
    }

    fn invalidated(&self, answers: Vec<Invalidated>) -> Vec<Invalidated> {
        if answers.iter().any(|answer| matches!(answer, Invalidated::Pending(_))) {
            self.monitor.trouble();
        }
        match self.flaw {
            Flaw::PendingIsDone => answers.iter().map(|_| Invalidated::Done).collect(),
            _ => answers,
        }
    }
}

impl AsyncBytesBackend for FlawedFar {
    fn read<'a>(&'a self, read: &'a Read<'a>) -> BoxFuture<'a, Vec<Result<Seen>>> {
        let value = SETTING.get();
        Box::pin(async move {
            self.delay().await;
            let answers = self.seen(read.keys, AsyncBytesBackend::read(&self.far, read).await);
            if let Some(value) = value {
                self.monitor.set_counts_from_now(value);
            }
            answers
        })
    }

    fn fill<'a>(&'a self, fills: &'a [Fill<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Filled>>> {
        let setting = SETTING.get().is_some();
        Box::pin(async move {
            if self.flaw == Flaw::None {
                return self.trouble(AsyncBytesBackend::fill(&self.far, fills, scopes).await);
            }
            let mut answers = Vec::new();
            for fill in fills {
                answers.push(self.fill_flawed(*fill, scopes, setting).await);
            }
            self.trouble(answers)
        })
    }

    fn hand_back<'a>(
        &'a self,
        claims: &'a [HandBack<'a>],
        scopes: &'a [FarKey],
    ) -> BoxFuture<'a, Vec<Result<Returned>>> {
        Box::pin(async move {
            let answers = self.trouble(AsyncBytesBackend::hand_back(&self.far, claims, scopes).await);
            let flaw = |back: Returned| Returned { generations: self.generations(back.generations), ..back };
            answers.into_iter().map(|answer| answer.map(flaw)).collect()
        })
    }

    fn take<'a>(&'a self, takes: &'a [Take<'a>], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Seen>>> {
        Box::pin(async move {
            let keys: Vec<FarKey> = takes.iter().map(|take| take.key.clone()).collect();
            if self.flaw == Flaw::EveryTakeWins {
                let (lease, grace, recall) = (Lease::None, Duration::ZERO, Recall::Never);
                let read = Read { keys: &keys, scopes, lease, grace, recall };
                let answers = self.trouble(AsyncBytesBackend::read(&self.far, &read).await);
                let win = |seen: Seen| Seen { claim: Claim::Won, record: None, ..seen };
                return answers.into_iter().map(|answer| answer.map(win)).collect();
            }
            self.seen(&keys, AsyncBytesBackend::take(&self.far, takes, scopes).await)
        })
    }

    fn validate<'a>(&'a self, keys: &'a [FarKey], scopes: &'a [FarKey]) -> BoxFuture<'a, Vec<Result<Check>>> {
        Box::pin(async move {
            let answers = self.trouble(AsyncBytesBackend::validate(&self.far, keys, scopes).await);
            let now = self.clock.now();
            let flaw = |key: &FarKey, check: Check| {
                let generations = self.aliased(key, check.token, self.generations(check.generations));
                let proved = if self.flaw == Flaw::LateProof { now } else { check.proved };
                Check { generations, proved, ..check }
            };
            keys.iter().zip(answers).map(|(key, answer)| answer.map(|check| flaw(key, check))).collect()
        })
    }

    fn invalidate<'a>(
        &'a self,
        keys: &'a [FarKey],
        strength: Strength,
        region: &'a FarKey,
    ) -> BoxFuture<'a, Vec<Invalidated>> {
        // Made at once: from here on the invalidation is owed, also if its future is dropped unpolled.
        let sent = AsyncBytesBackend::invalidate(&self.far, keys, strength, region);
        Box::pin(async move { self.invalidated(sent.await) })
    }

    fn bump<'a>(&'a self, scopes: &'a [FarKey], region: &'a FarKey) -> BoxFuture<'a, Vec<Invalidated>> {
        let sent = AsyncBytesBackend::bump(&self.far, scopes, region);
        Box::pin(async move { self.invalidated(sent.await) })
    }

    fn pending(&self) -> usize {
        self.far.pending()
    }
}

impl fmt::Debug for FlawedFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlawedFar({:?}, {:?})", self.far, self.flaw)
    }
}
