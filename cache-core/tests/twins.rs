//! One list of scenarios for both drivers, so that they cannot drift apart: each runs in a thread, on a runtime of one
//! thread and on one of several, and must give the same answers and the same statistics.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use std::time::Duration;

use cache_core::config::Settings;
use cache_core::error::Kind;
use cache_core::record::fingerprint;
use cache_core::region::{NotStored, Reached, Region, SetOutcome};
use cache_core::rt::{NearOnly, Site, SiteSpec};
use cache_core::testkit::meta::{Cas, Room, ServerSettings};
use serde::{Deserialize, Serialize, Serializer};

use common::*;

twins! {
    what_was_loaded_is_a_hit,
    what_another_process_loaded_is_a_hit,
    a_value_expires_with_its_ttl,
    a_near_copy_is_good_for_max_staleness,
    a_value_decides_whether_it_is_kept,
    a_value_decides_how_long_it_is_kept,
    nothing_is_not_kept_if_only_something_is,
    whoever_forces_loads_anew,
    whoever_does_not_ask_goes_through,
    a_failure_is_not_kept,
    a_function_that_is_near_only_needs_no_serde,
    a_value_that_nobody_can_weigh_is_not_stored,
    a_paused_region_loads_through,
    a_region_that_is_off_has_nothing,
    an_unconfigured_region_loads_through_until_it_is_configured,
    arguments_that_are_no_key_go_through,
    a_higher_version_is_left_alone_and_a_lower_one_is_not,
    two_types_under_one_namespace_never_meet,
    two_types_of_one_function_clash_only_under_one_key,
    the_type_of_another_build_is_told_by_its_fingerprint,
    what_the_codec_misreads_stays_near,
    what_is_too_large_for_the_near_tier_is_not_near,
    what_is_too_large_for_the_far_tier_is_not_far,
    a_full_server_gives_no_fence_and_is_given_no_value,
    a_server_without_cas_is_given_no_value,
    without_the_far_tier_calls_are_answered,
}

fn what_was_loaded_is_a_hit(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let site = numbers();
        assert_eq!(ask(face, &here, site, 1, 10), 10);
        assert_eq!(ask(face, &here, site, 1, 11), 10);
        assert_eq!(ask(face, &here, site, 2, 20), 20);
        let (near, far) = if tiers == Tiers::Far { (0, 1) } else { (1, 0) };
        let stored = if tiers == Tiers::Near { 0 } else { 2 };
        here.expect(&[("misses", 2), ("loads", 2), ("stored", stored), ("near_hits", near), ("far_hits", far)]);
        here.expect_reasons(&[("absent", 2)]);
        let stats = here.region.stats().unwrap();
        assert_eq!(stats.total.hit_ratio(), Some(1.0 / 3.0));
        assert_eq!(stats.near.map(|near| near.entries), (tiers != Tiers::Far).then_some(2));
    }
}

fn what_another_process_loaded_is_a_hit(face: Face) {
    for tiers in SHARED {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        assert_eq!(ask(face, &there, numbers(), 1, 10), 10);
        for _ in 0..3 {
            assert_eq!(ask(face, &here, numbers(), 1, 11), 10);
        }
        let near = if tiers == Tiers::Both { 2 } else { 0 };
        here.expect(&[("far_hits", 3 - near), ("near_hits", near)]);
    }
}

fn a_value_expires_with_its_ttl(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
        here.clock.advance(TTL - 2 * SECOND);
        assert_eq!(ask(face, &here, numbers(), 1, 11), 10);
        here.clock.advance(3 * SECOND);
        assert_eq!(ask(face, &here, numbers(), 1, 12), 12);
        let hit = match tiers {
            Tiers::Near => ("near_hits", 1),
            Tiers::Far => ("far_hits", 1),
            Tiers::Both => ("validated", 1),
        };
        let stored = if tiers == Tiers::Near { 0 } else { 2 };
        here.expect(&[("misses", 2), ("loads", 2), ("stored", stored), hit]);
        let gone = if tiers == Tiers::Near { [("absent", 1), ("expired", 1)].to_vec() } else { vec![("absent", 2)] };
        here.expect_reasons(&gone);
    }
}

