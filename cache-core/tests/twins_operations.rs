//! Operations on a region (get, set, invalidate) as one list of scenarios for both faces, like the calls in `twins.rs`.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use cache_core::error::Kind;
use cache_core::region::{NotStored, Reached, SetOutcome};
use cache_core::registry::Registry;
use cache_core::rt::SiteSpec;
use cache_core::state::Strictness;
use cache_core::testkit::meta::{Cas, ServerSettings};

use common::*;

twins! {
    a_value_can_be_set_and_read,
    nothing_is_set_where_nothing_can_be_fenced,
    an_invalidation_ends_the_entry,
    a_soft_invalidation_makes_one_caller_reload,
    a_namespace_ends_as_a_whole,
    a_region_ends_as_a_whole,
    an_invalidation_by_name_reaches_what_the_function_made,
    an_invalidation_that_can_reach_nothing_is_told,
    an_operation_tells_its_errors,
    an_operation_without_its_face_is_an_error,
}

fn a_value_can_be_set_and_read(face: Face) {
    for tiers in ALL {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        assert_eq!(face.get::<u64, _>(here.region.get("numbers", 1)).unwrap(), None);
        assert_eq!(face.set(here.region.set("numbers", 1, 5u64)).unwrap(), SetOutcome::Stored);
        assert_eq!(face.get(here.region.get("numbers", 1)).unwrap(), Some(5u64));
        assert_eq!(ask(face, &here, numbers(), 1, 6), 5, "as if the function had returned it");
        assert_eq!(face.set(here.region.set("numbers", 1, 7u64)).unwrap(), SetOutcome::Stored);
        assert_eq!(ask(face, &here, numbers(), 1, 8), 7, "a later value replaces it, near too");
        if tiers != Tiers::Near {
            assert_eq!(face.get(there.region.get("numbers", 1)).unwrap(), Some(7u64));
        }
        let (near, far) = if tiers == Tiers::Far { (0, 3) } else { (3, 0) };
        let stored = if tiers == Tiers::Near { 0 } else { 2 };
        here.expect(&[("sets", 2), ("stored", stored), ("near_hits", near), ("far_hits", far)]);
        here.clock.advance(TTL + SECOND);
        assert_eq!(face.get::<u64, _>(here.region.get("numbers", 1)).unwrap(), None, "it has the region's `ttl`");
    }
}

fn nothing_is_set_where_nothing_can_be_fenced(face: Face) {
    for tiers in SHARED {
        let network = Network::of(1, ServerSettings { cas: Cas::Off, ..ServerSettings::default() });
        let here = network.process(tiers);
        let set = face.set(here.region.set("numbers", 1, 5u64)).unwrap();
        assert_eq!(set, SetOutcome::NotStored(NotStored::Unfenced));
        here.expect(&[("sets", 1), ("unfenced", 1)]);
    }
}

fn an_invalidation_ends_the_entry(face: Face) {
    for tiers in ALL {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
        assert_eq!(ask(face, &here, numbers(), 2, 20), 20);
        let reached = if tiers == Tiers::Near { Reached::ThisProcess } else { Reached::Everyone };
        assert_eq!(face.invalidate(here.region.invalidate("numbers", 1)).unwrap(), reached);
        assert_eq!(ask(face, &here, numbers(), 1, 11), 11);
        assert_eq!(ask(face, &here, numbers(), 2, 21), 20, "others stay");
        assert_eq!((here.count("invalidations"), here.count("loads")), (1, 3));
        if tiers != Tiers::Near {
            face.invalidate(there.region.invalidate("numbers", 1)).unwrap();
            here.clock.advance(SECOND);
            assert_eq!(ask(face, &here, numbers(), 1, 12), 12, "from elsewhere too");
        }
    }
}

