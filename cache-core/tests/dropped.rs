//! A future that is dropped at any of its awaits leaves nothing that others must wait for.
#![cfg(feature = "testkit")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::task::{Context, Waker};
use std::time::Duration;

use cache_core::testkit::{Faults, block_on};
use common::{Network, SECOND, Setup};

/// Polls `future` `polls` times, a millisecond apart, and says whether that ended it.
fn poll_some<F: Future + Unpin>(network: &Network, future: &mut F, polls: u32) -> bool {
    for _ in 0..polls {
        if std::pin::Pin::new(&mut *future).poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        network.clock.advance(Duration::from_millis(1));
    }
    false
}

#[test]
fn a_set_that_is_dropped_leaves_its_claim_to_the_next_caller() {
    for tiers in common::SHARED {
        let mut dropped_with_a_claim = 0;
        for polls in 1.. {
            let network = Network::seeded(7, 1, Default::default());
            let process = network.process_of(Setup { faults: Faults::delays(), ..network.setup(tiers) });
            let mut set = process.region.set("key", 1, 7u64);
            if poll_some(&network, &mut set, polls) {
                break;
            }
            drop(set);
            // What is on its way arrives.
            network.clock.advance(SECOND);
            let start = network.clock.now();
            let loaded =
                block_on(&network.clock, process.region.get_or_create_value_async("key", 1, || async { 8u64 }))
                    .unwrap();
            assert!(matches!(loaded, 7 | 8));
            let waited = network.clock.now().since(start);
            assert!(waited < SECOND, "{tiers:?}, {polls} polls: {waited:?}");
            dropped_with_a_claim += u32::from(loaded == 8);
        }
        assert!(dropped_with_a_claim > 0, "{tiers:?}: never dropped with a claim in hand");
    }
}