fn a_near_copy_is_good_for_max_staleness(face: Face) {
    let network = Network::new();
    let (here, there) = (network.process(Tiers::Both), network.process(Tiers::Both));
    assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
    face.invalidate(there.region.invalidate("numbers", 1)).unwrap();
    here.clock.advance(SECOND - Duration::from_nanos(1));
    assert_eq!(ask(face, &here, numbers(), 1, 11), 10, "within `max_staleness`");
    here.clock.advance(Duration::from_nanos(1));
    assert_eq!(ask(face, &here, numbers(), 1, 12), 12, "after it");
    here.expect(&[("misses", 2), ("loads", 2), ("stored", 2), ("near_hits", 1)]);

    let strict = network.process_with(Tiers::Both, |settings| settings.max_staleness(Duration::ZERO));
    for _ in 0..2 {
        assert_eq!(ask(face, &strict, numbers(), 1, 13), 12);
    }
    strict.expect(&[("far_hits", 1), ("validated", 1)]);
}

fn a_value_decides_whether_it_is_kept(face: Face) {
    for tiers in ALL {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        let site = numbers();
        let large = |process: &Process, value: u64| {
            let terms = whole::<u64>().cache_if(|value| *value > 100);
            face.call(site, &process.region, |key| key.arg(&1), terms, || value)
        };
        assert_eq!(large(&here, 10), 10);
        assert_eq!(large(&there, 11), 11, "the claim was handed back: nobody waits for its end");
        assert_eq!(large(&here, 111), 111);
        assert_eq!(large(&here, 12), 111);
        let (near, far) = if tiers == Tiers::Far { (0, 1) } else { (1, 0) };
        let stored = if tiers == Tiers::Near { 0 } else { 1 };
        let hits = [("near_hits", near), ("far_hits", far)];
        here.expect(&[&hits[..], &[("misses", 2), ("loads", 2), ("discarded", 1), ("stored", stored)]].concat());
    }
}

fn a_value_decides_how_long_it_is_kept(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let site = numbers();
        let ask = |n: u32, value: u64| {
            let terms = whole::<u64>().ttl_of(|value| (*value < 100).then(|| Duration::from_secs(*value)));
            face.call(site, &here.region, |key| key.arg(&n), terms, || value)
        };
        assert_eq!((ask(0, 0), ask(10, 10), ask(100, 100)), (0, 10, 100));
        assert_eq!(ask(0, 100), 100, "a `ttl` of nothing is not kept");
        here.clock.advance(8 * SECOND);
        assert_eq!((ask(10, 11), ask(100, 101)), (10, 100));
        here.clock.advance(4 * SECOND);
        assert_eq!((ask(10, 12), ask(100, 102)), (12, 100), "its own `ttl`, and the region's");
        assert_eq!(here.count("discarded"), 1);
    }
}

fn nothing_is_not_kept_if_only_something_is(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let site = numbers();
        let found = |value: Option<u8>| {
            face.call(site, &here.region, |key| key.arg(&1), whole::<Option<u8>>().only_some(), || value)
        };
        assert_eq!((found(None), found(Some(1)), found(None)), (None, Some(1), Some(1)));
        let ok = |value: Result<Option<u8>, String>| {
            let terms = terms!(Result<Option<u8>, String>).only_some();
            face.call(site, &here.region, |key| key.arg(&2), terms, || value)
        };
        assert_eq!((ok(Ok(None)), ok(Ok(Some(1))), ok(Ok(None))), (Ok(None), Ok(Some(1)), Ok(Some(1))));
        let any = |n: u8, value: Option<u8>| {
            face.call(site, &here.region, |key| key.arg(&n), whole::<Option<u8>>(), || value)
        };
        assert_eq!((any(3, None), any(3, Some(1))), (None, None), "`None` is a value");
        assert_eq!(here.count("discarded"), 2);
    }
}