fn a_soft_invalidation_makes_one_caller_reload(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
        face.invalidate(here.region.invalidate("numbers", 1).soft()).unwrap();
        assert_eq!(face.get::<u64, _>(here.region.get("numbers", 1)).unwrap(), None, "it is not fresh");
        assert_eq!(ask(face, &here, numbers(), 1, 11), 11);
        assert_eq!(ask(face, &here, numbers(), 1, 12), 11);
        let stored = if tiers == Tiers::Near { 0 } else { 2 };
        let (near, far) = if tiers == Tiers::Far { (0, 1) } else { (1, 0) };
        here.expect(&[
            ("misses", 2),
            ("loads", 2),
            ("stored", stored),
            ("invalidations", 1),
            ("near_hits", near),
            ("far_hits", far),
        ]);
    }
}

fn a_namespace_ends_as_a_whole(face: Face) {
    for tiers in ALL {
        let network = Network::of(3, ServerSettings::default());
        let (here, there) = (network.process(tiers), network.process(tiers));
        let other = site(function("app::other", "other"));
        for n in 0..20 {
            ask(face, &here, numbers(), n, 10);
            ask(face, &here, other, n, 10);
        }
        let reached = if tiers == Tiers::Near { Reached::ThisProcess } else { Reached::Everyone };
        assert_eq!(face.invalidate(here.region.invalidate_namespace("numbers")).unwrap(), reached);
        for n in 0..20 {
            assert_eq!(ask(face, &here, numbers(), n, 11), 11);
            assert_eq!(ask(face, &here, other, n, 11), 10);
        }
        assert_eq!((here.count("loads"), here.count("scope_invalidations")), (60, 1));
        if tiers != Tiers::Near {
            face.invalidate(there.region.invalidate_namespace("numbers")).unwrap();
            here.clock.advance(SECOND);
            for n in 0..20 {
                assert_eq!(ask(face, &here, numbers(), n, 12), 12, "from elsewhere too");
                assert_eq!(ask(face, &here, other, n, 12), 10);
            }
        }
    }
}

fn a_region_ends_as_a_whole(face: Face) {
    for tiers in ALL {
        let network = Network::of(3, ServerSettings::default());
        let (here, there) = (network.process(tiers), network.process(tiers));
        let other = site(function("app::other", "other"));
        for n in 0..10 {
            ask(face, &here, numbers(), n, 10);
            ask(face, &here, other, n, 10);
        }
        face.invalidate(here.region.clear()).unwrap();
        assert_eq!(here.region.stats().unwrap().near.map_or(0, |near| near.entries), 0);
        for n in 0..10 {
            assert_eq!(ask(face, &here, numbers(), n, 11), 11);
            assert_eq!(ask(face, &here, other, n, 11), 11);
        }
        if tiers != Tiers::Near {
            face.invalidate(there.region.clear()).unwrap();
            here.clock.advance(SECOND);
            assert_eq!(ask(face, &here, numbers(), 1, 12), 12, "from elsewhere too");
        }
    }
}

fn an_invalidation_by_name_reaches_what_the_function_made(face: Face) {
    let images = site(SiteSpec { arguments: &["owner", "page"], ..function("app::images", "images") });
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let image = |value: u64| {
            let arguments = |key: &mut cache_core::rt::KeyWriter<'_>| {
                key.arg("bob");
                key.arg(&0u64);
            };
            face.call(images, &here.region, arguments, whole::<u64>(), || value)
        };
        assert_eq!(image(1), 1);
        assert_eq!(face.get(here.region.get("images", ("bob".to_owned(), 0u8))).unwrap(), Some(1u64));
        face.invalidate(here.region.invalidate("images", ("bob", 0))).unwrap();
        assert_eq!(image(2), 2);
        face.invalidate(here.region.invalidate("images", (String::from("bob"), 0u128))).unwrap();
        assert_eq!(image(3), 3);
        face.invalidate(here.region.invalidate("images", ("bob", 1))).unwrap();
        assert_eq!(image(4), 3, "and nothing else");
        assert_eq!(here.count("unreachable"), 0);

        assert_eq!(ask(face, &here, numbers(), 1, 1), 1);
        face.invalidate(here.region.invalidate("numbers", (1,))).unwrap();
        assert_eq!(ask(face, &here, numbers(), 1, 2), 2, "one argument in its tuple");
        face.invalidate(here.region.invalidate("numbers", 1)).unwrap();
        assert_eq!(ask(face, &here, numbers(), 1, 3), 3, "and without it");
    }
}

