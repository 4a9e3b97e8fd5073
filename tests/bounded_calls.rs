//! How long a call takes at most, whatever becomes of its server. Alone in its program: what other tests do beside it would
//! count.

#![cfg(all(feature = "macros", feature = "memcached", feature = "testkit"))]
#![allow(clippy::expect_used)]

use std::thread;
use std::time::{Duration, Instant};

use cache::testkit::isolated;
use cache::{Region, Registry, Settings, cached, open_known_schemes};
use memcached_server::Server;

static SHARED: Region = Region::named("shared");

const LOAD: Duration = Duration::from_millis(200);

#[cached(SHARED, "slow")]
fn slow(n: u64) -> u64 {
    thread::sleep(LOAD);
    n + 1
}

#[test]
fn a_call_is_never_worse_than_its_load_two_timeouts_and_a_little() {
    let server = Server::start(&[]);
    let url = format!("{}?io_timeout=100ms&connect_timeout=100ms&blacklist=50ms", server.url());
    let bound = LOAD + Duration::from_millis(2 * 100 + 50);
    let timed = |n: u64, what: &str| {
        let began = Instant::now();
        assert_eq!(slow(n), n + 1, "{what}");
        assert!(began.elapsed() < bound, "{what}: {:?}", began.elapsed());
    };
    let registry = Registry::new();
    open_known_schemes(&registry);
    registry.configure("shared", Settings::new().ttl(Duration::from_secs(60)).far(url)).expect("good settings");
    isolated(&registry, || {
        timed(1, "a server that answers");
        server.pause();
        timed(2, "a server that stands still");
        server.resume();
        server.kill();
        timed(3, "a server that is gone");
        server.restart();
        timed(4, "a server that is back, and may be left alone yet");
        thread::sleep(Duration::from_millis(60));
        timed(4, "a server that is back");
        let began = Instant::now();
        assert_eq!(slow(4), 5);
        assert!(began.elapsed() < LOAD, "it is kept again");
        // Garbage where the record was.
        let keys = server.say("lru_crawler metadump all\r\n");
        let key = keys.lines().find_map(|line| {
            let key = line.strip_prefix("key=")?.split(' ').next()?.replace("%3A", ":");
            key.contains("slow:").then_some(key)
        });
        let key = key.expect("the record is there");
        assert!(server.say(&format!("set {key} 0 0 9\r\nno record\r\n")).starts_with("STORED"));
        timed(4, "a server that holds garbage");
        let troubles = SHARED.stats().expect("it is configured").total.far_errors;
        assert!(troubles >= 2, "trouble is counted: {troubles}");
    });
}