fn whoever_forces_loads_anew(face: Face) {
    for tiers in ALL {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        let site = numbers();
        let forced =
            |value: u64| face.call(site, &here.region, |key| key.arg(&1), whole::<u64>().force(true), || value);
        assert_eq!(ask(face, &here, site, 1, 10), 10);
        assert_eq!(forced(11), 11);
        assert_eq!(ask(face, &here, site, 1, 12), 11);
        if tiers != Tiers::Near {
            assert_eq!(ask(face, &there, site, 1, 13), 11);
        }
        assert_eq!(here.count("loads"), 2);
        here.expect_reasons(&[("absent", 1), ("forced", 1)]);
    }
}

fn whoever_does_not_ask_goes_through(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let site = numbers();
        assert_eq!(ask(face, &here, site, 1, 10), 10);
        let through =
            |value: u64| face.call(site, &here.region, |key| key.arg(&1), whole::<u64>().when(false), || value);
        assert_eq!(through(11), 11);
        let stored = u64::from(tiers != Tiers::Near);
        here.expect(&[("misses", 1), ("loads", 1), ("stored", stored), ("bypassed", 1)]);
        assert_eq!(ask(face, &here, site, 1, 12), 10, "nothing was stored");
    }
}

fn a_failure_is_not_kept(face: Face) {
    for tiers in ALL {
        let network = Network::new();
        let (here, there) = (network.process(tiers), network.process(tiers));
        let site = numbers();
        let ask = |process: &Process, result: Result<u8, String>| {
            face.call(site, &process.region, |key| key.arg(&1), terms!(Result<u8, String>), || result)
        };
        let failure = Err("no".to_owned());
        assert_eq!(ask(&here, failure.clone()), failure);
        assert_eq!(ask(&there, Ok(2)), Ok(2), "the claim was handed back");
        let expected = if tiers == Tiers::Near { 1 } else { 2 };
        assert_eq!(ask(&here, Ok(1)), Ok(expected));
        assert_eq!(ask(&here, failure), Ok(expected));
        assert_eq!((here.count("failed_loads"), here.count("unshared")), (1, 0));
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Handle(u8);

fn a_function_that_is_near_only_needs_no_serde(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let handles = site(function("app::handles", "handles"));
        let ask = |value: u8| {
            let terms = terms!(Handle, NearOnly).weight(|_| 1);
            face.call(handles, &here.region, |key| key.arg(&1), terms, || Handle(value))
        };
        if tiers == Tiers::Far {
            let (_, warnings) = warnings(|| assert_eq!((ask(1), ask(2)), (Handle(1), Handle(2))));
            assert_eq!(warnings, ["`handles` is `near_only`, and its region has no near tier"]);
            here.expect(&[("bypassed", 2)]);
        } else {
            assert_eq!((ask(1), ask(2)), (Handle(1), Handle(1)));
            here.clock.advance(30 * SECOND);
            assert_eq!(ask(3), Handle(1), "no proof from elsewhere is needed");
            here.expect(&[("misses", 1), ("loads", 1), ("near_hits", 2)]);
        }
        assert!(here.far.nodes().server(0).is_empty());
    }
}

fn a_value_that_nobody_can_weigh_is_not_stored(face: Face) {
    let here = Network::new().process(Tiers::Near);
    let handles = site(function("app::handles", "handles"));
    let ask =
        |value: u8| face.call(handles, &here.region, |key| key.arg(&1), terms!(Handle, NearOnly), || Handle(value));
    let (_, warnings) = warnings(|| assert_eq!((ask(1), ask(2)), (Handle(1), Handle(2))));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("weight = .."), "{warnings:?}");
    here.expect(&[("misses", 2), ("loads", 2), ("unweighed", 2)]);
}

