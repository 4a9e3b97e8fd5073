//! What is not allowed is refused when a region is configured, with its name, the key, the value and what is allowed.

#![cfg(feature = "memory")]
#![allow(clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache::{
    BackendUrl, Environment, Error, Kind, OpenContext, Opened, Reached, Registry, Settings, open_known_schemes,
};

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
    let open = |url: &BackendUrl, context: &OpenContext| -> cache::Result<Opened> {
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

/// A registry that listens to these variables, and has a far scheme beside `memory://`.
fn listening<const N: usize>(variables: [(&str, &str); N]) -> Registry {
    let registry = Registry::builder().environment(Environment::new(variables)).build();
    open_known_schemes(&registry);
    registry.register_scheme("shared", open_shared).expect("it is not known yet");
    registry
}

/// Opens a far tier, as long as its place is not `nowhere`.
fn open_shared(url: &BackendUrl, _: &OpenContext) -> cache::Result<Opened> {
    if url.place() == "nowhere" {
        return Err(Error::new(Kind::Config, "there is no such place").with("place", url.place()));
    }
    Ok(Opened::Far { blocking: None, tasks: None })
}

fn backends(registry: &Registry, region: &str) -> String {
    registry.backends(region).map_or_else(|| "unconfigured".to_owned(), |urls| urls.join(" "))
}

#[test]
fn the_environment_moves_a_region_that_code_configured() {
    for (value, found) in [
        ("shared://a", "shared://a"),
        ("memory://?entries=5", "memory://?entries=5"),
        ("shared://a memory://", "memory:// shared://a"),
        ("memory:// shared://a", "memory:// shared://a"),
        ("off", ""),
        ("", "memory://"),
    ] {
        let registry = listening([("CACHE_LONG_TERM", value)]);
        for _ in 0..2 {
            registry.configure("long_term", minute().near("memory://")).expect("the same twice is the same once");
        }
        assert_eq!(backends(&registry, "long_term"), found, "{value}");
    }
}

#[test]
fn what_is_compared_is_what_was_merged() {
    let registry = listening([("CACHE_USERS__TTL", "5m"), ("CACHE_GONE", "off")]);
    assert!(registry.configure("users", minute().near("memory://")).is_ok());
    let other_ttl = Settings::new().ttl(Duration::from_secs(7)).near("memory://");
    assert!(registry.configure("users", other_ttl).is_ok(), "the environment has overridden where they differ");
    let error = registry.configure("users", minute().near("memory://?entries=5")).expect_err("other settings");
    assert!(error.to_string().contains("with other settings: `near` was"), "{error}");
    assert_eq!(backends(&registry, "gone"), "", "used before it is configured");
    assert!(registry.configure("gone", minute().near("memory://")).is_ok(), "it is off, whatever else is said");
}

#[test]
fn the_environment_alone_configures_a_region_if_it_says_enough() {
    let registry = listening([
        ("CACHE_ENOUGH", "memory://"),
        ("CACHE_ENOUGH__TTL", "1m"),
        ("CACHE_LITTLE", "memory://"),
        ("CACHE_WRONG", "memory"),
        ("CACHE_NOBODYS__TTL", "1m"),
        ("CACHE_DIR", "/var/cache"),
    ]);
    let (enough, little, wrong) = (registry.region("enough"), registry.region("little"), registry.region("wrong"));
    assert_eq!((enough.get_or_create_value("ns", 1, || 1), enough.get_or_create_value("ns", 1, || 2)), (1, 1));
    for (region, why) in [(little, "needs a `ttl`"), (wrong, "one or two URLs")] {
        let error = region.invalidate("ns", 1).wait().expect_err("it is not configured");
        let source = std::error::Error::source(&error).map(|source| source.to_string()).unwrap_or_default();
        assert!(error.kind() == Kind::Unconfigured && source.contains(why), "{error:?}");
        assert_eq!((region.get_or_create_value("ns", 1, || 1), region.get_or_create_value("ns", 1, || 2)), (1, 2));
    }
    assert_eq!(backends(&registry, "dir"), "unconfigured");
    assert_eq!(registry.unclaimed_variables(), ["CACHE_LITTLE", "CACHE_NOBODYS__TTL"]);
    let error = registry.configure("dir", minute().near("memory://")).expect_err("it is no URL");
    assert!(error.to_string().contains("variable: CACHE_DIR"), "{error}");
}

#[test]
fn what_the_environment_says_in_vain_is_tried_once() {
    let opened = Arc::new(AtomicUsize::new(0));
    let registry = listening([("CACHE_LITTLE", "counted://"), ("CACHE_LATE", "late://"), ("CACHE_LATE__TTL", "1m")]);
    let count = opened.clone();
    let open = move |url: &BackendUrl, context: &OpenContext| {
        count.fetch_add(1, Ordering::Relaxed);
        open_shared(url, context)
    };
    registry.register_scheme("counted", open).expect("it is not known yet");
    let (little, late) = (registry.region("little"), registry.region("late"));
    for number in 0..3 {
        assert_eq!(little.get_or_create_value("ns", 1, || number), number, "it has no `ttl`");
        assert_eq!(late.get_or_create_value("ns", 1, || number), number, "nobody can open it");
    }
    assert_eq!(opened.load(Ordering::Relaxed), 1, "once for all calls");
    let open = |_: &BackendUrl, _: &OpenContext| -> cache::Result<Opened> {
        Ok(Opened::Near(Arc::new(cache::memory::MemoryBackend::builder().build()?)))
    };
    registry.register_scheme("late", open).expect("it is not known yet");
    assert_eq!((late.get_or_create_value("ns", 1, || 5), late.get_or_create_value("ns", 1, || 6)), (5, 5));
}

#[test]
fn trouble_from_the_environment_names_the_variable() {
    for (variables, told) in [
        (
            [("CACHE_USERS", "shared://nowhere"), ("CACHE_USERS__LEASE", "9s")],
            "configuration: there is no such place (place: nowhere, key: backends, value: shared://nowhere, region: users, \
             variable: CACHE_USERS)",
        ),
        (
            [("CACHE_USERS", "shared://a"), ("CACHE_USERS__LEASE", "1s")],
            "configuration: `lease` must be at least 2s: memcached counts whole seconds (key: lease, value: 1s, region: \
             users, variable: CACHE_USERS__LEASE)",
        ),
        (
            [("CACHE_USERS", "shared://a"), ("CACHE_USERS__EPOCH", "1")],
            "configuration: `ttl` must be at least 2s with a far tier: memcached counts whole seconds (key: ttl, value: \
             1s, region: users, environment: CACHE_USERS, CACHE_USERS__EPOCH)",
        ),
        (
            [("CACHE_USERS", "shared://a shared://b"), ("CACHE_USERS__EPOCH", "1")],
            "configuration: two far backends: a region has at most one near and one far (key: far, value: shared://b, \
             region: users, variable: CACHE_USERS)",
        ),
    ] {
        let settings = Settings::new().ttl(Duration::from_secs(1)).near("memory://");
        let error = listening(variables).configure("users", settings).expect_err(told);
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Config, told));
    }
}

