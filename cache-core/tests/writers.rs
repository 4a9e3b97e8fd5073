//! What a writer invalidates, on each of its exits, in one process and for the others.
#![cfg(feature = "testkit")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cache_core::backend::AsyncBytesBackend;
use cache_core::clock::Clock;
use cache_core::config::{BackendUrl, Settings};
use cache_core::error::Result;
use cache_core::observe::{Event, Observer};
use cache_core::region::{Invalidate, Region};
use cache_core::registry::{OpenContext, Opened, Registry};
use cache_core::rt::{self, Exits, KeyBuffer, Serde};
use cache_core::testkit::{Faults, MapBackend, block_on, isolated};
use common::{ALL, Network, Process, SECOND, SHARED, Setup, TTL, Tiers, warnings};

type Outcome = std::result::Result<u8, &'static str>;

const OLD: u64 = 1;

/// Keeps an old value of two keys, which everybody sees.
fn keep(process: &Process) {
    for key in [1, 2] {
        process.region.set("ns", key, OLD).wait().unwrap();
    }
}

/// What is kept under both keys.
fn kept(process: &Process) -> [Option<u64>; 2] {
    [1, 2].map(|key| process.region.get("ns", key).wait().unwrap())
}

fn targets(process: &Process) -> [Invalidate; 2] {
    [1, 2].map(|key| process.region.invalidate("ns", key))
}

/// How a writer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Ok,
    Err,
    Panic,
    Drop,
}

impl End {
    fn result(self) -> Outcome {
        match self {
            End::Ok => Ok(7),
            End::Err => Err("refused"),
            End::Panic | End::Drop => panic!("the body ends"),
        }
    }
}

/// Calls a blocking writer, whose body must find the old values yet.
fn write(process: &Process, exits: Exits<Outcome>, end: End) -> Option<Outcome> {
    let body = |end: End| {
        assert_eq!(kept(process), [Some(OLD); 2], "before the body has ended");
        end.result()
    };
    catch_unwind(AssertUnwindSafe(|| rt::write("app::write", targets(process), exits, end, body))).ok()
}

/// Polls an async one until it is ready, or so many times.
fn write_async(process: &Process, exits: Exits<Outcome>, end: End, polls: usize) -> Option<Outcome> {
    let body = async |end: End| {
        pause().await;
        assert_eq!(kept(process), [Some(OLD); 2], "before the body has ended");
        if end == End::Drop {
            poll_fn(|_| Poll::<()>::Pending).await;
        }
        end.result()
    };
    let mut call = Box::pin(rt::write_async("app::write", targets(process), exits, end, body));
    let poll = || poll_some(&process.clock, call.as_mut(), polls);
    catch_unwind(AssertUnwindSafe(poll)).ok().flatten()
}

