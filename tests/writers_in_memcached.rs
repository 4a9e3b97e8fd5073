//! `#[invalidates]` over a real memcached server: what a writer changed is gone there, also if its future was dropped.

#![cfg(all(feature = "macros", feature = "memcached", feature = "testkit", feature = "tokio"))]
#![allow(clippy::expect_used)]

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use cache::testkit::{isolated, isolated_async};
use cache::{Region, Registry, Settings, cached, invalidates, open_known_schemes};
use memcached_server::Server;
use tokio::time::timeout;

static SHARED: Region = Region::named("shared");

thread_local! {
    /// The source: what is true, in the runtime of one test.
    static SOLD: Cell<u64> = const { Cell::new(0) };
}

#[cached(SHARED, "stock")]
async fn stock(sku: &str) -> u64 {
    sku.len() as u64 + SOLD.get()
}

/// Writes; then it is as slow as it is told.
#[invalidates(stock(&sku))]
async fn sell(sku: String, ends: bool) -> u64 {
    drop(sku);
    SOLD.set(SOLD.get() + 1);
    if !ends {
        pending::<()>().await;
    }
    tokio::task::yield_now().await;
    SOLD.get()
}

/// A registry of its own, as another process would have it, whose one region is kept on `server`.
fn registry(server: &Server) -> Registry {
    let registry = Registry::new();
    open_known_schemes(&registry);
    let far = format!("{}?io_timeout=200ms&blacklist=50ms", server.url());
    registry
        .configure("shared", Settings::new().ttl(Duration::from_secs(60)).far(far.as_str()))
        .expect("good settings");
    registry
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// How many records the server holds.
fn records(server: &Server) -> usize {
    server.keys().iter().filter(|key| key.contains(":stock:") && !key.contains("%40")).count()
}

#[test]
fn a_writer_has_reached_the_server_when_it_returns() {
    let server = Server::start(&[]);
    runtime().block_on(isolated_async(&registry(&server), async {
        let before = stock("tea").await;
        assert_eq!(records(&server), 1);
        sell("tea".to_owned(), true).await;
        assert_eq!(records(&server), 0);
        assert_eq!(stock("tea").await, before + 1);
    }));
}

#[test]
fn a_writer_that_is_dropped_reaches_the_server_by_itself() {
    let server = Server::start(&[]);
    runtime().block_on(isolated_async(&registry(&server), async {
        stock("tea").await;
        assert_eq!(records(&server), 1);
        let hung_up = timeout(Duration::from_millis(20), sell("tea".to_owned(), false)).await;
        assert!(hung_up.is_err(), "dropped between its write and the invalidation");
        SHARED.flush_pending().await.expect("the server is there");
        assert_eq!(records(&server), 0);
    }));
}

#[test]
fn a_writer_that_is_dropped_while_the_server_stands_still_reaches_it_later() {
    let server = Server::start(&[]);
    runtime().block_on(isolated_async(&registry(&server), async {
        stock("tea").await;
        server.pause();
        let hung_up = timeout(Duration::from_millis(20), sell("tea".to_owned(), true)).await;
        assert!(hung_up.is_err(), "dropped while the invalidation was under way");
        server.resume();
        SHARED.flush_pending().await.expect("the server is back");
        assert_eq!(records(&server), 0);
    }));
}

#[test]
fn a_writer_that_is_dropped_with_its_runtime_reaches_the_server_as_well() {
    let server = Server::start(&[]);
    let registry = registry(&server);
    let runtime = runtime();
    let writer = runtime.block_on(isolated_async(&registry, async {
        stock("tea").await;
        let mut writer = Box::pin(sell("tea".to_owned(), false));
        let hung_up = timeout(Duration::from_millis(20), &mut writer).await;
        hung_up.map_or(Some(writer), |_| None)
    }));
    drop(runtime);
    assert_eq!(records(&server), 1);
    drop(writer.expect("it never ends"));
    isolated(&registry, || SHARED.flush_pending().wait()).expect("the server is there");
    assert_eq!(records(&server), 0);
}

#[test]
fn a_task_that_is_aborted_has_invalidated() {
    let server = Server::start(&[]);
    let registry = registry(&server);
    runtime().block_on(isolated_async(&registry, async {
        stock("tea").await;
        let task = tokio::spawn(isolated_async(&registry, sell("tea".to_owned(), false)));
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        SHARED.flush_pending().await.expect("the server is there");
        assert_eq!(records(&server), 0);
    }));
}
