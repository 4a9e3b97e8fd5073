//! Futures that are dropped wherever they wait, ten thousand of them at random: whoever shares their connections gets every
//! reply, each the right one.

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use cache_core::backend::{
    AsyncBytesBackend, Claim, Fill, FillOutcome, HandBack, Kept, Lease, Read, Recall, Seen, Strength, Take, Token,
};
use cache_core::clock::Clock;
use cache_core::error::Result;
use cache_core::key::FarKey;
use cache_core::record;
use tokio::runtime::Builder;

use memcached_server::Server;

use super::{config, region};
use crate::{Client, Config, Item, Memcached};

/// How many tasks check every value meanwhile.
const CHECKERS: u64 = 64;
const DROPPERS: u64 = 40;
const KEYS: u64 = 100;
/// The records from this key on are kept in parts: larger than this server takes.
const IN_PARTS: u64 = 98;
const LIMIT: &str = "512k";
const MINUTE: Duration = Duration::from_secs(60);
/// Longer than anything takes here: a reply that is lost is missed when it is over.
const IO_TIMEOUT: Duration = Duration::from_secs(20);

/// What is begun and dropped. What begins no invalidation comes first.
const OPERATIONS: [&str; 11] =
    ["read", "fill", "take", "hand_back", "validate", "get", "get_many", "set", "delete", "invalidate", "bump"];
const WITHOUT_INVALIDATIONS: usize = 9;

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A key; of so many, one whose records are in parts: those take long.
    fn key(&mut self, rare: u64) -> u64 {
        if self.below(rare) == 0 { IN_PARTS + self.below(KEYS - IN_PARTS) } else { self.below(IN_PARTS) }
    }
}

fn key(n: u64) -> FarKey {
    let namespace = if n < IN_PARTS { "small" } else { "parts" };
    FarKey::new(format!("dropped:{namespace}:{n}")).unwrap()
}

fn plain(n: u64) -> String {
    format!("plain:{n}")
}

fn scopes() -> [FarKey; 2] {
    [region(), FarKey::new("dropped:@namespace").unwrap()]
}

/// A value that tells its key, and who wrote it, from its first byte to its last.
fn value(n: u64, dice: &mut Dice) -> Vec<u8> {
    let len = if n < IN_PARTS { dice.below(4_000) } else { 600_000 };
    let line = format!("{n}.{}:", dice.below(1 << 30));
    line.repeat(1 + len as usize / line.len()).into_bytes()
}

/// Whether a value is one that was written under this key, and not a mixture.
fn tells(n: u64, value: &[u8]) -> bool {
    let line = value.split_inclusive(|byte| *byte == b':').next().unwrap_or_default();
    line.starts_with(format!("{n}.").as_bytes()) && value.chunks(line.len()).all(|chunk| line.starts_with(chunk))
}

/// What the tasks share.
struct Fire {
    far: Memcached,
    plain: Client,
    seed: u64,
    is_over: AtomicBool,
    /// How many values were seen and were right.
    right: AtomicU64,
    /// How many futures were dropped while they waited, by operation.
    dropped: [AtomicU64; OPERATIONS.len()],
}

