//! A client that has its connections allocates the values that it reads, and nothing else; of many keys, and of records
//! with their generations, a few lists more.

#![allow(clippy::expect_used, clippy::panic)]

use std::time::Duration;

use allocation_counter::measure;
use cache_core::backend::{BytesBackend, Fill, FillOutcome, Lease, Read, Recall, Seen};
use cache_core::clock::Clock;
use cache_core::config::BackendUrl;
use cache_core::error::Error;
use cache_core::key::FarKey;
use cache_memcached::{Client, Config, Memcached, Stored};
use memcached_server::Server;

const MINUTE: Duration = Duration::from_secs(60);
const CALLS: u64 = 200;
/// Keys of an operation of many: as many as a connection keeps lists of replies for, and more.
const MANY: [u64; 2] = [50, 100];

/// What is stored: a value that comes with its reply, and one that comes in pieces.
fn values() -> [Vec<u8>; 2] {
    [vec![b's'; 100], vec![b'l'; 40 << 10]]
}

/// How often so many calls allocated, after as many.
fn allocations(call: impl Fn()) -> u64 {
    let calls = || (0..CALLS).for_each(|_| call());
    calls();
    measure(calls).count_total
}

fn keys(count: u64) -> Vec<String> {
    (0..count).map(|n| format!("many:{n}")).collect()
}

/// What the operation of so many keys needs beside their values: the list of keys, that of their places, and that of what
/// was found, which becomes the answer. A connection's list of replies that has grown beyond 64 is cut down to that, and
/// grows again.
fn lists(count: u64) -> u64 {
    3 + if count > 64 { 2 } else { 0 }
}

/// A machine that stands still for a while makes no error: errors are allocated.
fn patient(server: &Server) -> String {
    format!("{}?io_timeout=10s", server.url())
}

fn backend(server: &Server) -> Memcached {
    let config = Config::from_url(&BackendUrl::parse(&patient(server)).expect("a URL")).expect("good settings");
    Memcached::new(config, Clock::System).expect("a backend")
}

/// The same of what is awaited.
#[cfg(feature = "tokio")]
macro_rules! awaited {
    ($runtime:expr, $call:expr) => {{
        // One future for all calls: what a runtime needs to begin with one is its own.
        let calls = || {
            $runtime.block_on(async {
                for _ in 0..CALLS {
                    $call;
                }
            })
        };
        calls();
        measure(calls).count_total - measure(|| $runtime.block_on(async {})).count_total
    }};
}

/// Stores a record, by the face that `ask!` asks by: what reads it.
macro_rules! stored {
    ($far:expr, $key:expr, $scopes:expr, $ask:ident) => {{
        let (keys, lease) = (std::slice::from_ref($key), Lease::Claim(MINUTE));
        let read = Read { keys, scopes: $scopes, lease, grace: Duration::ZERO, recall: Recall::Never };
        let token = $ask!($far, read(&read)).remove(0).expect("an answer").token.expect("a fence");
        let fill = Fill { key: $key, record: &[b'r'; 100], token, keep: Some(MINUTE), grace: Duration::ZERO };
        let filled = $ask!($far, fill(&[fill], $scopes)).remove(0).expect("an answer");
        assert!(matches!(filled.outcome, FillOutcome::Stored(_)));
        read
    }};
}

#[test]
fn a_blocking_caller_allocates_for_many_keys_and_for_records() {
    let server = Server::start(&[]);
    let client = Client::from_url(&patient(&server)).expect("a client");
    for count in MANY {
        let keys = keys(count);
        keys.iter().for_each(|key| client.set(key, "value", MINUTE).wait().expect("stored"));
        let found = allocations(|| {
            let found = client.get_many(&keys).wait();
            assert!(found.len() == keys.len() && found.iter().all(|item| matches!(item, Ok(Some(_)))));
        });
        assert_eq!(found, CALLS * (count + lists(count)), "{count} keys");
    }
    let deleted = allocations(|| assert_eq!(client.delete("none").wait().ok(), Some(false)));
    assert_eq!(deleted, 0);
    let (far, key) = (backend(&server), FarKey::new("r:ns:k").expect("a key"));
    let scopes = ["r:@region", "r:ns:@namespace"].map(|scope| FarKey::new(scope).expect("a key"));
    macro_rules! ask {
        ($far:expr, $method:ident($($argument:expr),*)) => { BytesBackend::$method($far, $($argument),*) };
    }
    // What is asked, the record, and the list of what is seen; with scopes, each one's value, and the list of their
    // generations.
    for (scopes, expected) in [(&scopes[..0], 3), (&scopes[..1], 3 + 1 + 1), (&scopes[..], 3 + 2 + 1)] {
        let read = stored!(&far, &key, scopes, ask);
        let seen = allocations(|| assert_seen(BytesBackend::read(&far, &read), scopes));
        assert_eq!(seen, CALLS * expected, "{} scopes", scopes.len());
    }
}