#[test]
fn the_environment_is_taken_once_and_not_too_late() {
    let off = || Environment::new([("CACHE_USERS", "off")]);
    let registry = registry();
    registry.configure("users", minute().near("memory://")).expect("nothing listens to a variable");
    assert!(registry.take_environment(off()).is_err(), "too late for `users`");
    let registry = listening([]);
    assert!(registry.take_environment(off()).is_err(), "it has one");
}

#[cfg(feature = "toml")]
mod files {
    use super::*;
    use cache::Configuration;

    fn refusal(registry: &Registry, text: &str) -> String {
        let configuration = Configuration::new().toml("cache.toml", text).expect("each setting is allowed alone");
        let error = registry.configure_all(&configuration).expect_err(text);
        assert_eq!(error.kind(), Kind::Config);
        error.to_string()
    }

    #[test]
    fn code_is_under_files_and_files_are_under_the_environment() {
        let text = "[regions.users]\nttl = \"1h\"\njitter = 0.5\n[regions.prices]\nttl = \"30s\"\nnear = \"memory://\"";
        let configuration = Configuration::new()
            .toml("cache.toml", text)
            .expect("it is good")
            .region("users", minute().near("memory://").epoch(3));
        let registry = listening([("CACHE_USERS__JITTER", "0"), ("CACHE_PRICES", "shared://a")]);
        registry.configure_all(&configuration).expect("all is complete");
        let merged = Settings::new().ttl(Duration::from_secs(3600)).jitter(0.0).near("memory://").epoch(3);
        assert!(registry.configure("users", merged).is_ok(), "this is what it came to");
        assert_eq!(backends(&registry, "prices"), "shared://a");
        assert!(registry.configure_all(&configuration).is_ok(), "the same twice");
        assert!(registry.unclaimed_variables().is_empty());
    }

    #[test]
    fn trouble_with_merged_settings_names_the_file_and_the_line() {
        let registry = listening([]);
        let known: Vec<String> = registry.schemes().iter().map(|scheme| format!("{scheme}://")).collect();
        let known = known.join(", ");
        assert_eq!(
            refusal(&registry, "[regions.users]\nttl = \"1m\"\n\nnear = \"redis://a\""),
            format!(
                "configuration: there is no backend `redis://`; known are {known} (key: near, value: redis://a, \
                 region: users, file: cache.toml:4)"
            )
        );
        assert_eq!(
            refusal(&registry, "\n[regions.users]\nnear = \"memory://\""),
            "configuration: a region needs a `ttl`: a duration above 0, or `never` (key: ttl, value: none, region: users, \
             file: cache.toml:2)"
        );
        let capacity = refusal(&registry, "[regions.users]\nttl = \"1m\"\nnear = \"memory://?capacity=0\"");
        assert!(capacity.contains("key: capacity") && capacity.ends_with("file: cache.toml:3)"), "{capacity}");
        let no_url = refusal(&registry, "[regions.users]\nttl = \"1m\"\nnear = \"memory\"");
        assert!(no_url.contains("`://`") && no_url.ends_with("file: cache.toml:3)"), "{no_url}");
        let overridden = listening([("CACHE_USERS__JITTER", "7%"), ("CACHE_USERS__TTL", "0s")]);
        let text = refusal(&overridden, "[regions.users]\nttl = \"1m\"\nnear = \"memory://\"");
        assert!(text.ends_with("region: users, variable: CACHE_USERS__TTL)"), "not the file, which is good: {text}");
    }