impl Fire {
    /// What an operation came to that must not fail.
    fn answer<T>(&self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("a reply is lost, seed {}: {error}", self.seed))
    }

    fn check(&self, n: u64, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        let is_dead = n >= IN_PARTS && value[0] == record::SPLIT;
        let begins = String::from_utf8_lossy(&value[..value.len().min(20)]);
        assert!(is_dead || tells(n, value), "key {n} has `{begins}..`, seed {}", self.seed);
        self.right.fetch_add(u64::from(!is_dead), Ordering::Relaxed);
    }

    fn check_seen(&self, keys: &[u64], seen: Vec<Result<Seen>>) -> Vec<Seen> {
        assert_eq!(seen.len(), keys.len());
        let seen: Vec<Seen> = seen.into_iter().map(|seen| self.answer(seen)).collect();
        keys.iter().zip(&seen).for_each(|(n, seen)| self.check(*n, seen.record.as_deref()));
        seen
    }

    fn check_item(&self, n: u64, item: Result<Option<Item>>) {
        self.check(n, self.answer(item).map(|item| item.value).as_deref());
    }

    /// Reads these as a caller would, and claims what is missing.
    async fn look(&self, numbers: &[u64]) -> Vec<Seen> {
        let (keys, scopes): (Vec<_>, _) = (numbers.iter().copied().map(key).collect(), scopes());
        let lease = Lease::Claim(Duration::from_secs(1));
        let read = Read { keys: &keys, scopes: &scopes, lease, grace: Duration::ZERO, recall: Recall::Never };
        self.check_seen(numbers, AsyncBytesBackend::read(&self.far, &read).await)
    }

    async fn fill(&self, n: u64, token: Token, dice: &mut Dice) {
        let (key, record) = (key(n), value(n, dice));
        let fill = Fill { key: &key, record: &record, token, keep: Some(MINUTE), grace: Duration::ZERO };
        let outcome = self.answer(AsyncBytesBackend::fill(&self.far, &[fill], &scopes()).await.remove(0)).outcome;
        assert!(matches!(outcome, FillOutcome::Stored(_) | FillOutcome::Superseded), "{outcome:?}");
    }

    /// Reads and gets until it is over, and fills what it has claimed.
    async fn check_all(self: Arc<Self>, mut dice: Dice) {
        while !self.is_over.load(Ordering::Relaxed) {
            let numbers: [u64; 3] = std::array::from_fn(|_| dice.key(1000));
            let small = numbers.map(|n| n % IN_PARTS);
            match dice.below(4) {
                0 => {
                    for (n, seen) in numbers.iter().zip(self.look(&numbers).await) {
                        if let (Claim::Won, Some(token)) = (seen.claim, seen.token) {
                            self.fill(*n, token, &mut dice).await;
                        }
                    }
                }
                1 => drop(self.look(&numbers[..1]).await),
                2 => self.check_item(small[0], self.plain.get(&plain(small[0])).await),
                _ => {
                    let items = self.plain.get_many(&small.map(plain)).await;
                    assert_eq!(items.len(), small.len());
                    small.into_iter().zip(items).for_each(|(n, item)| self.check_item(n, item));
                }
            }
        }
    }

    /// Begins one of these operations and drops it somewhere. Whether it had not ended.
    async fn drop_one(&self, operation: usize, dice: &mut Dice) -> bool {
        let numbers: [u64; 3] = std::array::from_fn(|_| dice.key(50));
        let small = numbers.map(|n| n % IN_PARTS);
        let (keys, scopes, region, n) = (numbers.map(key), scopes(), region(), numbers[0]);
        let (plain_keys, plain_value) = (small.map(plain), value(small[0], dice));
        let record = value(n, dice);
        let seen = match OPERATIONS[operation] {
            "fill" | "take" | "hand_back" => self.look(&numbers[..1]).await.pop(),
            _ => None,
        };
        let token = seen.as_ref().and_then(|seen| seen.token).unwrap_or(Token(1));
        let kept = match (seen.and_then(|seen| seen.record), dice.below(2)) {
            (None, _) => Kept::Stub,
            (_, 0) => Kept::Stale,
            _ => Kept::Dead,
        };
        let strength = if dice.below(2) == 0 { Strength::Hard } else { Strength::Soft };
        let lease = Duration::from_secs(1);
        let (claim, grace, recall) = (Lease::Claim(lease), Duration::ZERO, Recall::Never);
        let read = Read { keys: &keys, scopes: &scopes, lease: claim, grace, recall };
        let fills = [Fill { key: &keys[0], record: &record, token, keep: Some(MINUTE), grace }];
        let takes = [Take { key: &keys[0], token, kept, lease }];
        let claims = [HandBack { key: &keys[0], token, kept }];
        let (far, client) = (&self.far, &self.plain);
        // Made before it is polled, as an invalidation counts from there.
        let future: Boxed<'_> = match OPERATIONS[operation] {
            "read" => then(AsyncBytesBackend::read(far, &read), |seen| drop(self.check_seen(&numbers, seen))),
            "fill" => then(AsyncBytesBackend::fill(far, &fills, &scopes), |filled| self.all_answered(filled)),
            "take" => then(AsyncBytesBackend::take(far, &takes, &scopes), |seen| drop(self.check_seen(&[n], seen))),
            "hand_back" => then(AsyncBytesBackend::hand_back(far, &claims, &scopes), |held| self.all_answered(held)),
            "validate" => then(AsyncBytesBackend::validate(far, &keys, &scopes), |checks| self.all_answered(checks)),
            "invalidate" => then(AsyncBytesBackend::invalidate(far, &keys, strength, &region), drop),
            "bump" => then(AsyncBytesBackend::bump(far, &scopes[1..], &region), drop),
            "get" => then(client.get(&plain_keys[0]), |item| self.check_item(small[0], item)),
            "get_many" => then(client.get_many(&plain_keys), |items| {
                small.into_iter().zip(items).for_each(|(n, item)| self.check_item(n, item));
            }),
            "set" => then(client.set(&plain_keys[0], &plain_value, MINUTE), |set| self.answer(set)),
            "delete" => then(client.delete(&plain_keys[0]), |deleted| _ = self.answer(deleted)),
            other => panic!("there is no operation {other}"),
        };
        polled(future, dice.below(7), dice.below(2) == 0).await
    }

    fn all_answered<T: Debug>(&self, answers: Vec<Result<T>>) {
        answers.into_iter().for_each(|answer| drop(self.answer(answer)));
    }

    /// Drops so many futures of these operations.
    async fn drop_many(self: Arc<Self>, count: u64, operations: usize, mut dice: Dice) {
        let mut dropped = 0;
        while dropped < count {
            let operation = dice.below(operations as u64) as usize;
            if self.drop_one(operation, &mut dice).await {
                self.dropped[operation].fetch_add(1, Ordering::Relaxed);
                dropped += 1;
            }
            tokio::task::yield_now().await;
        }
    }

    fn count(&self, name: &str) -> u64 {
        AsyncBytesBackend::nodes(&self.far).remove(0).count(name).unwrap()
    }
}

