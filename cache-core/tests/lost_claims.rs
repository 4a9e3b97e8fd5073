//! A claim that its process was not told of, or could not end, keeps nobody of that process waiting.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use std::pin::Pin;
use std::task::{Context, Waker};

use cache_core::testkit::{Fate, block_on};

use common::*;

twins! {
    a_claim_that_was_won_unheard_is_taken_over_soon,
    so_is_one_that_was_won_before_the_request_was_sent_again,
    so_is_one_whose_value_was_not_stored,
    so_is_one_that_was_not_handed_back,
    the_claim_of_another_process_is_left_to_it,
    a_takeover_ends_the_suspicion,
    a_fresh_record_ends_the_suspicion,
    a_claim_that_could_not_be_taken_is_taken_by_the_next_call,
}

/// Two processes, of which neither waits for the other for more than a second, and a clock that leaps over waits.
fn scene() -> (Network, [Process; 2], Ticking) {
    let network = Network::new();
    let processes = [(); 2].map(|()| network.process_with(Tiers::Far, |settings| settings.patience(SECOND)));
    let ticking = Ticking::new(&network.clock);
    (network, processes, ticking)
}

/// What the far tier holds by now, as another process reads it.
fn stored(network: &Network, n: u32) -> Option<u64> {
    let reader = network.process(Tiers::Far);
    Face::Blocking.get::<u64, _>(reader.region.get("numbers", n)).unwrap()
}

/// A load in another process that has the claim, and does not end by itself.
fn load_elsewhere(there: &Process, n: u32) -> Pin<Box<dyn Future<Output = u64> + '_>> {
    let mut load = Box::pin(there.region.get_or_create_value_async("numbers", n, std::future::pending::<u64>));
    assert!(load.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    load
}

fn a_claim_that_was_won_unheard_is_taken_over_soon(face: Face) {
    for fate in [Fate::LoseReply, Fate::Late(SECOND), Fate::LoseRequest] {
        in_time(move || {
            let (network, [here, _], _ticking) = scene();
            let numbers = numbers();
            here.far.order(fate);
            assert_eq!(ask(face, &here, numbers, 1, 5), 5, "who hears nothing loads");
            assert_eq!(stored(&network, 1), None, "and stores nothing");
            // A request that was only late is carried out.
            network.clock.advance(2 * SECOND);
            let start = network.clock.now();
            assert_eq!(ask(face, &here, numbers, 1, 6), 6);
            let waited = network.clock.now().since(start);
            assert!(waited < SECOND / 4, "{fate:?}: {waited:?}");
            assert_eq!(stored(&network, 1), Some(6));
            assert_eq!(
                here.count("takeovers"),
                u64::from(fate != Fate::LoseRequest),
                "{fate:?}: what was not won is not taken"
            );
        });
    }
}

fn so_is_one_that_was_won_before_the_request_was_sent_again(face: Face) {
    in_time(move || {
        let (network, [here, _], _ticking) = scene();
        let numbers = numbers();
        here.far.order(Fate::Repeat);
        let start = network.clock.now();
        assert_eq!(ask(face, &here, numbers, 1, 5), 5);
        let waited = network.clock.now().since(start);
        assert!(waited < SECOND / 4, "{waited:?}");
        assert_eq!((stored(&network, 1), here.count("takeovers")), (Some(5), 1));
    });
}

fn so_is_one_whose_value_was_not_stored(face: Face) {
    in_time(move || {
        let (network, [here, _], _ticking) = scene();
        let numbers = numbers();
        here.far.order(Fate::Deliver);
        here.far.order(Fate::LoseRequest);
        assert_eq!(ask(face, &here, numbers, 1, 5), 5);
        assert_eq!(stored(&network, 1), None, "the claim still stands");
        assert_eq!(ask(face, &here, numbers, 1, 6), 6);
        assert_eq!((stored(&network, 1), here.count("takeovers")), (Some(6), 1));
    });
}

fn so_is_one_that_was_not_handed_back(face: Face) {
    in_time(move || {
        let (network, [here, _], _ticking) = scene();
        let fallible = site(function("app::fallible", "numbers"));
        let call = |load: fn() -> Result<u64, String>| {
            face.call(fallible, &here.region, |key| key.arg(&1u32), terms!(Result<u64, String>), load)
        };
        here.far.order(Fate::Deliver);
        here.far.order(Fate::LoseRequest);
        call(|| Err("the source is down".to_owned())).unwrap_err();
        assert_eq!(call(|| Ok(6)), Ok(6));
        assert_eq!((stored(&network, 1), here.count("takeovers")), (Some(6), 1));
    });
}

fn the_claim_of_another_process_is_left_to_it(face: Face) {
    in_time(move || {
        let (network, [here, there], _ticking) = scene();
        let numbers = numbers();
        network.nodes.down(0);
        assert_eq!(ask(face, &here, numbers, 1, 5), 5, "the node is not there to be asked");
        network.nodes.up(0);
        let elsewhere = load_elsewhere(&there, 1);
        assert_eq!(ask(face, &here, numbers, 1, 6), 6);
        drop(elsewhere);
        assert_eq!((here.count("takeovers"), here.count("patience_spent")), (0, 1), "who was refused has won nothing");
    });
}