/// Pending once.
async fn pause() {
    let mut was_polled = false;
    poll_fn(|_| if std::mem::replace(&mut was_polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn poll_some<T>(
    clock: &cache_core::clock::ManualClock,
    mut future: Pin<&mut impl Future<Output = T>>,
    polls: usize,
) -> Option<T> {
    for _ in 0..polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(value);
        }
        clock.advance(SECOND / 1000);
    }
    None
}

#[test]
fn a_writer_invalidates_on_every_exit_and_not_before() {
    for tiers in ALL {
        for (end, result) in [(End::Ok, Some(Ok(7))), (End::Err, Some(Err("refused"))), (End::Panic, None)] {
            let network = Network::new();
            let process = network.process(tiers);
            keep(&process);
            assert_eq!(write(&process, Exits::every(), end), result);
            assert_eq!(kept(&process), [None; 2], "{tiers:?}, {end:?}");
            assert_eq!(process.count("invalidations"), 2, "{tiers:?}, {end:?}");
        }
    }
}

#[test]
fn an_async_writer_invalidates_on_every_exit_and_not_before() {
    for tiers in ALL {
        for (end, result) in
            [(End::Ok, Some(Ok(7))), (End::Err, Some(Err("refused"))), (End::Panic, None), (End::Drop, None)]
        {
            let network = Network::new();
            let process = network.process(tiers);
            keep(&process);
            assert_eq!(write_async(&process, Exits::every(), end, 5), result);
            assert_eq!(kept(&process), [None; 2], "{tiers:?}, {end:?}");
            assert_eq!(process.count("invalidations"), 2);
        }
    }
}

#[test]
fn with_only_ok_nothing_else_invalidates() {
    for tiers in ALL {
        for end in [End::Ok, End::Err, End::Panic, End::Drop] {
            for is_async in [false, true] {
                if end == End::Drop && !is_async {
                    continue;
                }
                let network = Network::new();
                let process = network.process(tiers);
                keep(&process);
                match is_async {
                    false => _ = write(&process, Exits::only_ok(), end),
                    true => _ = write_async(&process, Exits::only_ok(), end, 5),
                }
                let left = if end == End::Ok { None } else { Some(OLD) };
                assert_eq!(kept(&process), [left; 2], "{tiers:?}, {end:?}, async: {is_async}");
            }
        }
    }
}

#[test]
fn a_writer_that_is_never_polled_invalidates_nothing() {
    let network = Network::new();
    let process = network.process(Tiers::Both);
    keep(&process);
    assert_eq!(write_async(&process, Exits::every(), End::Ok, 0), None);
    assert_eq!(kept(&process), [Some(OLD); 2]);
}

/// Dropped after each number of polls: in the body, and while one or both invalidations are on their way.
#[test]
fn a_dropped_writer_leaves_pending_what_may_not_have_reached_its_node() {
    for tiers in SHARED {
        let mut was_pending = 0;
        for polls in 1.. {
            let network = Network::seeded(7, 1, Default::default());
            let other = network.process(tiers);
            let process = network.process_of(Setup { faults: Faults::delays(), ..network.setup(tiers) });
            keep(&process);
            let ended = write_async(&process, Exits::every(), End::Ok, polls);
            assert_eq!(process.region.get::<u64>("ns", 1).wait().unwrap(), None, "{tiers:?}, {polls} polls: here");
            was_pending += process.far.pending();
            assert_eq!(process.far.replay(), 0);
            network.clock.advance(2 * SECOND);
            assert_eq!(kept(&other), [None; 2], "{tiers:?}, {polls} polls: elsewhere");
            if ended.is_some() {
                assert!(polls > 3, "it was under way for a while");
                break;
            }
        }
        assert!(was_pending > 0, "{tiers:?}");
    }
}

/// What a body does when it is dropped comes before the invalidation, as what it does by itself.
#[test]
fn what_the_body_held_is_dropped_before_the_invalidation() {
    struct Rollback<'a>(&'a Process);
    impl Drop for Rollback<'_> {
        fn drop(&mut self) {
            assert_eq!(kept(self.0), [Some(OLD); 2]);
        }
    }
    let network = Network::new();
    let process = network.process(Tiers::Near);
    let body = async |rollback: Rollback<'_>| {
        poll_fn(|_| Poll::<()>::Pending).await;
        drop(rollback);
    };
    keep(&process);
    let mut call = Box::pin(rt::write_async("app::write", targets(&process), Exits::every(), Rollback(&process), body));
    assert_eq!(poll_some(&process.clock, call.as_mut(), 1), None);
    drop(call);
    assert_eq!(kept(&process), [None; 2]);
    keep(&process);
    rt::write("app::write", targets(&process), Exits::every(), Rollback(&process), |_rollback| ());
    assert_eq!(kept(&process), [None; 2]);
}

#[test]
fn several_invalidations_are_awaited_together() {
    let network = Network::new();
    let way = SECOND / 10..=SECOND / 10;
    let faults = Faults { request_delay: way.clone(), reply_delay: way, io_timeout: SECOND, ..Faults::none() };
    let process = network.process_of(Setup { faults, ..network.setup(Tiers::Far) });
    let start = process.clock.now();
    let call = rt::write_async("app::write", targets(&process), Exits::every(), (), async |()| ());
    block_on(&process.clock, call).unwrap();
    assert_eq!(process.clock.now().since(start), SECOND / 5, "one round trip");
}

/// A region over a backend of one face, and what it owes.
fn one_faced(network: &Network, has_blocking: bool) -> (Process, Process) {
    let wrapped = |sim| Arc::new(sim) as Arc<dyn AsyncBytesBackend>;
    let other = network.process(Tiers::Far);
    if !has_blocking {
        return (network.process_of(Setup { tasks: Some(Box::new(wrapped)), ..network.setup(Tiers::Far) }), other);
    }
    let registry = Registry::builder().clock(Clock::Manual(network.clock.clone())).build();
    let far = network.nodes.client(Faults::none());
    let opened = Opened::Far { blocking: Some(Arc::new(far.clone())), tasks: None };
    let open = move |_: &BackendUrl, _: &OpenContext| -> Result<Opened> { Ok(opened.clone()) };
    registry.register_scheme("sim", open).unwrap();
    registry.configure("r", Tiers::Far.settings()).unwrap();
    let region = Arc::new(registry.region("r"));
    (Process { tiers: Tiers::Far, clock: network.clock.clone(), registry, far, region }, other)
}