fn an_invalidation_that_can_reach_nothing_is_told(face: Face) {
    for strictness in [Strictness::Lenient, Strictness::Strict] {
        let network = Network::new();
        let here = network.process_of(Setup { strictness, ..network.setup(Tiers::Both) });
        assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
        let (result, warnings) = warnings(|| face.invalidate(here.region.invalidate("numbers", ("bob", 0))));
        if strictness == Strictness::Strict {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), Kind::Arguments);
            assert!(error.message().contains("`app::numbers` takes"), "{error}");
            assert_eq!(warnings, [""; 0]);
        } else {
            assert_eq!(result.unwrap(), Reached::Everyone);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains("`app::numbers` takes"), "{warnings:?}");
        }
        assert_eq!(here.count("unreachable"), 1);
    }
}

fn an_operation_tells_its_errors(face: Face) {
    for tiers in SHARED {
        let network = Network::new();
        let here = network.process(tiers);
        assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
        network.nodes.down(0);
        for (operation, count) in [
            (here.region.invalidate("numbers", 1), 1),
            (here.region.invalidate("numbers", 1).soft(), 2),
            (here.region.invalidate_namespace("numbers"), 3),
            (here.region.clear(), 4),
        ] {
            let error = face.invalidate(operation).unwrap_err();
            assert_eq!(error.kind(), Kind::Pending);
            assert!(error.may_retry() && error.to_string().contains("region: r"), "{error}");
            assert_eq!(here.count("pending"), count);
        }
        network.nodes.up(0);
        assert_eq!(ask(face, &here, numbers(), 1, 11), 11, "replayed before the node is read again");
        assert_eq!(here.far.pending(), if tiers == Tiers::Far || tiers == Tiers::Both { here.far.replay() } else { 0 });
        assert_eq!(here.far.pending(), 0);
    }
}

fn an_operation_without_its_face_is_an_error(face: Face) {
    let network = Network::new();
    let near_face = network.nodes.client(cache_core::testkit::Faults::none());
    let registry = Registry::builder().clock(cache_core::clock::Clock::Manual(network.clock.clone())).build();
    let blocking_is_there = face != Face::Blocking;
    registry
        .register_scheme("sim", move |_: &cache_core::config::BackendUrl, _: &cache_core::registry::OpenContext| {
            let far = std::sync::Arc::new(near_face.clone());
            Ok(cache_core::registry::Opened::Far {
                blocking: if blocking_is_there { Some(far.clone()) } else { None },
                tasks: if blocking_is_there { None } else { Some(far) },
            })
        })
        .unwrap();
    registry.configure("r", Tiers::Far.settings()).unwrap();
    let region = registry.region("r");
    let (_, warnings) = warnings(|| {
        for value in [1, 2] {
            assert_eq!(face.call(numbers(), &region, |key| key.arg(&1), whole::<u64>(), || value), value);
        }
    });
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`numbers` runs uncached"), "{warnings:?}");
    assert_eq!(region.stats().unwrap().total.bypassed, 2);
    assert_eq!(face.get::<u64, _>(region.get("numbers", 1)).unwrap_err().kind(), Kind::MissingFace);
    assert_eq!(face.set(region.set("numbers", 1, 1u64)).unwrap_err().kind(), Kind::MissingFace);
    for operation in [region.invalidate("numbers", 1), region.invalidate_namespace("numbers"), region.clear()] {
        assert_eq!(face.invalidate(operation).unwrap_err().kind(), Kind::MissingFace);
    }
}
