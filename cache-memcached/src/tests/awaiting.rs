//! Many tasks on one connection: each gets its own reply, whoever gives up, and whatever becomes of the server.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use cache_core::backend::{
    AsyncBytesBackend, Claim, Fill, FillOutcome, Invalidated, Lease, Read, Recall, Seen, Strength,
};
use cache_core::clock::Clock;
use cache_core::error::{Kind, Result};
use cache_core::key::FarKey;
use tokio::runtime::{Builder, Runtime};

use memcached_server::Server;

use super::troubles::{introduced, served};
use super::{BESIDE, IO_TIMEOUT, client, config, region};
use crate::{Config, Memcached};

/// More time than a busy machine needs for anything here.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client that has so much time.
fn patient(port: u16) -> Memcached {
    let config = Config { io_timeout: PATIENCE, connect_timeout: PATIENCE, ..config(&[port]) };
    Memcached::of_another_process(config, Clock::System).unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn two_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn key(n: usize) -> FarKey {
    FarKey::new(format!("awaiting:{n}")).unwrap()
}

async fn read(client: &Memcached, key: &FarKey) -> Result<Seen> {
    let (keys, lease) = (std::slice::from_ref(key), Lease::Claim(Duration::from_secs(30)));
    let read = Read { keys, scopes: &[], lease, grace: Duration::ZERO, recall: Recall::Never };
    AsyncBytesBackend::read(client, &read).await.remove(0)
}

async fn store(client: &Memcached, key: &FarKey, record: &[u8]) {
    let token = read(client, key).await.unwrap().token.unwrap();
    let fill = Fill { key, record, token, keep: None, grace: Duration::ZERO };
    let filled = AsyncBytesBackend::fill(client, &[fill], &[]).await.remove(0).unwrap();
    assert!(matches!(filled.outcome, FillOutcome::Stored(Some(_))), "{filled:?}");
}

fn value(n: usize) -> Vec<u8> {
    // From a few bytes to some ten thousand, so that replies end anywhere in what is read at once.
    format!("{n}:").into_bytes().into_iter().cycle().take(1 + n * 37 % 20_000).collect()
}

/// A thousand tasks, of which some give up after a poll or two.
async fn crowd(client: &Memcached, gave_up: &AtomicUsize) {
    let tasks: Vec<_> = (0..1000)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let key = key(n);
                if n % 3 == 0 {
                    let mut polls = n % 4;
                    let mut read = pin!(read(&client, &key));
                    return poll_fn(|cx| match read.as_mut().poll(cx) {
                        Poll::Ready(seen) => Poll::Ready(Some(seen)),
                        Poll::Pending if polls == 0 => Poll::Ready(None),
                        Poll::Pending => {
                            polls -= 1;
                            cx.waker().wake_by_ref();
                            Poll::Pending
                        }
                    })
                    .await;
                }
                Some(read(&client, &key).await)
            })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await.unwrap() {
            Some(seen) => assert_eq!(seen.unwrap().record.unwrap(), value(n), "task {n}"),
            None => drop(gave_up.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

#[test]
fn each_of_a_thousand_tasks_gets_its_own_reply_while_others_give_up() {
    let server = Server::start(&[]);
    let config = Config { io_timeout: Duration::from_secs(10), ..config(&[server.port()]) };
    let client = || Memcached::of_another_process(config.clone(), Clock::System).unwrap();
    one_thread().block_on(async {
        let client = client();
        for n in 0..1000 {
            store(&client, &key(n), &value(n)).await;
        }
    });
    for runtime in [one_thread(), two_threads()] {
        let (client, gave_up) = (client(), AtomicUsize::new(0));
        runtime.block_on(async {
            // Ten thousand give up.
            for _ in 0..16 {
                crowd(&client, &gave_up).await;
            }
        });
        let stats = AsyncBytesBackend::nodes(&client).remove(0);
        let (gave_up, tombstones) = (gave_up.into_inner() as u64, stats.count("tombstones").unwrap());
        assert!(tombstones > 1000 && tombstones <= gave_up, "{tombstones} of {gave_up}: the test is about those");
        assert_eq!(stats.count("in_flight"), Some(0));
    }
}

#[test]
fn each_runtime_has_a_connection_of_its_own() {
    let server = Server::start(&[]);
    let client = patient(server.port());
    std::thread::scope(|scope| {
        for n in 0..8 {
            let client = &client;
            scope.spawn(move || {
                for _ in 0..5 {
                    let seen = one_thread().block_on(read(client, &key(n)));
                    assert!(seen.is_ok(), "{seen:?}");
                }
            });
        }
    });
}

#[test]
fn trouble_is_told_in_time_and_the_next_call_connects_anew() {
    let runtime = two_threads();
    for (answer, words) in [
        (b"VA 10 c1 O".as_slice(), "in the middle of a reply"),
        (b"", "closed the connection"),
        (b"EN O4294967295\r\n", "another request"),
        (b"ERROR Too many open connections\r\n", "Too many open connections"),
    ] {
        // Told as it happens: the words are not those of a time that is over, however late this machine is.
        let client = patient(introduced(answer));
        for _ in 0..2 {
            let began = Instant::now();
            let error = runtime.block_on(read(&client, &key(0))).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("node: 127.0.0.1:"), "{error}");
            assert!(began.elapsed() < PATIENCE / 2, "{error}: {:?}", began.elapsed());
        }
        assert!(AsyncBytesBackend::nodes(&client)[0].count("connected") >= Some(2), "{words}");
    }
    let kept = Arc::new(Mutex::new(Vec::new()));
    let took = || {
        let kept = kept.clone();
        let silent = client(served(move |stream| kept.lock().unwrap().push(stream)));
        let began = Instant::now();
        let error = runtime.block_on(read(&silent, &key(0))).unwrap_err().to_string();
        assert!(error.contains("did not answer within"), "{error}");
        began.elapsed()
    };
    // Asked again where it is this machine that was late.
    assert!((0..5).any(|_| took() < IO_TIMEOUT + BESIDE));
}

/// Does this when it wakes its task.
struct Waking<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Waking<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

#[test]
fn who_calls_while_others_are_told_that_their_connection_ends_makes_another() {
    let client = patient(introduced(b"VA 10 c1 O"));
    let count = |name| AsyncBytesBackend::nodes(&client)[0].count(name).unwrap();
    let made = Arc::new(Mutex::new(Vec::new()));
    one_thread().block_on(async {
        let key = key(0);
        let mut first = pin!(read(&client, &key));
        let outcome = poll_fn(|cx| {
            if count("connected") == 0 {
                return first.as_mut().poll(cx);
            }
            // It waits for a reply now, and is told in the midst of the connection's end.
            let (client, key, made, task) = (client.clone(), key.clone(), made.clone(), cx.waker().clone());
            let waker = Waker::from(Arc::new(Waking(move || {
                let (client, key) = (client.clone(), key.clone());
                let mut second = Box::pin(async move { read(&client, &key).await });
                assert!(second.as_mut().poll(&mut Context::from_waker(&task)).is_pending());
                made.lock().unwrap().push(second);
                task.wake_by_ref();
            })));
            first.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await;
        assert!(outcome.is_err());
        let second = made.lock().unwrap().pop().unwrap();
        assert!(second.await.unwrap_err().to_string().contains("in the middle of a reply"));
    });
    assert_eq!((count("connected"), count("reconnects")), (2, 0), "it does not wait on the one that ends");
}

#[test]
fn a_server_that_stood_still_or_ended_is_found_again() {
    let server = Server::start(&[]);
    let client = client(server.port());
    let runtime = two_threads();
    runtime.block_on(async {
        store(&client, &key(0), b"value").await;
        server.pause();
        assert!(read(&client, &key(0)).await.is_err());
        let pending = AsyncBytesBackend::invalidate(&client, &[key(0)], Strength::Hard, &region()).await.remove(0);
        assert!(matches!(pending, Invalidated::Pending(_)), "{pending:?}");
        server.resume();
        let seen = read(&client, &key(0)).await.unwrap();
        assert_eq!(seen.record, None, "the invalidation went before the read");
        // Between the two the read may be carried out that was given up: on another connection.
        assert_ne!(seen.claim, Claim::Nobody);
        server.restart();
        assert_eq!(read(&client, &key(0)).await.unwrap().claim, Claim::Won);
    });
}

#[test]
fn a_dropped_invalidation_stays_owed() {
    let server = Server::start(&[]);
    let client = client(server.port());
    one_thread().block_on(async {
        store(&client, &key(0), b"value").await;
        drop(AsyncBytesBackend::invalidate(&client, &[key(0)], Strength::Hard, &region()));
        assert_eq!(read(&client, &key(0)).await.unwrap().record, None);
        drop(AsyncBytesBackend::invalidate(&client, &[key(1)], Strength::Hard, &region()));
        let began = Instant::now();
        while AsyncBytesBackend::pending(&client) > 0 {
            assert!(began.elapsed() < Duration::from_secs(5), "it goes out by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

/// One of the numbers that the server keeps.
fn stat(server: &Server, name: &str) -> u64 {
    let stats = server.say("stats\r\n");
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}: {stats}"))
}

#[test]
fn the_generations_that_many_want_to_know_are_asked_for_once() {
    const TASKS: u64 = 100;
    let server = Server::start(&[]);
    let client = client(server.port());
    let scopes = ["@region", "@namespace"].map(|scope| FarKey::new(scope).unwrap());
    one_thread().block_on(async {
        let ask = |n| {
            let (client, scopes) = (client.clone(), scopes.clone());
            async move {
                let keys = [key(n as usize)];
                let read = Read {
                    keys: &keys,
                    scopes: &scopes,
                    lease: Lease::None,
                    grace: Duration::ZERO,
                    recall: Recall::Never,
                };
                AsyncBytesBackend::read(&client, &read).await.remove(0).unwrap().generations
            }
        };
        let known = ask(0).await;
        assert_eq!(known.len(), 2);
        let before = stat(&server, "cmd_get");
        let tasks: Vec<_> = (0..TASKS).map(|n| tokio::spawn(ask(n))).collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), known);
        }
        let asked = stat(&server, "cmd_get") - before;
        assert!(asked < TASKS + TASKS / 2, "{asked} reads for {TASKS} keys");
    });
}

#[test]
fn large_values_travel_beside_small_ones() {
    let server = Server::start(&[]);
    let client = client(server.port());
    let (small, large) = (FarKey::new("r:small:1").unwrap(), FarKey::new("r:large:1").unwrap());
    two_threads().block_on(async {
        store(&client, &small, &[1; 100]).await;
        assert_eq!(read(&client, &large).await.unwrap().claim, Claim::Won, "nobody knows yet that it is large");
        let open = stat(&server, "curr_connections");
        drop(AsyncBytesBackend::invalidate(&client, std::slice::from_ref(&large), Strength::Hard, &region()).await);
        store(&client, &large, &vec![2; 200_000]).await;
        for _ in 0..10 {
            assert_eq!(read(&client, &large).await.unwrap().record.unwrap(), [2; 200_000]);
            assert_eq!(read(&client, &small).await.unwrap().record.unwrap(), [1; 100]);
        }
        assert_eq!(stat(&server, "curr_connections"), open + 1, "one that is idle is used before another is made");
        let many: Vec<_> = (0..20)
            .map(|_| {
                let (client, large) = (client.clone(), large.clone());
                tokio::spawn(async move { read(&client, &large).await.unwrap().record.unwrap().len() })
            })
            .collect();
        for one in many {
            assert_eq!(one.await.unwrap(), 200_000);
        }
        let more = stat(&server, "curr_connections") - open;
        assert!((1..=3).contains(&more), "{more} connections for large values");
    });
}

#[test]
fn no_more_requests_wait_than_may() {
    let server = Server::start(&[]);
    let config = Config { max_in_flight: 10, io_timeout: IO_TIMEOUT, ..config(&[server.port()]) };
    let client = Memcached::of_another_process(config, Clock::System).unwrap();
    one_thread().block_on(async {
        assert!(read(&client, &key(0)).await.is_ok());
        let tasks: Vec<_> = (0..30)
            .map(|n| {
                let client = client.clone();
                tokio::spawn(async move { read(&client, &key(n)).await })
            })
            .collect();
        let mut crowded = 0;
        for task in tasks {
            if let Err(error) = task.await.unwrap() {
                assert!(error.to_string().contains("max_in_flight"), "{error}");
                assert_eq!(error.kind(), Kind::Backend, "what was queued in vain is not sent");
                crowded += 1;
            }
        }
        assert_eq!(crowded, 20);
    });
}

#[test]
fn operations_of_many_keys_leave_room_for_each_other_and_for_small_ones() {
    let server = Server::start(&[]);
    let config = Config { max_in_flight: 800, io_timeout: Duration::from_secs(20), ..config(&[server.port()]) };
    let client = Memcached::of_another_process(config, Clock::System).unwrap();
    one_thread().block_on(async {
        let many: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move {
                    let keys: Vec<FarKey> = (0..3000).map(key).collect();
                    let (scopes, lease) = ([region()], Lease::None);
                    let read =
                        Read { keys: &keys, scopes: &scopes, lease, grace: Duration::ZERO, recall: Recall::Never };
                    AsyncBytesBackend::read(&client, &read).await
                })
            })
            .collect();
        while many.iter().any(|one| !one.is_finished()) {
            assert!(read(&client, &key(1)).await.is_ok());
        }
        for one in many {
            let seen = one.await.unwrap();
            assert_eq!(seen.len(), 3000);
            let first = seen.iter().find_map(|seen| seen.as_ref().err());
            assert!(first.is_none(), "{first:?}");
        }
    });
}

#[test]
fn without_a_reactor_or_a_timer_it_is_an_error_and_no_panic() {
    let server = Server::start(&[]);
    let client = client(server.port());
    let bare = Builder::new_current_thread().build().unwrap();
    let untimed = Builder::new_current_thread().enable_io().build().unwrap();
    for runtime in [bare, untimed] {
        for _ in 0..2 {
            let error = runtime.block_on(read(&client, &key(0))).unwrap_err().to_string();
            assert!(error.contains("under tokio only"), "{error}");
        }
    }
    let stats = AsyncBytesBackend::nodes(&client).remove(0);
    assert_eq!(stats.set_aside_for, None, "that is not the node's fault: {stats:?}");
    assert!(one_thread().block_on(read(&client, &key(0))).is_ok());
}