#[test]
fn where_the_backend_has_only_the_other_face_that_one_is_used() {
    let network = Network::new();
    let (process, other) = one_faced(&network, true);
    let (call, said) = warnings(|| {
        keep(&other);
        let call = rt::write_async("app::write", targets(&process), Exits::every(), (), async |()| 7);
        block_on(&process.clock, call)
    });
    assert_eq!((call.unwrap(), kept(&other)), (7, [None; 2]));
    assert_eq!(said, [""; 0]);

    let (process, other) = one_faced(&network, false);
    let (result, said) = warnings(|| {
        keep(&other);
        rt::write("app::write", targets(&process), Exits::every(), (), |()| 7)
    });
    assert_eq!(result, 7);
    assert_eq!(process.far.replay(), 0, "what was begun and left is pending, and goes out");
    assert_eq!((kept(&other), said), ([None; 2], vec![]));
}

#[test]
fn an_invalidation_that_fails_is_told_and_changes_no_result() {
    let network = Network::new();
    let process = network.process(Tiers::Both);
    process.far.cut(0);
    let (result, said) = warnings(|| write_nothing(&process));
    assert_eq!(result, 7);
    assert_eq!(said.len(), 1, "two targets of one writer are one cause: {said:?}");
    assert!(
        said[0].starts_with("what `app::write` may have changed is not invalidated everywhere: pending: "),
        "{said:?}"
    );
    assert_eq!((process.count("pending"), process.far.pending()), (2, 2));
    let (_, said) = warnings(|| write_nothing(&process));
    assert_eq!(said, [""; 0], "once a minute");
}

fn write_nothing(process: &Process) -> u8 {
    rt::write("app::write", targets(process), Exits::every(), (), |()| 7)
}

#[test]
fn a_region_that_nobody_configured_is_named() {
    let registry = Registry::builder().build();
    let region = Region::named("forgotten");
    let (result, said) = warnings(|| {
        isolated(&registry, || rt::write("app::write", [region.invalidate_namespace("ns")], Exits::every(), (), |()| 7))
    });
    assert_eq!(result, 7);
    assert!(said.len() == 1 && said[0].contains("`app::write`") && said[0].contains("region: forgotten"), "{said:?}");
    let off = Region::disabled();
    let (_, said) = warnings(|| rt::write("app::write", [off.invalidate_namespace("ns")], Exits::every(), (), |()| 7));
    assert_eq!(said, [""; 0], "switched off is no mistake");
}

/// What no key can be made of was loaded without the cache; whoever names it all the same is told.
#[test]
fn a_target_that_no_key_can_be_made_of_is_counted_and_told() {
    struct Unwritable;
    impl serde::Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no text"))
        }
    }
    let network = Network::new();
    let process = network.process(Tiers::Near);
    let (result, said) = warnings(|| {
        let site = common::numbers();
        let mut buffer = KeyBuffer::new();
        let mut key = site.begin(&mut buffer);
        key.arg(&Unwritable);
        let entry = rt::entry::<u64, _>(site, &process.region, &mut key, Serde);
        rt::write("app::write", [rt::target(entry)], Exits::every(), (), |()| 7)
    });
    assert_eq!(result, 7);
    assert!(said.len() == 1 && said[0].contains("key: ") && said[0].contains("no text"), "{said:?}");
    process.expect(&[("key_errors", 1)]);
}

/// A panic of what is told of it, while a panic of the body is under way, is not the end of the process, nor of the
/// other invalidations.
#[test]
fn a_panic_on_the_way_out_stops_nothing() {
    #[derive(Debug)]
    struct Panics;
    impl Observer for Panics {
        fn observe(&self, event: &Event<'_>) {
            assert!(event.what.name() != "invalidations", "observed");
        }
    }
    let registry = Registry::builder().observer(Arc::new(Panics)).build();
    let open =
        |_: &BackendUrl, _: &OpenContext| -> Result<Opened> { Ok(Opened::Near(Arc::new(MapBackend::new(9999)))) };
    registry.register_scheme("map", open).unwrap();
    registry.configure("r", Settings::new().ttl(TTL).near("map://")).unwrap();
    let region = registry.region("r");
    for panics in [false, true] {
        for key in [1, 2] {
            region.set("ns", key, OLD).wait().unwrap();
        }
        let targets = [1, 2].map(|key| region.invalidate("ns", key));
        let write = || rt::write("app::write", targets, Exits::every(), (), |()| assert!(!panics, "the body's"));
        let caught = catch_unwind(AssertUnwindSafe(write)).unwrap_err();
        let said = caught.downcast_ref::<&str>().copied();
        assert_eq!(said, Some(if panics { "the body's" } else { "observed" }));
        assert_eq!([1, 2].map(|key| region.get::<u64>("ns", key).wait().unwrap()), [None; 2]);
    }
}