fn assert_seen(mut seen: Vec<Result<Seen, Error>>, scopes: &[FarKey]) {
    let seen = seen.remove(0).expect("an answer");
    assert!(seen.record.is_some_and(|record| record.len() == 100) && seen.generations.len() == scopes.len());
}

#[test]
fn a_blocking_caller_allocates_the_values_it_reads() {
    let server = Server::start(&[]);
    let client = Client::from_url(&patient(&server)).expect("a client");
    for value in values() {
        let stored = allocations(|| client.set("k", &value, MINUTE).wait().expect("stored"));
        let refused = allocations(|| assert_eq!(client.add("k", &value, MINUTE).wait().ok(), Some(Stored::NotStored)));
        let read = allocations(|| {
            let item = client.get("k").wait().expect("an answer");
            assert_eq!(item.map(|item| item.value.len()), Some(value.len()));
        });
        let missing = allocations(|| assert_eq!(client.get("none").wait().ok(), Some(None)));
        assert_eq!((stored, refused, read, missing), (0, 0, CALLS, 0), "{} bytes", value.len());
    }
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_allocates_for_many_keys_and_for_records() {
    use cache_core::backend::AsyncBytesBackend;

    let server = Server::start(&[]);
    let client = Client::from_url(&patient(&server)).expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    macro_rules! ask {
        ($far:expr, $method:ident($($argument:expr),*)) => {
            runtime.block_on(AsyncBytesBackend::$method($far, $($argument),*))
        };
    }
    for count in MANY {
        let keys = keys(count);
        keys.iter().for_each(|key| client.set(key, "value", MINUTE).wait().expect("stored"));
        let found = awaited!(runtime, {
            let found = client.get_many(&keys).await;
            assert!(found.len() == keys.len() && found.iter().all(|item| matches!(item, Ok(Some(_)))));
        });
        // And the keys' hashes, by which their connection knows whose values come.
        assert_eq!(found, CALLS * (count + lists(count) + 1), "{count} keys");
    }
    let deleted = awaited!(runtime, assert_eq!(client.delete("none").await.ok(), Some(false)));
    assert_eq!(deleted, 0);
    let (far, key) = (backend(&server), FarKey::new("r:ns:k").expect("a key"));
    let scopes = ["r:@region", "r:ns:@namespace"].map(|scope| FarKey::new(scope).expect("a key"));
    // As for a blocking caller, and the future; with scopes, the lists of the replies that tell the generations and of
    // those, for all who have asked for them.
    for (scopes, expected) in [(&scopes[..0], 3 + 1), (&scopes[..1], 5 + 1 + 2), (&scopes[..], 6 + 1 + 2)] {
        let read = stored!(&far, &key, scopes, ask);
        let seen = awaited!(runtime, assert_seen(AsyncBytesBackend::read(&far, &read).await, scopes));
        assert_eq!(seen, CALLS * expected, "{} scopes", scopes.len());
    }
}

/// On a runtime of one thread, so that what the connection's task does is counted as well.
#[cfg(feature = "tokio")]
#[test]
fn a_task_allocates_the_values_it_reads() {
    let server = Server::start(&[]);
    let client = Client::from_url(&patient(&server)).expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for value in values() {
        let stored = awaited!(runtime, client.set("k", &value, MINUTE).await.expect("stored"));
        let read = awaited!(runtime, {
            let item = client.get("k").await.expect("an answer");
            assert_eq!(item.map(|item| item.value.len()), Some(value.len()));
        });
        let missing = awaited!(runtime, assert_eq!(client.get("none").await.ok(), Some(None)));
        assert_eq!((stored, read, missing), (0, CALLS, 0), "{} bytes", value.len());
    }
}