fn a_paused_region_loads_through(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let site = numbers();
        assert_eq!(ask(face, &here, site, 1, 10), 10);
        assert_eq!(ask(face, &here, site, 2, 20), 20);
        here.region.pause().unwrap();
        assert_eq!(ask(face, &here, site, 1, 11), 11);
        assert_eq!(face.get::<u64, _>(here.region.get("numbers", 1)).unwrap(), None);
        let set = face.set(here.region.set("numbers", 1, 12u64)).unwrap();
        assert_eq!(set, SetOutcome::NotStored(NotStored::Off));
        let reached = if tiers == Tiers::Near { Reached::ThisProcess } else { Reached::Everyone };
        assert_eq!(face.invalidate(here.region.invalidate("numbers", 2)).unwrap(), reached);
        here.region.resume().unwrap();
        assert_eq!(ask(face, &here, site, 1, 13), 10, "what was stored before is served again");
        assert_eq!(ask(face, &here, site, 2, 21), 21, "invalidations went out");
        assert_eq!((here.count("bypassed"), here.count("loads")), (1, 3));
    }
}

fn a_region_that_is_off_has_nothing(face: Face) {
    let here = Network::new().process_with(Tiers::Near, |_| Settings::off());
    assert!(runs(face, &here, numbers(), 1) && runs(face, &here, numbers(), 1));
    here.expect(&[("bypassed", 2)]);
    for region in [&*here.region, &Region::disabled()] {
        assert_eq!(face.get::<u64, _>(region.get("numbers", 1)).unwrap(), None);
        let set = face.set(region.set("numbers", 1, 1u64)).unwrap();
        assert_eq!(set, SetOutcome::NotStored(NotStored::Off));
        for operation in [region.invalidate("numbers", 1), region.invalidate_namespace("numbers"), region.clear()] {
            assert_eq!(face.invalidate(operation).unwrap(), Reached::Nobody);
        }
    }
    let (ran, warnings) =
        warnings(|| face.call(numbers(), &Region::disabled(), |key| key.arg(&1), whole::<u64>(), || 5));
    assert_eq!((ran, warnings), (5, Vec::<String>::new()));
}

fn an_unconfigured_region_loads_through_until_it_is_configured(face: Face) {
    let here = Network::new().process(Tiers::Near);
    let other = here.registry.region("other");
    let ask = |value: u64| face.call(numbers(), &other, |key| key.arg(&1), whole::<u64>(), || value);
    let (_, warnings) = warnings(|| assert_eq!((ask(1), ask(2)), (1, 2)));
    for warning in &warnings {
        assert!(warning.contains("`other` is not configured"), "{warnings:?}");
    }
    assert_eq!(warnings.len(), 1, "once a minute: {warnings:?}");
    assert_eq!(face.invalidate(other.invalidate("numbers", 1)).unwrap_err().kind(), Kind::Unconfigured);
    assert_eq!(face.invalidate(other.clear()).unwrap_err().kind(), Kind::Unconfigured);
    assert_eq!(face.get::<u64, _>(other.get("numbers", 1)).unwrap_err().kind(), Kind::Unconfigured);
    assert_eq!(face.set(other.set("numbers", 1, 1u64)).unwrap_err().kind(), Kind::Unconfigured);
    here.registry.configure("other", Tiers::Near.settings()).unwrap();
    assert_eq!((ask(3), ask(4)), (3, 3), "configured later, it takes effect");
}

/// An argument that cannot be written.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a socket is no argument"))
    }
}

fn arguments_that_are_no_key_go_through(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let ask = |value: u64| face.call(numbers(), &here.region, |key| key.arg(&Unwritable), whole::<u64>(), || value);
        let (_, warnings) = warnings(|| assert_eq!((ask(1), ask(2)), (1, 2)));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("a socket is no argument"), "{warnings:?}");
        here.expect(&[("key_errors", 2)]);
        let error = face.invalidate(here.region.invalidate("numbers", Unwritable)).unwrap_err();
        assert_eq!(error.kind(), Kind::Key);
    }
}

