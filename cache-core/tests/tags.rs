//! Entries with tags: an invalidation of one ends all that have it, as the other scopes end theirs.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cache_core::key::{KeyPlace, Scope, scope_key};
use cache_core::region::{Reached, SetOutcome};
use cache_core::rt::{self, KeyBuffer, Serde, Site, TagList};
use cache_core::testkit::block_on;

use common::*;

twins! {
    a_tag_ends_whatever_has_it_and_nothing_else,
    the_other_scopes_end_what_has_tags_too,
    a_tag_that_the_node_forgot_ends_what_has_it,
    an_entry_is_read_and_set_under_its_tags,
    by_name_the_tags_must_be_said,
    an_invalidation_of_a_tag_is_counted_once,
}

/// Calls `site` with `n`, in a team.
fn ask_in(face: Face, process: &Process, site: &'static Site, n: u32, team: u32, value: u64) -> u64 {
    let mut buffer = KeyBuffer::new();
    let mut key = site.begin(&mut buffer);
    key.arg(&n);
    let tags = |(team,): &(u32,), list: &mut TagList| list.add(format_args!("team:{team}"));
    let region = &process.region;
    match face {
        Face::Blocking => rt::call_tagged(site, region, &mut key, whole(), tags, (team,), |_| value),
        _ => {
            let load = |_| async move { value };
            face.block_on(rt::call_async_tagged(site, region, &mut key, whole(), tags, (team,), load))
        }
    }
}

/// The entry of such a call.
fn entry_in(process: &Process, site: &'static Site, n: u32, team: u32) -> rt::Entry<u64> {
    let mut buffer = KeyBuffer::new();
    let mut key = site.begin(&mut buffer);
    key.arg(&n);
    rt::entry_tagged(site, &process.region, &mut key, Serde, |list| list.add(format_args!("team:{team}")))
}

fn others() -> &'static Site {
    site(function("app::others", "others"))
}

fn a_tag_ends_whatever_has_it_and_nothing_else(face: Face) {
    for tiers in ALL {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        let asked = |value: u64| {
            let (numbers, others) = (numbers(), others());
            [
                ask_in(face, &here, numbers, 1, 7, value),
                ask_in(face, &here, others, 1, 7, value),
                ask_in(face, &here, numbers, 2, 8, value),
                ask(face, &here, others, 3, value),
            ]
        };
        assert_eq!(asked(10), [10; 4]);
        assert_eq!(asked(11), [10; 4], "tags do not stand in the way of a hit");
        let from = if tiers == Tiers::Near { &here } else { &there };
        let reached = face.invalidate(from.region.invalidate_tag("team:7")).unwrap();
        assert_eq!(reached, if tiers == Tiers::Near { Reached::ThisProcess } else { Reached::Everyone });
        here.clock.advance(2 * SECOND);
        assert_eq!(asked(12), [12, 12, 10, 10], "{tiers:?}");
        assert_eq!(asked(13), [12, 12, 10, 10], "what was loaded since is kept");
    }
}

fn the_other_scopes_end_what_has_tags_too(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let region = &here.region;
        let ends = [region.invalidate("numbers", 1), region.invalidate_namespace("numbers"), region.clear()];
        for (n, end) in ends.into_iter().enumerate() {
            let value = 10 * (1 + n as u64);
            assert_eq!(ask_in(face, &here, numbers(), 1, 7, value), value);
            face.invalidate(end).unwrap();
            assert_eq!(ask_in(face, &here, numbers(), 1, 7, value + 1), value + 1, "{tiers:?}");
            face.invalidate(region.clear()).unwrap();
        }
    }
}

fn a_tag_that_the_node_forgot_ends_what_has_it(face: Face) {
    for tiers in SHARED {
        let network = Network::new();
        let here = network.process(tiers);
        assert_eq!(ask_in(face, &here, numbers(), 1, 7, 10), 10);
        let place = KeyPlace { prefix: "", region: "r" };
        assert!(network.nodes.server(0).evict(&scope_key(place, Scope::Tag("team:7"))));
        here.clock.advance(2 * SECOND);
        assert_eq!(ask_in(face, &here, numbers(), 1, 7, 11), 11, "it might have been changed before");
    }
}

fn an_entry_is_read_and_set_under_its_tags(face: Face) {
    for tiers in ALL {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        let site = numbers();
        let entry = entry_in(&here, site, 1, 7);
        assert_eq!(face.set(entry.set(20)).unwrap(), SetOutcome::Stored);
        assert_eq!(face.get(entry.get()).unwrap(), Some(20));
        assert_eq!(ask_in(face, &here, site, 1, 7, 21), 20);
        if tiers != Tiers::Near {
            assert_eq!(ask_in(face, &there, site, 1, 7, 21), 20);
        }
        face.invalidate(here.region.invalidate_tag("team:7")).unwrap();
        assert_eq!(face.get(entry.get()).unwrap(), None, "{tiers:?}");
    }
}

fn by_name_the_tags_must_be_said(face: Face) {
    let here = Network::new().process(Tiers::Far);
    assert_eq!(ask_in(face, &here, numbers(), 1, 7, 10), 10);
    assert_eq!(face.get(here.region.get::<u64>("numbers", 1)).unwrap(), None);
    assert_eq!(face.get(here.region.get::<u64>("numbers", 1).tags(["team:7"])).unwrap(), Some(10));
    assert_eq!(face.set(here.region.set("numbers", 1, 20u64).tags(["team:7"])).unwrap(), SetOutcome::Stored);
    assert_eq!(ask_in(face, &here, numbers(), 1, 7, 21), 20);
}

fn an_invalidation_of_a_tag_is_counted_once(face: Face) {
    let here = Network::new().process(Tiers::Both);
    ask_in(face, &here, numbers(), 1, 7, 10);
    ask_in(face, &here, others(), 1, 7, 10);
    face.invalidate(here.region.invalidate_tag("team:7")).unwrap();
    assert_eq!(here.count("scope_invalidations"), 1);
}

/// A load that is in flight when its tag is invalidated: its leader has its value, who comes later loads anew, and
/// nothing keeps it.
#[test]
fn a_load_that_began_before_is_for_those_who_came_before() {
    for tiers in ALL {
        let network = Network::new();
        let here = network.process(tiers);
        let site = numbers();
        let open = Cell::new(false);
        let ask_at = |value: u64| {
            let mut buffer = KeyBuffer::new();
            let mut key = site.begin(&mut buffer);
            key.arg(&1);
            let tags = |_: &(), list: &mut TagList| list.add(format_args!("team:7"));
            let open = &open;
            let load = move |()| async move {
                std::future::poll_fn(|_| if open.get() { Poll::Ready(()) } else { Poll::Pending }).await;
                value
            };
            rt::call_async_tagged(site, &here.region, &mut key, whole(), tags, (), load)
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut before = pin!(ask_at(1));
        assert!(before.as_mut().poll(&mut cx).is_pending());
        block_on(&network.clock, here.region.invalidate_tag("team:7")).unwrap().unwrap();
        let mut after = pin!(ask_at(2));
        assert!(after.as_mut().poll(&mut cx).is_pending(), "the first load is in flight still");
        open.set(true);
        assert_eq!(block_on(&network.clock, before), Ok(1), "the leader has its value");
        assert_eq!(block_on(&network.clock, after), Ok(2), "{tiers:?}");
        assert_eq!(block_on(&network.clock, ask_at(3)), Ok(2), "{tiers:?}");
    }
}