fn a_takeover_ends_the_suspicion(face: Face) {
    in_time(move || {
        let (_, [here, there], _ticking) = scene();
        let numbers = numbers();
        here.far.order(Fate::LoseReply);
        assert_eq!(ask(face, &here, numbers, 1, 5), 5);
        assert_eq!(ask(face, &here, numbers, 1, 6), 6);
        assert_eq!(here.count("takeovers"), 1);
        face.invalidate(there.region.invalidate("numbers", 1u32)).unwrap();
        let elsewhere = load_elsewhere(&there, 1);
        assert_eq!(ask(face, &here, numbers, 1, 7), 7);
        drop(elsewhere);
        assert_eq!(
            (here.count("takeovers"), here.count("patience_spent")),
            (1, 1),
            "it loads there, and is waited for"
        );
    });
}

fn a_fresh_record_ends_the_suspicion(face: Face) {
    in_time(move || {
        let (_, [here, there], _ticking) = scene();
        let numbers = numbers();
        assert_eq!(ask(face, &there, numbers, 1, 4), 4);
        here.far.order(Fate::LoseReply);
        assert_eq!(ask(face, &here, numbers, 1, 5), 5);
        assert_eq!(ask(face, &here, numbers, 1, 6), 4);
        face.invalidate(there.region.invalidate("numbers", 1u32)).unwrap();
        let elsewhere = load_elsewhere(&there, 1);
        assert_eq!(ask(face, &here, numbers, 1, 7), 7);
        drop(elsewhere);
        assert_eq!((here.count("takeovers"), here.count("patience_spent")), (0, 1));
    });
}

fn a_claim_that_could_not_be_taken_is_taken_by_the_next_call(face: Face) {
    in_time(move || {
        let (network, [here, _], _ticking) = scene();
        let numbers = numbers();
        here.far.order(Fate::LoseReply);
        assert_eq!(ask(face, &here, numbers, 1, 5), 5);
        assert_eq!(face.get::<u64, _>(here.region.get("numbers", 1u32)).unwrap(), None);
        network.clock.advance(SECOND / 4);
        here.far.order(Fate::Deliver);
        here.far.order(Fate::Refuse);
        assert_eq!(ask(face, &here, numbers, 1, 6), 6, "the take is not sent");
        assert_eq!((stored(&network, 1), here.count("takeovers")), (None, 1));
        assert_eq!(ask(face, &here, numbers, 1, 7), 7);
        assert_eq!((stored(&network, 1), here.count("patience_spent")), (Some(7), 0));
    });
}

#[test]
fn a_load_elsewhere_that_ends_soon_is_not_disturbed() {
    let network = Network::new();
    let [here, there] = [(); 2].map(|()| network.process(Tiers::Far));
    here.far.order(Fate::LoseRequest);
    let lost = here.region.get_or_create_value_async("numbers", 1u32, || async { 5u64 });
    assert_eq!(block_on(&network.clock, lost), Ok(5));
    let clock = network.clock.clone();
    let load = move || async move {
        clock.sleep_until(clock.now().after(SECOND / 20)).await;
        6u64
    };
    let mut elsewhere = Box::pin(there.region.get_or_create_value_async("numbers", 1u32, load));
    // Now it has the claim.
    assert!(elsewhere.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let waits = here.region.get_or_create_value_async("numbers", 1u32, || async { 7u64 });
    let both = async { tokio::join!(waits, elsewhere) };
    assert_eq!(block_on(&network.clock, both), Ok((6, 6)));
    assert_eq!((here.count("takeovers"), there.count("superseded")), (0, 0));
}

#[test]
fn many_keys_whose_claims_were_won_unheard_are_taken_over_together() {
    in_time(|| {
        let (_, [here, there], _ticking) = scene();
        let all = |process: &Process, add: u64| {
            let load = |missing: Vec<u32>| Ok::<_, ()>(missing.into_iter().map(move |n| (n, u64::from(n) + add)));
            process.region.get_or_create_multi("numbers", [1, 2, 3], load).unwrap()
        };
        here.far.order(Fate::LoseReply);
        assert_eq!(all(&here, 10), [Some(11), Some(12), Some(13)]);
        assert_eq!(all(&here, 20), [Some(21), Some(22), Some(23)]);
        assert_eq!(here.count("takeovers"), 3);
        assert_eq!(all(&there, 30), [Some(21), Some(22), Some(23)], "they are stored");
    });
}

#[test]
fn of_two_processes_that_suspect_one_claim_each_takes_it_once_and_the_last_one_stores() {
    in_time(|| {
        let (network, [here, there], _ticking) = scene();
        let numbers = numbers();
        for process in [&here, &there] {
            process.far.order(Fate::LoseReply);
            assert_eq!(ask(Face::Blocking, process, numbers, 1, 5), 5);
        }
        // While one loads for long under the claim that it took, the other takes it: it cannot know better, and does so once.
        let value = call_and(&there, numbers, || ask(Face::Blocking, &here, numbers, 1, 7));
        assert_eq!((value, stored(&network, 1)), (6, Some(7)));
        assert_eq!((here.count("takeovers"), there.count("takeovers"), there.count("superseded")), (1, 1, 1));
        call_and(&there, numbers, || unreachable!("it is stored"));
    });
}

/// Calls for key 1 with a load that meets `midway`.
fn call_and(process: &Process, site: &'static cache_core::rt::Site, midway: impl FnOnce() -> u64) -> u64 {
    let load = || {
        midway();
        6
    };
    Face::Blocking.call(site, &process.region, |key| key.arg(&1u32), whole::<u64>(), load)
}