fn a_higher_version_is_left_alone_and_a_lower_one_is_not(face: Face) {
    for tiers in SHARED {
        let network = Network::new();
        let (old, new) = (network.process(tiers), network.process(tiers));
        let version = |version| site(SiteSpec { version, ..function("app::numbers", "numbers") });
        let (one, two) = (version(1), version(2));
        assert_eq!(ask(face, &old, one, 1, 10), 10);
        assert_eq!(ask(face, &new, two, 1, 20), 20, "a record of a lower version is a miss");
        new.expect_reasons(&[("lower_version", 1)]);
        old.clock.advance(2 * SECOND);
        assert_eq!(ask(face, &old, one, 1, 11), 11, "and so is one of a higher");
        old.clock.advance(2 * SECOND);
        assert_eq!(ask(face, &new, two, 1, 21), 20, "but that is not overwritten");
        old.expect_reasons(&[("absent", 1), ("higher_version", 1)]);
        assert_eq!(old.count("stored"), 1);
        let hit = if tiers == Tiers::Far { ("far_hits", 1) } else { ("validated", 1) };
        new.expect(&[("misses", 1), ("loads", 1), ("stored", 1), ("takeovers", 1), hit]);
    }
}

fn two_types_under_one_namespace_never_meet(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let (numbers, words) = (site(function("app::numbers", "shared")), site(function("app::words", "shared")));
        let (_, warnings) = warnings(|| {
            for round in 0..3 {
                let number = face.call(numbers, &here.region, |key| key.arg(&1), whole::<u64>(), || 7);
                let word = face.call(words, &here.region, |key| key.arg(&1), whole::<String>(), || "x".to_owned());
                assert_eq!((number, word.as_str()), (7, "x"), "round {round}");
            }
        });
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for part in ["`app::numbers` keeps `u64`", "`app::words` keeps `alloc::string::String`", "`shared`"] {
            assert!(warnings[0].contains(part), "{warnings:?}");
        }
        assert_eq!(here.count("loads"), 6, "each is a miss to the other");
        assert!(here.count("type_clashes") >= 5);
    }
}

/// A generic function has one site for all of its types.
fn two_types_of_one_function_clash_only_under_one_key(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let both = |site: &'static Site, of_number: &str, of_word: &str| {
            let number = face.call(site, &here.region, |key| key.arg(of_number), whole::<u64>(), || 7);
            let word = face.call(site, &here.region, |key| key.arg(of_word), whole::<String>(), || "x".to_owned());
            assert_eq!((number, word.as_str()), (7, "x"));
        };
        let named = site(function("app::named", "named"));
        let (_, said) = warnings(|| (0..3).for_each(|_| both(named, "u64", "String")));
        assert_eq!(said, Vec::<String>::new(), "the key tells the types apart");
        assert_eq!((here.count("loads"), here.count("type_clashes")), (2, 0));

        let forgotten = site(function("app::forgotten", "forgotten"));
        let (_, said) = warnings(|| (0..3).for_each(|_| both(forgotten, "", "")));
        assert_eq!(said.len(), 1, "{said:?}");
        for part in
            ["`app::forgotten` keeps `u64`, `app::forgotten` keeps `alloc::string::String`", "key(std::any::type"]
        {
            assert!(said[0].contains(part), "{said:?}");
        }
        assert_eq!(here.count("loads"), 2 + 6, "each is a miss to the other");
        assert!(here.count("type_clashes") >= 5);

        let (one, other) = (site(function("app::find", "found")), site(function("app::find", "found")));
        let number = || face.call(one, &here.region, |key| key.arg("a"), whole::<u64>(), || 7);
        let word = || face.call(other, &here.region, |key| key.arg("b"), whole::<String>(), || "x".to_owned());
        let (_, said) = warnings(|| (number(), word()));
        assert_eq!(said.len(), 1, "two methods of one name, which share no key yet: {said:?}");
        assert!(said[0].contains("give each its own namespace"), "{said:?}");
    }
}

