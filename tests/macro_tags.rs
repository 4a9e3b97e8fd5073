//! Tags from the arguments of functions and methods, and writers that invalidate them.

#![cfg(all(feature = "macros", feature = "memory", feature = "testkit"))]
#![deny(warnings)]
#![allow(clippy::expect_used)]

use std::cell::Cell;
use std::time::Duration;

use cache::testkit::{isolated, isolated_async};
use cache::{Region, Registry, Settings, cached, invalidates};

static REGION: Region = Region::named("tags");

thread_local! {
    static LOADS: Cell<u64> = const { Cell::new(0) };
}

fn load() -> u64 {
    LOADS.set(LOADS.get() + 1);
    LOADS.get()
}

fn registry() -> Registry {
    let registry = Registry::for_tests();
    registry.configure("tags", Settings::new().ttl(Duration::from_secs(60)).near("memory://")).expect("good settings");
    registry
}

/// Whether `ask` loads anew after `tag` was invalidated; that it does not before is asserted.
fn ends(tag: &str, ask: impl Fn() -> u64) -> bool {
    let before = ask();
    assert_eq!(ask(), before);
    REGION.invalidate_tag(tag).wait().expect("done");
    ask() != before
}

#[cached(REGION, "members", tags = ["team:{team}", "teams"])]
fn members(team: u64, page: u32) -> u64 {
    let _ = (team, page);
    load()
}

#[cached(REGION, "names", tags = [format_args!("team:{}", team.id), names.len()], key(team.id, names.len()))]
fn names(team: &Team, names: Vec<String>) -> u64 {
    let _ = (team.shop, names);
    load()
}

#[cached(REGION, "pairs", tags = ["team:{left}"])]
fn pairs((left, mut right): (u64, u64), page: u8) -> u64 {
    right += left + u64::from(page);
    let _ = right;
    load()
}

struct Team {
    id: u64,
    shop: &'static str,
}

impl Team {
    #[cached(REGION, "size", key(self.id, of), tags = [format!("team:{}", self.id), "of:{of}"])]
    fn size(&self, of: &str) -> u64 {
        let _ = (self.shop, of);
        load()
    }

    #[cached(REGION, "within", key(self.id), tags = [format!("team:{}", self.id)], companions = false)]
    async fn within(&self, sized: &str) -> u64 {
        let _ = sized;
        load()
    }

    #[invalidates(REGION, tag = "team:{to}", tag = format!("team:{}", self.id))]
    fn merge(&self, to: u64, _how: String) -> u64 {
        to
    }
}

#[cached(REGION, "later", tags = ["team:{team}"])]
async fn later(team: u64) -> u64 {
    let _ = team;
    load()
}

#[test]
fn tags_are_rendered_from_the_arguments() {
    isolated(&registry(), || {
        for (tag, expected) in [("team:1", true), ("teams", true), ("team:2", false), ("team:", false), ("", false)] {
            assert_eq!(ends(tag, || members(1, 0)), expected, "{tag}");
        }
        let team = Team { id: 1, shop: "here" };
        for (tag, expected) in [("team:1", true), ("1", true), ("2", false)] {
            assert_eq!(ends(tag, || names(&team, vec!["a".to_owned()])), expected, "{tag}");
        }
        assert!(ends("team:4", || pairs((4, 5), 0)) && !ends("team:5", || pairs((4, 5), 0)));
        for (tag, expected) in [("team:1", true), ("of:all", true), ("of:some", false)] {
            assert_eq!(ends(tag, || team.size("all")), expected, "{tag}");
        }
    });
}

#[tokio::test]
async fn async_functions_have_tags_too() {
    let test = async {
        let team = Team { id: 3, shop: "there" };
        let before = (later(3).await, team.within("a").await);
        assert_eq!((later(3).await, team.within("b").await), before);
        REGION.invalidate_tag("team:3").await.expect("done");
        let after = (later(3).await, team.within("a").await);
        assert!(after.0 != before.0 && after.1 != before.1);
    };
    isolated_async(&registry(), test).await;
}

#[test]
fn an_entry_and_a_refresh_know_the_tags_of_the_function() {
    isolated(&registry(), || {
        members_entry(7, 0).set(1000).wait().expect("done");
        assert_eq!(members(7, 0), 1000);
        REGION.invalidate_tag("team:7").wait().expect("done");
        assert_ne!(members(7, 0), 1000);
        let refreshed = members_refresh(7, 0);
        assert_eq!(members(7, 0), refreshed);
        assert!(ends("teams", || members(7, 0)));
    });
}

#[test]
fn a_writer_invalidates_tags() {
    isolated(&registry(), || {
        let team = Team { id: 1, shop: "here" };
        let all = || (members(1, 0), members(2, 0), members(3, 0));
        let before = all();
        assert_eq!(team.merge(2, "slowly".to_owned()), 2);
        let after = all();
        assert!(after.0 != before.0 && after.1 != before.1 && after.2 == before.2);
    });
}
