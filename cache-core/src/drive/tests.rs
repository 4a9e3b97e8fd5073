//! Stale values: served while one caller reloads, and when a reload fails; in one process and between two.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Call, Subject, blocking, tasks};
use crate::clock::{Clock, ManualClock};
use crate::key::{KeyWriter, Sha1Keys};
use crate::observe::Counts;
use crate::outcome::{OkOnly, Shared};
use crate::policy::Policy;
use crate::record::{Codec, Compression};
use crate::state::{Far, Gate, NamespaceState, Parts, RegionState, Strictness};
use crate::terms::{Ask, Terms};
use crate::testkit::meta::ServerSettings;
use crate::testkit::{Faults, MapBackend, SimNodes, block_on};
use crate::wire::Serde;

type Outcome = Result<u64, String>;

const SECOND: Duration = Duration::from_secs(1);

/// Fresh for 10 s, served while it is reloaded for 20 s more, and when that fails for 60 s.
fn policy() -> Policy {
    Policy {
        stale_while_revalidate: 20 * SECOND,
        stale_if_error: 60 * SECOND,
        jitter: 0.0,
        lease: 5 * SECOND,
        ..Policy::with_ttl(10 * SECOND)
    }
}

/// One process of two that share a node, or of one that has none.
struct Process {
    clock: ManualClock,
    state: Arc<RegionState>,
    namespace: Arc<NamespaceState>,
}

impl Process {
    fn new(nodes: &SimNodes, is_far: bool) -> Self {
        Self::remembering(nodes, is_far, Duration::ZERO)
    }

    /// One whose client remembers generations for so long.
    fn remembering(nodes: &SimNodes, is_far: bool, time: Duration) -> Self {
        Self::of(nodes, is_far, time, Faults::none())
    }

    fn of(nodes: &SimNodes, is_far: bool, time: Duration, faults: Faults) -> Self {
        let clock = nodes.clock().clone();
        let sim = Arc::new(nodes.client(faults));
        sim.remember_for(time);
        let far = || Far {
            blocking: Some(sim.clone()),
            tasks: Some(sim.clone()),
            generator: Arc::new(Sha1Keys),
            prefix: String::new(),
            epoch: 0,
            codec: Codec::default_codec().unwrap(),
            compression: Compression::None,
            max_value: 1 << 20,
        };
        let state = Arc::new(RegionState::new(Parts {
            name: "r".to_owned(),
            policy: policy(),
            near: if is_far { None } else { Some(Arc::new(MapBackend::new(u64::MAX))) },
            far: is_far.then(far),
            clock: Clock::Manual(clock.clone()),
            strictness: Strictness::Lenient,
            observer: None,
            gate: Gate::Open,
        }));
        Process { clock, namespace: state.namespace("ns"), state }
    }

    fn call(&self) -> Call<Outcome, OkOnly, Shared, Serde> {
        let key = KeyWriter::key_of("ns", &1).unwrap();
        let tiers = self.state.tiers().unwrap();
        let terms = Terms::of(Ask::Cache, Shared);
        let (state, namespace) = (self.state.clone(), self.namespace.clone());
        let subject =
            Subject { state, namespace, key: key.as_ref(), tiers, own_policy: None, version: 0, tagged: None };
        Call::begin(subject, terms)
    }

    fn ask(&self, result: Outcome) -> Outcome {
        blocking::drive(Box::new(self.call()), (), |()| result)
    }

    /// A call whose load ends, with this, once the gate is open.
    fn begin<'a>(&self, gate: &'a Cell<bool>, result: Outcome) -> Pin<Box<dyn Future<Output = Outcome> + 'a>> {
        let load = move |()| async move {
            std::future::poll_fn(|_| if gate.get() { Poll::Ready(()) } else { Poll::Pending }).await;
            result
        };
        let mut call = Box::pin(tasks::drive(Box::new(self.call()), (), load));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        call
    }

    fn counts(&self) -> Counts {
        self.namespace.counts()
    }
}

fn nodes() -> SimNodes {
    SimNodes::new(1, ManualClock::new(), 1, ServerSettings::default())
}

fn no() -> Outcome {
    Err("no".to_owned())
}

#[test]
fn a_stale_value_is_served_while_one_of_all_processes_reloads() {
    for is_far in [false, true] {
        let nodes = nodes();
        let here = Process::new(&nodes, is_far);
        let other = if is_far { Process::new(&nodes, is_far) } else { here_of(&here) };
        assert_eq!(here.ask(Ok(1)), Ok(1));
        here.clock.advance(12 * SECOND);
        let gate = Cell::new(false);
        let reload = here.begin(&gate, Ok(2));
        for _ in 0..3 {
            assert_eq!(other.ask(Ok(9)), Ok(1), "far: {is_far}");
        }
        gate.set(true);
        assert_eq!(block_on(&here.clock, reload).unwrap(), Ok(2));
        assert_eq!(other.ask(Ok(9)), Ok(2));
        let (stale, loads) = (other.counts().stale_hits, here.counts().loads);
        assert_eq!((stale, loads), (3, 2));
    }
}

/// The same process once more.
fn here_of(process: &Process) -> Process {
    Process { clock: process.clock.clone(), state: process.state.clone(), namespace: process.namespace.clone() }
}

