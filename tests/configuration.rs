//! What is not allowed is refused when a region is configured, with its name, the key, the value and what is allowed.

#![cfg(feature = "memory")]
#![allow(clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use cache::{Error, Kind, OpenContext, Opened, Reached, Registry, Settings, open_known_schemes};

fn registry() -> Registry {
    let registry = Registry::new();
    open_known_schemes(&registry);
    registry
}

fn minute() -> Settings {
    Settings::new().ttl(Duration::from_secs(60))
}

fn refusal(settings: Settings) -> Error {
    let error = registry().configure("users", settings).expect_err("it is not allowed");
    assert_eq!(error.kind(), Kind::Config, "{error}");
    assert!(error.context().any(|fact| fact == ("region", "users")), "{error}");
    error
}

#[test]
fn what_is_not_allowed_names_region_key_and_value_and_says_what_is() {
    for (settings, key, value, allowed) in [
        (minute().near("memory://?capacity=0"), "capacity", "0", "64MiB"),
        (minute().near("memory://?entries=0"), "entries", "0", "above 0"),
        (minute().near("memory://?capacity=many"), "capacity", "many", "64MiB"),
        (minute().near("memory://?size=1MiB"), "size", "1MiB", "capacity"),
        (minute().near("redis://localhost"), "near", "redis://localhost", "memory://"),
        (minute().near("memory"), "url", "memory", "scheme://"),
        (minute().near("memory://here"), "place", "here", "empty"),
        (minute().far("memory://"), "far", "memory://", "near backend"),
        (minute().near("memory://").ttl(Duration::ZERO), "ttl", "0s", "above 0"),
        (Settings::new().near("memory://"), "ttl", "none", "never"),
        (minute(), "near", "none", "`near`, `far` or both"),
    ] {
        let error = refusal(settings);
        let text = error.to_string();
        let named = [format!("key: {key}, value: {value}"), format!("{key}: {value}")];
        assert!(named.iter().any(|named| text.contains(named)), "{key} and {value}: {text}");
        assert!(text.contains(allowed), "{allowed}: {text}");
    }
}

#[test]
fn to_say_the_same_twice_is_to_say_it_once_and_other_settings_are_refused() {
    let registry = registry();
    assert!(registry.configure("users", minute().near("memory://")).is_ok());
    assert!(registry.configure("users", minute().near("memory://")).is_ok());
    let error = registry.configure("users", minute().near("memory://").jitter(0.5)).expect_err("other settings");
    let text = error.to_string();
    assert!(text.contains("`jitter` was not set, is now 0.5") && text.contains("region: users"), "{text}");
}

#[test]
fn a_third_party_adds_a_scheme_and_an_unknown_one_is_told_what_is_known() {
    let registry = registry();
    let open = |url: &cache::BackendUrl, context: &OpenContext| -> cache::Result<Opened> {
        assert_eq!((url.place(), context.region.as_str()), ("somewhere", "users"));
        let near = cache::memory::MemoryBackend::builder().entries(10).build()?;
        Ok(Opened::Near(Arc::new(near)))
    };
    assert!(registry.register_scheme("mine", open).is_ok());
    assert!(registry.register_scheme("mine", open).is_err(), "one opener for one scheme");
    assert!(registry.configure("users", minute().near("mine://somewhere")).is_ok());
    let region = registry.region("users");
    assert_eq!(region.get_or_create_value("ns", 1, || 7), 7);
    assert_eq!(region.get_or_create_value("ns", 1, || 8), 7);
    let text = registry.configure("other", minute().near("theirs://")).expect_err("unknown").to_string();
    assert!(text.contains("memory://, mine://"), "{text}");
}

#[test]
fn a_region_that_nobody_configured_lets_calls_through_and_is_not_remembered_as_such() {
    let registry = registry();
    let region = registry.region("late");
    assert_eq!((region.get_or_create_value("ns", 1, || 1), region.get_or_create_value("ns", 1, || 2)), (1, 2));
    assert_eq!(region.invalidate("ns", 1).wait().map_err(|error| error.kind()), Err(Kind::Unconfigured));
    assert!(region.stats().is_none());
    assert!(registry.configure("late", minute().near("memory://")).is_ok());
    assert_eq!((region.get_or_create_value("ns", 1, || 3), region.get_or_create_value("ns", 1, || 4)), (3, 3));
    assert_eq!(region.invalidate("ns", 1).wait().ok(), Some(Reached::ThisProcess));
}

#[test]
fn a_region_that_is_off_lets_calls_through_and_has_nothing_to_invalidate() {
    let registry = registry();
    assert!(registry.configure("off", Settings::off()).is_ok());
    let region = registry.region("off");
    assert_eq!((region.get_or_create_value("ns", 1, || 1), region.get_or_create_value("ns", 1, || 2)), (1, 2));
    assert_eq!(region.invalidate("ns", 1).wait().ok(), Some(Reached::Nobody));
    assert!(region.resume().is_ok());
    assert_eq!(region.get_or_create_value("ns", 1, || 3), 3, "it stays off");
}