    #[test]
    fn a_setting_says_the_same_by_method_in_a_file_and_in_the_environment() {
        // The same region, said in three ways, of which each has to agree with the one before.
        let methods = Settings::new()
            .ttl(Duration::from_secs(600))
            .near("memory://?capacity=1MiB")
            .stale_while_revalidate(Duration::from_secs(30))
            .stale_if_error(Duration::from_secs(300))
            .throttle(Duration::from_millis(500))
            .jitter(0.05)
            .patience(Duration::from_secs(5))
            .lease(Duration::from_millis(2500))
            .prefix("staging:")
            .epoch(7)
            .keys(cache::ReadableKeys)
            .compress(cache::Compression::None)
            .max_value(1 << 20);
        let said = [
            ("ttl", "10m"),
            ("near", "memory://?capacity=1MiB"),
            ("stale_while_revalidate", "30s"),
            ("stale_if_error", "5m"),
            ("throttle", "500ms"),
            ("jitter", "5%"),
            ("patience", "5s"),
            ("lease", "2s 500ms"),
            ("prefix", "staging:"),
            ("epoch", "7"),
            ("keys", "readable"),
            ("compress", "none"),
            ("max_value", "1MiB"),
        ];
        let lines = said.map(|(key, value)| format!("{key} = \"{value}\"\n")).concat();
        let file = Configuration::new().toml("cache.toml", &format!("[regions.users]\n{lines}")).expect("it is good");
        let registry = Registry::builder().environment(Environment::new(
            said.map(|(key, value)| (format!("CACHE_BY_ENVIRONMENT__{}", key.to_uppercase()), value)),
        ));
        let registry = registry.build();
        open_known_schemes(&registry);
        registry.configure("users", methods.clone()).expect("it is good");
        registry.configure_all(&file).expect("the same in a file");
        registry.configure("by_environment", Settings::new()).expect("the same in the environment");
        registry.configure("by_environment", methods).expect("and it is the same");
    }

    #[test]
    fn a_file_is_read_from_its_path() {
        let path = std::env::temp_dir().join(format!("cache-configuration-{}.toml", std::process::id()));
        std::fs::write(&path, "[regions.users]\nttl = \"1m\"\nnear = \"memory://\"\n").expect("a place to write");
        let registry = listening([]);
        let configured = registry.configure_from_file(&path);
        std::fs::write(&path, "[regions.users]\nttl = 5\n").expect("a place to write");
        let error = registry.configure_from_file(&path).expect_err("no unit");
        std::fs::remove_file(&path).expect("it was written");
        assert!(configured.is_ok() && backends(&registry, "users") == "memory://");
        assert!(error.to_string().contains(&format!("file: {}:2", path.display())), "{error}");
    }

    #[test]
    fn the_examples_in_the_documents_are_good() {
        for text in [include_str!("../README.md"), include_str!("../docs/configuration.md")] {
            let registry = listening([]);
            // Refused where this build has the scheme.
            let _ = registry.register_scheme("memcached", open_shared);
            let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
            let examples: Vec<&str> = blocks.filter(|block| block.contains("[regions.")).collect();
            assert_eq!(examples.len(), 1);
            // Only a build with zstd takes it.
            let told = |line: &&str| cfg!(feature = "zstd") || !line.starts_with("compress");
            let example: Vec<&str> = examples[0].lines().filter(told).collect();
            let configuration = Configuration::new().toml("example", &example.join("\n")).expect("it is good");
            registry.configure_all(&configuration).expect("all is complete");
            let long_term = backends(&registry, "long_term");
            assert!(long_term.starts_with("memory://?capacity=256MiB"), "{long_term}");
        }
    }
}

#[test]
fn the_documents_name_every_setting() {
    let error = Settings::new().set("?", "").expect_err("it is not known");
    let (_, known) = error.message().split_once("known are ").expect("it says what is");
    let (page, readme) = (include_str!("../docs/configuration.md"), include_str!("../README.md"));
    for name in known.split(", ") {
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name} has no line in docs/configuration.md");
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in README.md");
    }
    assert_eq!(page.matches("\n| `").count() - page.matches("\n| `CACHE_").count(), known.split(", ").count());
}
