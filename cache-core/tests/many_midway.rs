//! Batches that are dropped, fail, or come upon others: no claim is lost, and what is left is loaded at once.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(unused_macros)]
#[macro_use]
mod common;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cache_core::testkit::{Fate, Faults, block_on};

use common::*;

const MILLI: Duration = Duration::from_millis(1);

type Answer = Result<Vec<Option<u64>>, &'static str>;
type Batch<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// What the loads of some batches are asked for, and how they end.
#[derive(Default)]
struct Source {
    asked: RefCell<Vec<Vec<u64>>>,
    open: Cell<bool>,
    fails: Cell<bool>,
}

impl Source {
    fn batch<'a>(&'a self, process: &'a Process, ids: &[u64]) -> Batch<'a> {
        let load = move |ids: Vec<u64>| {
            self.asked.borrow_mut().push(ids.clone());
            async move {
                std::future::poll_fn(|_| if self.open.get() { Poll::Ready(()) } else { Poll::Pending }).await;
                if self.fails.get() {
                    Err("down")
                } else {
                    Ok(ids.into_iter().map(|id| (id, 10 * id)).collect::<Vec<_>>())
                }
            }
        };
        Box::pin(process.region.get_or_create_multi_async("many", ids.to_vec(), load))
    }
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// The batch wins both keys, and leads the load of one. The other one is being loaded here since the far tier failed another
/// call: that claim is given back first.
#[test]
fn a_batch_that_is_dropped_before_it_loads_hands_on_what_it_has_won() {
    for tiers in SHARED {
        let network = Network::new();
        let here = network.process(tiers);
        // The node makes the generations of what it is asked about for the first time.
        here.region.get::<Option<u64>>("many", 9).wait().unwrap();
        let loading = Source::default();
        here.far.order(Fate::LoseRequest);
        let mut other = loading.batch(&here, &[2]);
        assert!(poll(&mut other).is_pending());
        network.clock.advance(300 * MILLI);
        here.far.set_faults(Faults { reply_delay: 400 * MILLI..=400 * MILLI, ..Faults::none() });
        let source = Source::default();
        let mut batch = source.batch(&here, &[1, 2]);
        assert!(poll(&mut batch).is_pending());
        network.clock.advance(200 * MILLI);
        assert!(poll(&mut other).is_pending());
        assert_eq!(*loading.asked.borrow(), [[2]], "without the far tier");
        network.clock.advance(200 * MILLI);
        assert!(poll(&mut batch).is_pending());
        assert!(source.asked.borrow().is_empty(), "it gives back the claim on 2");
        drop(batch);
        here.far.set_faults(Faults::none());
        let before = network.clock.now();
        let one = here.region.get_or_create_value_async("many", 1_u64, || async { Some(11_u64) });
        assert_eq!(block_on(&network.clock, one), Ok(Some(11)));
        assert!(network.clock.now().since(before) < SECOND, "{tiers:?}: it waited for a claim that nobody uses");
        assert_eq!(here.count("stored"), 1);
    }
}

#[test]
fn what_another_batch_did_not_load_is_loaded_at_once() {
    for tiers in ALL {
        for is_dropped in [false, true] {
            let network = Network::new();
            let here = network.process(tiers);
            let (first, second) = (Source::default(), Source::default());
            let mut one = first.batch(&here, &[1, 2, 3]);
            assert!(poll(&mut one).is_pending());
            let mut other = second.batch(&here, &[3, 2, 1]);
            assert!(poll(&mut other).is_pending());
            assert!(second.asked.borrow().is_empty(), "it follows");
            first.fails.set(true);
            first.open.set(true);
            second.open.set(true);
            if is_dropped {
                drop(one);
            } else {
                assert_eq!(block_on(&network.clock, one), Ok(Err("down")));
            }
            assert_eq!(block_on(&network.clock, other), Ok(Ok(vec![Some(30), Some(20), Some(10)])));
            assert_eq!(*second.asked.borrow(), [[3, 2, 1]], "{tiers:?}");
        }
    }
}

#[test]
fn what_others_take_too_long_for_is_loaded_at_once() {
    for tiers in ALL {
        let network = Network::new();
        let here = network.process_with(tiers, |settings| settings.patience(SECOND));
        let (first, second) = (Source::default(), Source::default());
        let mut one = first.batch(&here, &[1, 2, 3]);
        assert!(poll(&mut one).is_pending());
        second.open.set(true);
        let before = network.clock.now();
        let values = block_on(&network.clock, second.batch(&here, &[1, 2, 3]));
        assert_eq!(values, Ok(Ok(vec![Some(10), Some(20), Some(30)])));
        assert_eq!(*second.asked.borrow(), [[1, 2, 3]], "{tiers:?}");
        assert_eq!(network.clock.now().since(before), SECOND);
    }
}

/// It would be told of the failure in any case.
#[test]
fn a_batch_that_has_failed_waits_for_nobody() {
    for tiers in ALL {
        let network = Network::new();
        let here = network.process(tiers);
        let (first, second) = (Source::default(), Source::default());
        let mut one = first.batch(&here, &[1]);
        assert!(poll(&mut one).is_pending());
        second.fails.set(true);
        second.open.set(true);
        let mut other = second.batch(&here, &[2, 1]);
        let answer = (0..10).map(|_| poll(&mut other)).find(Poll::is_ready);
        assert_eq!(answer, Some(Poll::Ready(Err("down"))), "{tiers:?}");
        first.open.set(true);
        assert_eq!(block_on(&network.clock, one), Ok(Ok(vec![Some(10)])), "the other one goes on");
    }
}