#[test]
fn a_failing_source_is_asked_once_in_each_throttle_and_the_stale_value_stands_in() {
    for is_far in [false, true] {
        let nodes = nodes();
        let (here, there) = (Process::new(&nodes, is_far), Process::new(&nodes, is_far));
        assert_eq!(here.ask(Ok(1)), Ok(1));
        here.clock.advance(12 * SECOND);
        for round in 1..=4 {
            for _ in 0..3 {
                assert_eq!(here.ask(no()), Ok(1), "far: {is_far}, round {round}");
                if is_far {
                    assert_eq!(there.ask(no()), Ok(1), "round {round}: and no process beside this one asks");
                }
            }
            assert_eq!(here.counts().failed_loads, round, "far: {is_far}");
            here.clock.advance(SECOND);
        }
        assert_eq!(there.counts().loads, 0);
        assert_eq!(here.ask(Ok(2)), Ok(2), "once the source answers, its value is kept");
        assert_eq!(here.ask(no()), Ok(2), "far: {is_far}");
        here.clock.advance(80 * SECOND);
        assert_eq!(here.ask(no()), no(), "and no stale value is served for longer than it may be");
    }
}

#[test]
fn a_dead_winner_of_a_stale_value_is_timed_by_those_who_see_it() {
    let nodes = nodes();
    let (here, there) = (Process::new(&nodes, true), Process::new(&nodes, true));
    assert_eq!(here.ask(Ok(1)), Ok(1));
    here.clock.advance(11 * SECOND);
    let gate = Cell::new(false);
    let dead = here.begin(&gate, Ok(2));
    assert_eq!(there.ask(Ok(3)), Ok(1), "first seen here");
    there.clock.advance(4 * SECOND);
    assert_eq!(there.ask(Ok(3)), Ok(1));
    there.clock.advance(SECOND);
    assert_eq!(there.ask(Ok(3)), Ok(3), "out for a whole lease: taken over");
    assert_eq!(there.counts().takeovers, 1);
    gate.set(true);
    assert_eq!(block_on(&here.clock, dead).unwrap(), Ok(2), "it has its own value, which is refused");
    assert_eq!((here.counts().superseded, there.ask(Ok(9))), (1, Ok(3)));
}

#[test]
fn a_claim_that_came_with_remembered_generations_is_used() {
    let nodes = nodes();
    let (here, there) = (Process::remembering(&nodes, true, 3600 * SECOND), Process::new(&nodes, true));
    assert_eq!(here.ask(Ok(1)), Ok(1));
    here.clock.advance(12 * SECOND);
    // What is remembered is too old a proof: the node is asked again, and tells this process of its own claim.
    assert_eq!(here.ask(Ok(2)), Ok(2), "it won the reload, and nobody else will");
    assert_eq!(there.ask(Ok(9)), Ok(2));
    assert_eq!((here.counts().loads, there.counts().loads), (2, 0));
}

#[test]
fn a_dead_winner_of_nothing_is_over_with_its_lease() {
    let nodes = nodes();
    let (here, there) = (Process::new(&nodes, true), Process::new(&nodes, true));
    let gate = Cell::new(false);
    let _dead = here.begin(&gate, Ok(1));
    let start = there.clock.now();
    let ask = tasks::drive(Box::new(there.call()), (), |()| async { Ok(2) });
    assert_eq!(block_on(&there.clock, ask).unwrap(), Ok(2));
    let waited = there.clock.now().since(start);
    assert!(waited >= 5 * SECOND && waited < 8 * SECOND, "{waited:?}");
}

/// So many calls of one process at once, by tasks, over a far tier that takes its time; what each loads, and what it gets.
fn storm(nodes: &SimNodes, calls: usize, load: u64, expected: u64) -> Counts {
    let here = Process::of(nodes, true, Duration::ZERO, Faults::delays());
    let call = |_| Box::pin(tasks::drive(Box::new(here.call()), (), |()| async { Ok(load) }));
    let mut calls: Vec<_> = (0..calls).map(call).collect();
    let all = std::future::poll_fn(|cx| {
        calls.retain_mut(|call| match call.as_mut().poll(cx) {
            Poll::Ready(value) => {
                assert_eq!(value, Ok(expected));
                false
            }
            Poll::Pending => true,
        });
        if calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    });
    block_on(&here.clock, all).unwrap();
    here.counts()
}

#[test]
fn of_a_thousand_tasks_few_ask_far_and_one_loads() {
    let nodes = nodes();
    let cold = storm(&nodes, 1000, 1, 1);
    assert_eq!((cold.loads, cold.far_errors), (1, 0));
    let warm = storm(&nodes, 1000, 9, 1);
    assert_eq!((warm.loads, warm.far_hits + warm.shared), (0, 1000));
    assert!(warm.far_hits < 100, "one asked for all who waited: {warm:?}");
}

/// Tasks wait by the thousand. Beside this, each has a timer, a place in its flight and whatever the runtime has of it.
#[test]
fn a_call_that_waits_is_small_whatever_its_load_would_be() {
    let load = |large: [u8; 4096]| async move {
        std::future::pending::<()>().await;
        Ok(u64::from(large[0]))
    };
    let process = Process::new(&nodes(), false);
    let future = tasks::drive(Box::new(process.call()), (), |()| load([0; 4096]));
    let held = size_of_val(&process.call()) + size_of_val(&future);
    assert!(held <= 640, "{held} bytes");
}
