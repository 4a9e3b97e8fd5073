//! The program's own registry, with an observer: one test, for a program has one registry.

#![cfg(all(feature = "macros", feature = "memory"))]
#![allow(clippy::expect_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache::{Count, Event, Observer, Region, Registry, Settings, cached, registry};

static REGION: Region = Region::named("watched");

#[cached(REGION, "squares")]
fn square(number: u64) -> u64 {
    number * number
}

#[derive(Debug, Default)]
struct Diary(Mutex<Vec<(Count, Option<String>)>>);

impl Observer for Diary {
    fn observe(&self, event: &Event<'_>) {
        assert_eq!((event.region, event.namespace), ("watched", "squares"));
        let detail = event.detail.map(|detail| detail.to_string());
        self.0.lock().expect("no panic").push((event.what, detail));
    }
}

#[test]
fn the_programs_registry_can_be_one_with_an_observer() {
    let diary = Arc::new(Diary::default());
    Registry::builder().observer(diary.clone()).build().make_global().expect("nobody asked for one yet");
    assert!(Registry::new().make_global().is_err(), "there is one");
    let settings = Settings::new().ttl(Duration::from_secs(60)).near("memory://");
    registry().configure("watched", settings).expect("the facade knows its backends also here");

    assert_eq!((square(3), square(3)), (9, 9));
    square_entry(3).invalidate().wait().expect("memory does not fail");
    REGION.invalidate_namespace("squares").wait().expect("memory does not fail");

    let told = diary.0.lock().expect("no panic");
    let told: Vec<_> = told.iter().map(|(what, detail)| (*what, detail.as_deref())).collect();
    assert_eq!(
        told,
        [
            (Count::Miss, Some("absent")),
            (Count::Load, None),
            (Count::Invalidation, None),
            (Count::ScopeInvalidation, None),
        ],
        "everything but near hits, in order"
    );
    assert_eq!(REGION.stats().expect("configured").total.near_hits, 1);
}
