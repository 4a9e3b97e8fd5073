//! A near hit allocates nothing: not for its key up to 128 bytes, not for its future, not for its statistics.

#![cfg(all(feature = "macros", feature = "memory"))]
#![allow(clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use cache::{Region, Settings, cached, registry};

static REGION: Region = Region::named("no_allocation");

#[cached(REGION, "shared")]
fn shared(id: u64, name: &str) -> Result<Arc<str>, String> {
    Ok(format!("{id} {name}").into())
}

#[cached(REGION, "shared_async")]
async fn shared_async(id: u64, name: &str) -> Result<Arc<str>, String> {
    Ok(format!("{id} {name}").into())
}

fn configure() {
    let settings = Settings::new().ttl(Duration::from_secs(3600)).near("memory://");
    registry().configure("no_allocation", settings).expect("good settings");
}

/// How often `calls` allocated, after they were made once.
fn allocations(calls: impl Fn()) -> u64 {
    calls();
    measure(calls).count_total
}

#[test]
fn a_blocking_hit_allocates_nothing() {
    configure();
    let name = "n".repeat(90);
    assert_eq!(allocations(|| (0..100).for_each(|id| assert!(shared(id, &name).is_ok()))), 0);
    let long = "n".repeat(1000);
    assert!(allocations(|| assert!(shared(1, &long).is_ok())) > 0, "a long key does, so the counter counts");
}

#[test]
fn an_async_hit_allocates_nothing_and_is_there_at_the_first_poll() {
    configure();
    let hit = |id| match std::pin::pin!(shared_async(id, "name")).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => assert!(result.is_ok()),
        Poll::Pending => panic!("a hit, or a load that never waits, is ready at once"),
    };
    assert_eq!(allocations(|| (0..100).for_each(hit)), 0);
}
