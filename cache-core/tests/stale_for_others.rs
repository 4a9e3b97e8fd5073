//! Stale values that stand in for failed loads: who follows such a load gets nothing that was invalidated here before.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(unused_macros)]
#[macro_use]
mod common;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cache_core::region::Invalidate;
use cache_core::rt::{self, KeyBuffer, TagList};
use cache_core::testkit::{Fate, Faults, block_on};

use common::*;

const FAST: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_millis(100);

type Call<'a> = Pin<Box<dyn Future<Output = Result<u64, String>> + 'a>>;

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A call that loads `result` as soon as it may.
fn call<'a>(process: &'a Process, open: &'a Cell<bool>, result: Result<u64, String>) -> Call<'a> {
    let mut buffer = KeyBuffer::new();
    let site = numbers();
    let mut key = site.begin(&mut buffer);
    key.arg(&1);
    let tags = |_: &(), list: &mut TagList| list.add(format_args!("team:7"));
    let load = move |()| async move {
        std::future::poll_fn(|_| if open.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        result
    };
    Box::pin(rt::call_async_tagged(site, &process.region, &mut key, terms!(Result<u64, String>), tags, (), load))
}

fn faults(reply: Duration) -> Faults {
    Faults { request_delay: FAST..=FAST, reply_delay: reply..=reply, ..Faults::none() }
}

/// The leader has read the stale value before the invalidation, and learns it after.
fn after(invalidate: impl Fn(&Process) -> Invalidate) {
    let network = Network::new();
    let settings = |settings: cache_core::config::Settings| settings.stale_if_error(60 * SECOND);
    let here = network.process_with(Tiers::Both, settings);
    let open = Cell::new(true);
    assert_eq!(block_on(&network.clock, call(&here, &open, Ok(10))), Ok(Ok(10)));
    network.clock.advance(TTL + SECOND);
    open.set(false);
    here.far.set_faults(faults(SLOW));
    let mut leader = call(&here, &open, Err("down".to_owned()));
    assert!(poll(&mut leader).is_pending());
    network.clock.advance(FAST);
    here.far.set_faults(Faults::none());
    block_on(&network.clock, invalidate(&here)).unwrap().unwrap();
    network.clock.advance(SLOW);
    assert!(poll(&mut leader).is_pending(), "it has read, and loads");
    let follows = Cell::new(true);
    let mut follower = call(&here, &follows, Ok(20));
    assert!(poll(&mut follower).is_pending());
    open.set(true);
    assert_eq!(block_on(&network.clock, leader), Ok(Ok(10)), "it came before");
    assert_eq!(block_on(&network.clock, follower), Ok(Ok(20)), "it came after");
}

#[test]
fn the_key_was_invalidated_before_the_leader_led() {
    after(|process| process.region.invalidate("numbers", 1));
}

#[test]
fn the_namespace_was_invalidated_before_the_leader_led() {
    after(|process| process.region.invalidate_namespace("numbers"));
}

#[test]
fn a_tag_was_invalidated_before_the_leader_led() {
    after(|process| process.region.invalidate_tag("team:7"));
}

/// What it follows began after it came, so that its stale value is proved; but it would be kept as part of another value.
#[test]
fn what_a_load_reads_is_no_value_that_stands_in_for_a_failure() {
    for tiers in SHARED {
        let network = Network::new();
        let here = network.process_with(tiers, |settings| settings.stale_if_error(60 * SECOND));
        let (open, ready) = (Cell::new(false), Cell::new(true));
        assert_eq!(block_on(&network.clock, call(&here, &ready, Ok(10))), Ok(Ok(10)));
        network.clock.advance(TTL + SECOND);
        here.far.order(Fate::Deliver);
        here.far.order(Fate::LoseRequest);
        let part = || async { call(&here, &ready, Ok(20)).await };
        let mut whole = Box::pin(here.region.get_or_create_async("numbers", 2, part));
        while here.count("loads") < 2 {
            assert!(poll(&mut whole).is_pending());
            network.clock.advance(FAST);
        }
        assert!(poll(&mut whole).is_pending(), "its part asks the far tier, which does not answer");
        network.clock.advance(FAST);
        let mut leader = call(&here, &open, Err("down".to_owned()));
        assert!(poll(&mut leader).is_pending());
        network.clock.advance(SECOND);
        assert!(poll(&mut whole).is_pending(), "its part follows");
        assert_eq!(here.count("waits"), 1);
        open.set(true);
        assert_eq!(block_on(&network.clock, leader), Ok(Ok(10)));
        assert_eq!(block_on(&network.clock, whole), Ok(Ok(20)), "{tiers:?}");
    }
}