type Boxed<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

fn then<'a, T>(future: impl Future<Output = T> + Send + 'a, check: impl FnOnce(T) + Send + 'a) -> Boxed<'a> {
    Box::pin(async move { check(future.await) })
}

/// Polls it so often, at once again or when it is woken, and drops it. Whether it had not ended.
async fn polled(mut future: Boxed<'_>, mut polls: u64, is_hasty: bool) -> bool {
    poll_fn(|cx| {
        if polls > 0 {
            polls -= 1;
            if future.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
        }
        if polls == 0 {
            return Poll::Ready(true);
        }
        if is_hasty {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

/// Lets so many futures be dropped, while others check what they get.
async fn burn(fire: &Arc<Fire>, drops: u64, operations: usize) {
    fire.is_over.store(false, Ordering::Relaxed);
    let dice = |n: u64| Dice(fire.seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let checkers: Vec<_> = (0..CHECKERS).map(|n| tokio::spawn(fire.clone().check_all(dice(n)))).collect();
    let droppers: Vec<_> = (CHECKERS..CHECKERS + DROPPERS)
        .map(|n| tokio::spawn(fire.clone().drop_many(drops / DROPPERS, operations, dice(n))))
        .collect();
    for dropper in droppers {
        dropper.await.unwrap();
    }
    fire.is_over.store(true, Ordering::Relaxed);
    for checker in checkers {
        checker.await.unwrap();
    }
}

#[test]
fn ten_thousand_futures_are_dropped_and_nobody_beside_them_misses_a_reply_or_gets_anothers() {
    let server = Server::start(&["-m", "256", "-I", LIMIT]);
    let most = Config { max_in_flight: 1 << 20, max_bytes_in_flight: 1 << 30, ..config(&[server.port()]) };
    let config = Config { io_timeout: IO_TIMEOUT, connect_timeout: IO_TIMEOUT, ..most };
    let far = Memcached::of_another_process(config, Clock::System).unwrap();
    let seed = RandomState::new().hash_one(());
    let (is_over, right, dropped) = (AtomicBool::new(false), AtomicU64::new(0), Default::default());
    let fire = Arc::new(Fire { plain: Client::over(far.clone()), far, seed, is_over, right, dropped });
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        burn(&fire, 1_000, WITHOUT_INVALIDATIONS).await;
        let made = fire.count("connected");
        assert!(made <= 4, "one connection for small values and three for large ones, and not {made}, seed {seed}");
        burn(&fire, 10_000, OPERATIONS.len()).await;
        let began = Instant::now();
        while AsyncBytesBackend::pending(&fire.far) > 0 {
            assert!(began.elapsed() < IO_TIMEOUT, "what was dropped goes out by itself, seed {seed}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fire.look(&(0..KEYS).collect::<Vec<_>>()).await;
        for n in 0..IN_PARTS {
            fire.check_item(n, fire.plain.get(&plain(n)).await);
        }
    });
    for (operation, dropped) in OPERATIONS.iter().zip(&fire.dropped) {
        assert!(dropped.load(Ordering::Relaxed) > 100, "{operation} is hardly dropped, seed {seed}");
    }
    let counts = ["in_flight", "failures", "timeouts", "reconnects"].map(|name| fire.count(name));
    assert_eq!(counts, [0; 4], "a drop is nobody's trouble, seed {seed}");
    assert!(fire.count("connections") <= 4, "seed {seed}");
    let (right, tombstones) = (fire.right.load(Ordering::Relaxed), fire.count("tombstones"));
    assert!(right > 10_000 && tombstones > 1_000, "{right} values, {tombstones} replies for those who had gone");
}
