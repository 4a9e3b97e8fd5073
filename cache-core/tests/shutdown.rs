//! A shutdown waits for what is under way, no longer than it was told, and says what is left.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use std::sync::mpsc;
use std::thread;

use cache_core::error::Kind;
use cache_core::registry::{Registry, Shutdown};

use common::*;

const TIMEOUT: std::time::Duration = SECOND;

/// A shutdown in a thread of its own, which waits by the clock of a test.
struct Closing<'a> {
    process: &'a Process,
    thread: thread::JoinHandle<Shutdown>,
}

impl<'a> Closing<'a> {
    /// Begun, and waiting.
    fn of(process: &'a Process) -> Self {
        let registry: Registry = process.registry.clone();
        let thread = thread::spawn(move || registry.shutdown(TIMEOUT));
        until(|| process.clock.next_wake().is_some());
        Closing { process, thread }
    }

    /// Moves the clock to each instant that it looks at, until it has ended.
    fn end(self) -> Shutdown {
        until(|| {
            if let Some(next) = self.process.clock.next_wake() {
                self.process.clock.advance(next.since(self.process.clock.now()));
            }
            self.thread.is_finished()
        });
        self.thread.join().unwrap()
    }
}

/// A load that runs until it is let go.
struct Load {
    go: mpsc::Sender<()>,
    thread: thread::JoinHandle<u64>,
}

impl Load {
    fn begun(process: &Process) -> Self {
        let region = process.region.clone();
        let ((go, may_go), (began, has_begun)) = (mpsc::channel(), mpsc::channel());
        let load = move || {
            began.send(()).unwrap();
            may_go.recv().unwrap();
            7
        };
        let thread = thread::spawn(move || region.get_or_create_value("numbers", 1, load));
        has_begun.recv().unwrap();
        Load { go, thread }
    }

    fn end(self) -> u64 {
        self.go.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

#[test]
fn a_load_in_flight_is_waited_for() {
    for tiers in ALL {
        in_time(move || {
            let here = Network::new().process(tiers);
            let load = Load::begun(&here);
            let closing = Closing::of(&here);
            assert_eq!(load.end(), 7);
            let began = here.clock.now();
            let left = closing.end();
            assert_eq!((left.loads_in_flight, left.pending_invalidations), (0, 0));
            assert!(here.clock.now().since(began) < TIMEOUT, "it ends with the load");
        });
    }
}

#[test]
fn a_load_that_does_not_end_is_told_after_the_timeout() {
    for tiers in ALL {
        in_time(move || {
            let here = Network::new().process(tiers);
            let load = Load::begun(&here);
            let began = here.clock.now();
            assert_eq!(Closing::of(&here).end().loads_in_flight, 1);
            assert_eq!(here.clock.now().since(began), TIMEOUT);
            assert_eq!(load.end(), 7, "it goes on");
        });
    }
}

#[test]
fn calls_after_it_load_through() {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let ask = |value| ask(Face::Blocking, &here, numbers(), 1, value);
        assert_eq!((ask(1), ask(2)), (1, 1));
        let left = here.registry.shutdown(TIMEOUT);
        assert_eq!((left.loads_in_flight, left.pending_invalidations), (0, 0), "there was nothing to wait for");
        assert_eq!((ask(3), ask(4)), (3, 4));
        assert_eq!(here.count("bypassed"), 2);
    }
}

#[test]
fn invalidations_that_are_pending_are_waited_for() {
    for tiers in SHARED {
        in_time(move || {
            let here = pending(&Network::new(), tiers);
            let closing = Closing::of(&here);
            here.far.nodes().up(0);
            assert_eq!(here.far.replay(), 0);
            let began = here.clock.now();
            assert_eq!(closing.end().pending_invalidations, 0);
            assert!(here.clock.now().since(began) < TIMEOUT, "it ends when they are done");
        });
    }
}

#[test]
fn invalidations_that_do_not_go_out_are_told_after_the_timeout_by_each_region() {
    for tiers in SHARED {
        in_time(move || {
            let here = pending(&Network::new(), tiers);
            assert_eq!(here.far.pending(), 1);
            assert_eq!(Closing::of(&here).end().pending_invalidations, 1);
            here.registry.configure("other", Tiers::Far.settings()).unwrap();
            let began = here.clock.now();
            assert_eq!(Closing::of(&here).end().pending_invalidations, 2, "the node is that of both");
            assert_eq!(here.clock.now().since(began), TIMEOUT);
        });
    }
}

/// A process with an invalidation for a node that is down.
fn pending(network: &Network, tiers: Tiers) -> Process {
    let here = network.process(tiers);
    network.nodes.down(0);
    assert_eq!(here.region.invalidate("numbers", 1).wait().unwrap_err().kind(), Kind::Pending);
    here
}
