//! An observer is told of a node that goes, and of its return.

#![cfg(all(feature = "macros", feature = "memcached", feature = "testkit"))]
#![allow(clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cache::backend::NodeStats;
use cache::testkit::isolated;
use cache::{Event, Observer, Region, Registry, Settings, cached, open_known_schemes};
use memcached_server::Server;

static WATCHED: Region = Region::named("watched_nodes");

#[cached(WATCHED, "squares")]
fn square(number: u64) -> u64 {
    number * number
}

#[derive(Debug, Default)]
struct Diary(Mutex<Vec<NodeStats>>);

impl Observer for Diary {
    fn observe(&self, _: &Event<'_>) {}

    fn observe_node(&self, region: &str, node: &NodeStats) {
        assert_eq!(region, "watched_nodes");
        self.0.lock().expect("no panic").push(node.clone());
    }
}

impl Diary {
    fn last(&self) -> Option<NodeStats> {
        self.0.lock().expect("no panic").last().cloned()
    }

    fn len(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

#[test]
fn a_node_is_told_of_when_it_fails_and_when_it_is_back() {
    let (server, diary) = (Server::start(&[]), Arc::new(Diary::default()));
    let registry = Registry::builder().observer(diary.clone()).build();
    open_known_schemes(&registry);
    let far = format!("{}?blacklist=100ms", server.url());
    registry.configure("watched_nodes", Settings::new().ttl(Duration::from_secs(60)).far(far)).expect("good settings");
    isolated(&registry, || {
        assert_eq!((square(3), square(3)), (9, 9));
        assert_eq!(diary.len(), 0, "all is well");
        server.kill();
        (0..100).for_each(|number| assert_eq!(square(number), number * number));
        let told = diary.last().expect("it is told of");
        assert!(told.set_aside_for.is_some() && told.name.contains(&server.port().to_string()), "{told:?}");
        assert!(told.count("failures") > Some(0) && told.count("connected") > Some(0), "{told:?}");
        assert_eq!(diary.len(), 1, "not for each of a hundred calls");
        server.restart();
        let began = Instant::now();
        while diary.last().is_none_or(|told| told.set_aside_for.is_some()) {
            assert!(began.elapsed() < Duration::from_secs(10), "it is told of its return");
            square(3);
            thread::sleep(Duration::from_millis(20));
        }
        let told = diary.len();
        thread::sleep(Duration::from_millis(1100));
        assert_eq!((square(4), diary.len()), (16, told), "all is well again");
    });
}
