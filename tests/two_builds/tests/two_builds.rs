//! Two builds of one program at once, on one memcached: nothing is misread, an invalidation by either reaches both, and
//! with `version` raised the new one is cached at once.
//!
//! What the programs do stands in `src/old.rs` and `src/new.rs`. The last word of each call is what its load would find: an
//! answer with an earlier one was kept.

#![allow(clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use memcached_server::Server;

const OLD: &str = env!("CARGO_BIN_EXE_shop-old");
const NEW: &str = env!("CARGO_BIN_EXE_shop-new");

/// The far tier alone with a codec that knows fields by their position and one that knows names; and near copies before it,
/// which are shown to hold at each call.
const REGIONS: [&[&str]; 3] =
    [&["codec=bincode"], &["codec=json"], &["codec=bincode", "near=memory://", "max_staleness=0s"]];

/// A process of one of the builds.
struct Shop {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Shop {
    fn start(program: &str, server: &Server, region: &[&str]) -> Self {
        let mut command = Command::new(program);
        // A busy machine must not look like a node that fails.
        let far = format!("far={}?io_timeout=20s&pool_timeout=20s&connect_timeout=20s", server.url());
        command.arg(far).args(region).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program is built with its tests");
        let answers = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Shop { child, answers }
    }

    fn tell(&mut self, order: &str) -> String {
        writeln!(self.child.stdin.as_mut().expect("it is a pipe"), "{order}").expect("it listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers in text");
        assert!(answer.ends_with('\n'), "the program has ended at `{order}`");
        answer.trim_end().to_owned()
    }

    /// Calls `user(7)`: which load made the answer, in which each field stands where it belongs.
    fn user(&mut self, source: &str) -> String {
        let answer = self.tell(&format!("user 7 {source}"));
        let made_by = answer.rsplit('-').next().expect("there is a last part").to_owned();
        assert_eq!(answer, format!("7 name-{made_by} city-{made_by}"));
        made_by
    }

    /// Calls `price(7)`: the same.
    fn price(&mut self, source: &str) -> String {
        let answer = self.tell(&format!("price 7 {source}"));
        answer.strip_prefix("7 700 ").expect("each field stands where it belongs").to_owned()
    }

    fn call(&mut self, namespace: &str, source: &str) -> String {
        match namespace {
            "user" => self.user(source),
            _ => self.price(source),
        }
    }

    fn count(&mut self, namespace: &str, name: &str) -> u64 {
        self.tell(&format!("count {namespace} {name}")).parse().expect("a number")
    }

