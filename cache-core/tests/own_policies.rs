//! Where a function, or one call, differs from the policy of its region: the same scenarios on both faces.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
mod common;

use std::time::Duration;

use cache_core::error::Kind;
use cache_core::policy::OwnPolicy;
use cache_core::rt::{KeyBuffer, Site, SiteSpec};

use common::*;

twins! {
    a_function_has_a_ttl_of_its_own,
    a_function_has_a_stale_window_of_its_own,
    a_function_says_how_stale_its_near_copies_may_be,
    a_call_says_how_stale_a_near_copy_may_be,
    a_read_says_how_stale_a_near_copy_may_be,
    a_bound_means_nothing_where_there_is_one_tier,
    a_bound_means_nothing_to_what_is_kept_near_only,
    what_a_region_cannot_keep_so_goes_through_and_is_told,
}

const MOMENT: Duration = Duration::from_nanos(1);

/// A function of one number with a policy of its own.
fn own(policy: OwnPolicy) -> &'static Site {
    site(SiteSpec { policy, ..function("app::own", "own") })
}

fn a_function_has_a_ttl_of_its_own(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let short = own(OwnPolicy { ttl: Some(10 * SECOND), ..OwnPolicy::NONE });
        assert_eq!(ask(face, &here, short, 1, 10), 10);
        assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
        here.clock.advance(12 * SECOND);
        assert_eq!(ask(face, &here, short, 1, 11), 11);
        assert_eq!(ask(face, &here, numbers(), 1, 11), 10);
    }
}

fn a_function_has_a_stale_window_of_its_own(face: Face) {
    for tiers in ALL {
        let here = Network::new().process(tiers);
        let lasting = own(OwnPolicy { stale_if_error: Some(60 * SECOND), ..OwnPolicy::NONE });
        let call = |site: &'static Site, result: Result<u64, String>| {
            face.call(site, &here.region, |key| key.arg(&1), terms!(Result<u64, String>), || result)
        };
        assert_eq!((call(lasting, Ok(10)), call(numbers(), Ok(10))), (Ok(10), Ok(10)));
        here.clock.advance(TTL + SECOND);
        assert_eq!(call(lasting, Err("down".to_owned())), Ok(10), "{tiers:?}");
        assert_eq!(call(numbers(), Err("down".to_owned())), Err("down".to_owned()), "the region has no such window");
    }
}

fn a_function_says_how_stale_its_near_copies_may_be(face: Face) {
    let network = Network::new();
    let (here, there) = (network.process(Tiers::Both), network.process(Tiers::Both));
    for (bound, stale) in [(Duration::ZERO, false), (10 * SECOND, true)] {
        let site = own(OwnPolicy { max_staleness: Some(bound), ..OwnPolicy::NONE });
        let before = ask(face, &here, site, 1, 10);
        face.invalidate(there.region.invalidate("own", 1)).unwrap();
        here.clock.advance(5 * SECOND);
        assert_eq!(ask(face, &here, site, 1, 11) == before, stale, "{bound:?}");
        face.invalidate(here.region.invalidate("own", 1)).unwrap();
    }
}

fn a_call_says_how_stale_a_near_copy_may_be(face: Face) {
    let network = Network::new();
    let (here, there) = (network.process(Tiers::Both), network.process(Tiers::Both));
    let site = numbers();
    let within = |bound: Duration, value: u64| {
        let terms = whole::<u64>().max_staleness(bound);
        face.call(site, &here.region, |key| key.arg(&1), terms, || value)
    };
    assert_eq!(ask(face, &here, site, 1, 10), 10);
    face.invalidate(there.region.invalidate("numbers", 1)).unwrap();
    here.clock.advance(5 * SECOND - MOMENT);
    assert_eq!(within(5 * SECOND, 11), 10, "longer than the region allows");
    assert_eq!(within(4 * SECOND, 12), 12, "shorter than the copy is old");
    face.invalidate(there.region.invalidate("numbers", 1)).unwrap();
    assert_eq!(ask(face, &here, site, 1, 13), 12, "within the region's second");
    assert_eq!(within(Duration::ZERO, 14), 14, "nothing that was not asked for since");
}

fn a_read_says_how_stale_a_near_copy_may_be(face: Face) {
    let network = Network::new();
    let (here, there) = (network.process(Tiers::Both), network.process(Tiers::Both));
    assert_eq!(ask(face, &here, numbers(), 1, 10), 10);
    face.invalidate(there.region.invalidate("numbers", 1)).unwrap();
    let get = |bound: Option<Duration>| {
        let get = here.region.get::<u64>("numbers", 1);
        face.get(bound.into_iter().fold(get, |get, bound| get.max_staleness(bound))).unwrap()
    };
    assert_eq!(get(None), Some(10), "within the region's second");
    assert_eq!(get(Some(Duration::ZERO)), None);
}

fn a_bound_means_nothing_where_there_is_one_tier(face: Face) {
    for tiers in [Tiers::Near, Tiers::Far] {
        let here = Network::new().process(tiers);
        let site = own(OwnPolicy { max_staleness: Some(Duration::ZERO), ..OwnPolicy::NONE });
        assert_eq!(ask(face, &here, site, 1, 10), 10);
        assert_eq!(ask(face, &here, site, 1, 11), 10);
        let far = u64::from(tiers == Tiers::Far);
        here.expect(&[("misses", 1), ("loads", 1), ("stored", far), ("near_hits", 1 - far), ("far_hits", far)]);
    }
}

fn a_bound_means_nothing_to_what_is_kept_near_only(face: Face) {
    let here = Network::new().process(Tiers::Both);
    let ask = |value: u64| {
        let terms = terms!(u64, cache_core::rt::NearOnly).weight(|_| 8).max_staleness(SECOND);
        face.call(numbers(), &here.region, |key| key.arg(&1), terms, || value)
    };
    assert_eq!(ask(10), 10);
    here.clock.advance(2 * SECOND);
    assert_eq!(ask(11), 10);
    here.expect(&[("misses", 1), ("loads", 1), ("near_hits", 1)]);
}

fn what_a_region_cannot_keep_so_goes_through_and_is_told(face: Face) {
    let here = Network::new().process(Tiers::Far);
    let short = own(OwnPolicy { ttl: Some(SECOND), ..OwnPolicy::NONE });
    let (_, told) = warnings(|| {
        assert_eq!(ask(face, &here, short, 1, 10), 10);
        assert_eq!(ask(face, &here, short, 1, 11), 11, "it is not kept");
    });
    here.expect(&[("bypassed", 2)]);
    if face == Face::Blocking {
        assert!(
            told.len() == 1 && told[0].contains("`own` runs uncached") && told[0].contains("value: 1s"),
            "{told:?}"
        );
    }
    let mut buffer = KeyBuffer::new();
    let mut key = short.begin(&mut buffer);
    key.arg(&1);
    let entry = cache_core::rt::entry::<u64, _>(short, &here.region, &mut key, cache_core::rt::Serde);
    assert_eq!(entry.get().wait().unwrap_err().kind(), Kind::Config);
}