/// Two processes that know nothing of each other's types, as after a change that left `version` as it was.
fn the_type_of_another_build_is_told_by_its_fingerprint(face: Face) {
    for tiers in SHARED {
        let network = Network::new();
        let (old, new) = (network.process(tiers), network.process(tiers));
        let user = || site(function("app::user", "user"));
        let (of_old, of_new) = (user(), user());
        let number = || face.call(of_old, &old.region, |key| key.arg(&1), whole::<u64>(), || 7);
        let word = || face.call(of_new, &new.region, |key| key.arg(&1), whole::<String>(), || "x".to_owned());
        let mut told = Vec::new();
        for round in 0..3 {
            old.clock.advance(2 * SECOND);
            let (number, of_number) = warnings(number);
            let (word, of_word) = warnings(word);
            assert_eq!((number, word.as_str()), (7, "x"), "round {round}");
            told.extend([of_number, of_word].concat());
        }
        // The new one meets the old one's record first, and then the old one the new one's.
        let (numbers, words) = (fingerprint::<u64>(), fingerprint::<String>());
        let [first, second] = &told[..] else { panic!("each process tells once: {told:?}") };
        for part in ["`user`", "`app::user` keeps `alloc::string::String`", "raise `version`"] {
            assert!(first.contains(part), "{first}");
        }
        assert!(first.contains(&format!("of fingerprint {words}")), "its own: {first}");
        assert!(first.contains(&format!("a type of fingerprint {numbers}")), "the other's: {first}");
        assert!(second.contains("`app::user` keeps `u64`"), "{second}");
        assert!(second.contains(&format!("a type of fingerprint {words}")), "{second}");
        old.expect_reasons(&[("absent", 1), ("other_type", 2)]);
        new.expect_reasons(&[("other_type", 3)]);
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<u8>,
    next: u8,
}

fn what_the_codec_misreads_stays_near(face: Face) {
    for tiers in SHARED {
        let network = Network::new();
        let here = network.process(tiers);
        let sparse = site(function("app::sparse", "sparse"));
        let ask = |next: u8| {
            face.call(sparse, &here.region, |key| key.arg(&1), whole::<Sparse>(), || Sparse { name: None, next })
        };
        let (_, warnings) = warnings(|| {
            assert_eq!(ask(1).next, 1);
            assert_eq!(ask(2).next, if tiers == Tiers::Both { 1 } else { 2 });
        });
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for part in
            ["`sparse` (`twins::Sparse`)", "what was written cannot be read", "`codec = \"json\"`", "`near_only`"]
        {
            assert!(warnings[0].contains(part), "{part}: {warnings:?}");
        }
        let (near, loads) = if tiers == Tiers::Both { (1, 1) } else { (0, 2) };
        here.expect(&[("misses", loads), ("loads", loads), ("unreadable", loads), ("near_hits", near)]);
        assert_eq!(network.nodes.server(0).evicted(), 0);
        let there = network.process(tiers);
        assert!(runs(face, &there, numbers(), 1));
        face.call(sparse, &there.region, |key| key.arg(&1), whole::<Sparse>(), || Sparse { name: None, next: 9 });
        there.expect_reasons(&[("absent", 2)]);

        #[cfg(feature = "json")]
        {
            let heeding = network.process_with(tiers, |settings| settings.codec(cache_core::record::Codec::Json));
            face.call(sparse, &heeding.region, |key| key.arg(&1), whole::<Sparse>(), || Sparse { name: None, next: 9 });
            assert_eq!((heeding.count("stored"), heeding.count("unreadable")), (1, 0), "as it was advised");
        }
    }
}

fn what_is_too_large_for_the_near_tier_is_not_near(face: Face) {
    for tiers in [Tiers::Near, Tiers::Both] {
        let network = Network::new();
        let here = network.process_of(Setup { capacity: 1000, ..network.setup(tiers) });
        let texts = site(function("app::texts", "texts"));
        let ask = |len: usize| {
            let text = face.call(texts, &here.region, |key| key.arg(&1), whole::<String>(), || "x".repeat(len));
            text.len()
        };
        assert_eq!(ask(2000), 2000);
        let expected = if tiers == Tiers::Near { 10 } else { 2000 };
        assert_eq!(ask(10), expected);
        let loads = if tiers == Tiers::Near { 2 } else { 1 };
        assert_eq!(here.count("loads"), loads);
        // Near over far: once after the load, once after the read.
        assert_eq!(here.count("too_large"), if tiers == Tiers::Near { 1 } else { 2 });
    }
}

fn what_is_too_large_for_the_far_tier_is_not_far(face: Face) {
    for tiers in SHARED {
        let network = Network::of(1, ServerSettings { item_limit: 2048, ..ServerSettings::default() });
        let (here, there) = (
            network.process_with(tiers, |settings| settings.compress(cache_core::record::Compression::None)),
            network.process(tiers),
        );
        let texts = site(function("app::texts", "texts"));
        let ask = |process: &Process, len: usize| {
            face.call(texts, &process.region, |key| key.arg(&1), whole::<String>(), || "x".repeat(len)).len()
        };
        let (_, warnings) = warnings(|| assert_eq!(ask(&here, 4000), 4000));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("is larger than the far tier takes"), "{warnings:?}");
        here.expect(&[("misses", 1), ("loads", 1), ("too_large", 1)]);
        assert_eq!(ask(&there, 10), 10, "the claim was handed back");
        assert_eq!(ask(&here, 11), if tiers == Tiers::Both { 4000 } else { 10 }, "near it may be");
    }
}