    fn warnings(&mut self) -> Vec<String> {
        let told = self.tell("warnings");
        told.split('|').filter(|warning| !warning.is_empty()).map(str::to_owned).collect()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The word that follows `before`.
fn word_after<'a>(text: &'a str, before: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text:?}"));
    rest.split([' ', ',', ';']).next().expect("there is a first part")
}

#[test]
fn without_a_raised_version_neither_misreads_the_other_and_both_types_are_named() {
    for region in REGIONS {
        let server = Server::start(&[]);
        let (mut old, mut new) = (Shop::start(OLD, &server, region), Shop::start(NEW, &server, region));
        assert_eq!(old.user("a"), "a");
        assert_eq!(new.user("b"), "b", "a miss, and no misread");
        assert_eq!(new.user("c"), "b", "it was overwritten");
        assert_eq!(old.user("d"), "d", "and so is that one");
        assert_eq!(new.user("e"), "e");
        for shop in [&mut old, &mut new] {
            assert_eq!((shop.count("user", "far_errors"), shop.count("user", "superseded")), (0, 0));
        }
        let (of_old, of_new) = (old.warnings(), new.warnings());
        let ([of_old], [of_new]) = (&of_old[..], &of_new[..]) else { panic!("{of_old:?} {of_new:?}") };
        for (warning, build) in [(of_old, "shop_old"), (of_new, "shop_new")] {
            assert!(warning.contains(&format!("`{build}::user` keeps `{build}::User`")), "{warning}");
            assert!(warning.contains("raise `version`"), "{warning}");
        }
        let (own, others) = ("of fingerprint ", "a type of fingerprint ");
        assert_eq!(word_after(of_old, own), word_after(of_new, others));
        assert_eq!(word_after(of_new, own), word_after(of_old, others));
    }
}

#[test]
fn with_a_raised_version_the_new_build_is_cached_at_once_and_the_old_one_lets_it_be() {
    for region in REGIONS {
        let server = Server::start(&[]);
        let mut old = Shop::start(OLD, &server, region);
        assert_eq!([old.price("a"), old.price("b")], ["a", "a"]);
        let mut new = Shop::start(NEW, &server, region);
        assert_eq!([new.price("c"), new.price("d")], ["c", "c"], "a lower version is overwritten");
        for source in ["e", "f", "g"] {
            assert_eq!(old.price(source), source, "a higher version is a miss: the old build loads for itself");
            assert_eq!(new.price("h"), "c", "and overwrites nothing: no reload follows");
        }
        assert_eq!((old.count("price", "loads"), old.count("price", "stored")), (4, 1));
        assert_eq!((new.count("price", "loads"), new.count("price", "stored")), (1, 1));
        for shop in [&mut old, &mut new] {
            assert_eq!(shop.count("price", "far_errors"), 0);
            assert_eq!(shop.warnings(), [""; 0], "the version says what has changed");
        }
    }
}

#[test]
fn an_invalidation_by_either_build_reaches_both() {
    for region in REGIONS {
        let server = Server::start(&[]);
        let mut shops = [Shop::start(OLD, &server, region), Shop::start(NEW, &server, region)];
        // Of `user` the version is the same, of `price` it is raised.
        for namespace in ["user", "price"] {
            for order in [format!("invalidate {namespace} 7"), format!("invalidate {namespace}")] {
                for (who_stores, who_invalidates) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    // Nothing stands there: the old build would store nothing over a newer record, even if that is invalid.
                    assert_eq!(shops[1].tell(&format!("invalidate {namespace} 7")), "Everyone");
                    assert_eq!(shops[who_stores].call(namespace, "before"), "before");
                    assert_eq!(shops[who_stores].call(namespace, "later"), "before", "{namespace}: it is kept");
                    assert_eq!(shops[who_invalidates].tell(&order), "Everyone");
                    let case = format!("{order}: {who_stores} stored, {who_invalidates} invalidated");
                    assert_eq!(shops[who_stores].call(namespace, "after"), "after", "{case}");
                    let there = shops[1 - who_stores].call(namespace, "there");
                    assert_eq!(there, "there", "no build has the other's record, and none its own of before: {case}");
                }
            }
        }
    }
}

#[test]
fn a_deployment_rolls_forth_and_back() {
    for region in REGIONS {
        let server = Server::start(&[]);
        let mut shops = [OLD, OLD, OLD].map(|build| Shop::start(build, &server, region));
        assert_eq!(shops.each_mut().map(|shop| shop.price("a")), ["a", "a", "a"]);
        for at in 0..3 {
            shops[at] = Shop::start(NEW, &server, region);
            for (place, shop) in shops.iter_mut().enumerate() {
                let source = format!("{at}-{place}");
                let expected = if place <= at { "0-0" } else { &source };
                assert_eq!(shop.price(&source), expected, "one load for all of the new build");
            }
        }
        for shop in &mut shops {
            *shop = Shop::start(OLD, &server, region);
            assert_eq!([shop.price("b"), shop.price("c")], ["b", "c"], "the newer record is left alone");
        }
        // An invalid record of a higher version is left alone like a valid one; an invalidated entry leaves none.
        assert_eq!(shops[0].tell("invalidate price"), "Everyone");
        assert_eq!([shops[0].price("f"), shops[1].price("g"), shops[0].price("h")], ["f", "g", "h"]);
        assert_eq!(shops[0].tell("invalidate price 7"), "Everyone");
        assert_eq!(shops.each_mut().map(|shop| shop.price("d")), ["d", "d", "d"]);
        assert_eq!(shops.each_mut().map(|shop| shop.price("e")), ["d", "d", "d"]);
        assert_eq!(shops.each_mut().map(|shop| shop.count("price", "far_errors")), [0; 3]);
    }
}
