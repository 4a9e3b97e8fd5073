//! A client that has its connections allocates the values that it reads, and nothing else.

#![allow(clippy::expect_used, clippy::panic)]

use std::time::Duration;

use allocation_counter::measure;
use cache_memcached::{Client, Stored};
use memcached_server::Server;

const MINUTE: Duration = Duration::from_secs(60);
const CALLS: u64 = 200;

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

#[test]
fn a_blocking_caller_allocates_the_values_it_reads() {
    let server = Server::start(&[]);
    let client = Client::from_url(&server.url()).expect("a client");
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

/// On a runtime of one thread, so that what the connection's task does is counted as well.
#[cfg(feature = "tokio")]
#[test]
fn a_task_allocates_the_values_it_reads() {
    let server = Server::start(&[]);
    let client = Client::from_url(&server.url()).expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    macro_rules! allocations {
        ($call:expr) => {{
            // One future for all calls: what a runtime needs to begin with one is its own.
            let calls = || {
                runtime.block_on(async {
                    for _ in 0..CALLS {
                        $call;
                    }
                })
            };
            calls();
            measure(calls).count_total - measure(|| runtime.block_on(async {})).count_total
        }};
    }
    for value in values() {
        let stored = allocations!(client.set("k", &value, MINUTE).await.expect("stored"));
        let read = allocations!({
            let item = client.get("k").await.expect("an answer");
            assert_eq!(item.map(|item| item.value.len()), Some(value.len()));
        });
        let missing = allocations!(assert_eq!(client.get("none").await.ok(), Some(None)));
        assert_eq!((stored, read, missing), (0, CALLS, 0), "{} bytes", value.len());
    }
}