fn a_full_server_gives_no_fence_and_is_given_no_value(face: Face) {
    for tiers in SHARED {
        let network = Network::new();
        let here = network.process(tiers);
        network.nodes.server(0).set_room(Room::None);
        let (_, _) = warnings(|| assert_eq!(ask(face, &here, numbers(), 1, 10), 10));
        assert_eq!(ask(face, &here, numbers(), 1, 11), if tiers == Tiers::Both { 10 } else { 11 });
        assert!(network.nodes.server(0).is_empty());
        assert_eq!(here.count("stored"), 0);
        network.nodes.server(0).set_room(Room::Ample);
        here.clock.advance(2 * SECOND);
        assert_eq!(ask(face, &here, numbers(), 1, 12), 12);
        assert_eq!(here.count("stored"), 1, "as soon as there is room");
    }
}

fn a_server_without_cas_is_given_no_value(face: Face) {
    for tiers in SHARED {
        let network = Network::of(1, ServerSettings { cas: Cas::Off, ..ServerSettings::default() });
        let here = network.process(tiers);
        assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
        assert_eq!(ask(face, &here, numbers(), 1, 11), if tiers == Tiers::Both { 10 } else { 11 });
        let loads = if tiers == Tiers::Both { 1 } else { 2 };
        let near = 2 - loads;
        here.expect(&[("misses", loads), ("loads", loads), ("unfenced", loads), ("near_hits", near)]);
    }
}

fn without_the_far_tier_calls_are_answered(face: Face) {
    for tiers in SHARED {
        let network = Network::new();
        let here = network.process(tiers);
        assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
        network.nodes.down(0);
        here.clock.advance(2 * SECOND);
        let (_, warnings) = warnings(|| {
            assert_eq!(ask(face, &here, numbers(), 1, 11), 11);
            assert_eq!(ask(face, &here, numbers(), 1, 12), if tiers == Tiers::Both { 11 } else { 12 });
        });
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("the far tier failed"), "{warnings:?}");
        let loads = if tiers == Tiers::Both { 2 } else { 3 };
        let near = 3 - loads;
        here.expect(&[
            ("misses", loads),
            ("loads", loads),
            ("stored", 1),
            ("far_errors", loads - 1),
            ("near_hits", near),
        ]);
        assert_eq!(face.get::<u64, _>(here.region.get("numbers", 2)).unwrap_err().kind(), Kind::Backend);
        let set = face.set(here.region.set("numbers", 2, 1u64)).unwrap();
        assert_eq!(set, SetOutcome::NotStored(NotStored::Unknown));
        network.nodes.up(0);
        here.clock.advance(2 * SECOND);
        assert_eq!(ask(face, &here, numbers(), 1, 13), 10, "it held its data");
    }
}
