//! The suite of regions over the backends of the testkit, and that it finds what is wrong.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::cell::RefCell;

use cache_core::testkit::region_suite;

use common::*;

#[test]
fn regions_of_all_tiers_pass_the_suite() {
    for tiers in ALL {
        // The clock of the case under way moves whenever somebody waits for it.
        let ticking = RefCell::new(None);
        let fresh = || {
            let network = Network::new();
            ticking.replace(Some(Ticking::new(&network.clock)));
            network.process(tiers).registry.region("r")
        };
        let report = region_suite(fresh);
        let report = report.unwrap_or_else(|report| panic!("{tiers:?}: {report}"));
        assert!(report.skipped.is_empty() && report.passed.len() > 20, "{tiers:?}: {report}");
    }
}

#[test]
fn a_region_that_keeps_nothing_does_not_pass() {
    let network = Network::new();
    let closed = || {
        let region = network.process(Tiers::Near).registry.region("r");
        region.pause().unwrap();
        region
    };
    let report = region_suite(closed).expect_err("nothing is kept by a paused region");
    for case in ["a function runs once", "zero, false, nothing", "ten threads on one cold key", "hits and loads"] {
        assert!(report.failed.iter().any(|(name, _)| name.starts_with(case)), "{case}: {report}");
    }
}
