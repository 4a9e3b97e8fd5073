//! The attribute over real memcached servers: what processes share, who loads, what an invalidation reaches, and what
//! becomes of a call when the server does not do its part.

#![cfg(all(feature = "macros", feature = "memcached", feature = "memory", feature = "testkit", feature = "tokio"))]
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cache::clock::{Clock, ManualClock};
use cache::testkit::isolated;
use cache::{Kind, Region, Registry, Settings, cached, open_known_schemes, registry};
use memcached_server::Server;

static SHARED: Region = Region::named("shared");

static LOADS: AtomicUsize = AtomicUsize::new(0);

#[cached(SHARED, "slow")]
fn slow(n: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::Relaxed);
    thread::sleep(Duration::from_millis(200));
    n + 1
}

#[cached(SHARED, "quick")]
fn quick(n: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::Relaxed);
    n + 1
}

/// So many bytes: all alike, or noise that no compression makes smaller.
#[cached(SHARED, "bytes")]
fn bytes(length: usize, noise: bool) -> Vec<u8> {
    LOADS.fetch_add(1, Ordering::Relaxed);
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| if noise { next() } else { 7 }).collect()
}

#[cached(SHARED, "awaited")]
async fn awaited(name: &str, n: u64) -> String {
    LOADS.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(10)).await;
    format!("{name} {n}")
}

#[cached(SHARED, "version")]
fn version(source: &Source) -> u64 {
    source.number("version")
}

/// Where this test and the processes that it starts agree about what is true: plain items in a server of its own.
#[derive(serde::Serialize)]
struct Source {
    port: u16,
}

impl Source {
    fn ask(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the source is there");
        stream.write_all(line.as_bytes()).expect("the source listens");
        let mut reply = [0; 256];
        let count = stream.read(&mut reply).expect("the source answers");
        String::from_utf8_lossy(&reply[..count]).into_owned()
    }

    fn number(&self, name: &str) -> u64 {
        let reply = self.ask(&format!("get {name}\r\n"));
        reply.lines().nth(1).and_then(|number| number.trim().parse().ok()).expect("a number")
    }

    fn set(&self, name: &str, number: u64) {
        let text = number.to_string();
        assert_eq!(self.ask(&format!("set {name} 0 0 {}\r\n{text}\r\n", text.len())), "STORED\r\n");
    }

    fn next(&self, name: &str) -> u64 {
        self.ask(&format!("incr {name} 1\r\n")).trim().parse().expect("a number")
    }
}

/// What a process that this test starts has to do; in the environment, beside its region.
const PART: &str = "TEST_PART";

/// Another process of this test, which plays this part with its region on this server.
fn process(server: &Server, part: &str) -> Child {
    let this = std::env::current_exe().expect("a test has a path");
    let mut child = Command::new(this);
    // The one that looks whether it is such a process.
    child.args(["--exact", "processes_run_one_load_start_with_hits_and_see_each_others_invalidations", "--nocapture"]);
    child.env(PART, part).env("CACHE_SHARED", server.url()).env("CACHE_SHARED__TTL", "1h");
    child.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("a test can be run")
}

/// How many loads these processes ran, all together.
fn loads(processes: impl IntoIterator<Item = Child>) -> usize {
    let of_one = |process: Child| {
        let output = process.wait_with_output().expect("a process ends");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        let number = said.lines().find_map(|line| line.split_once("loads=")?.1.trim().parse::<usize>().ok());
        number.unwrap_or_else(|| panic!("no loads are told: {said}"))
    };
    processes.into_iter().map(of_one).sum()
}

/// What a process that a test started does.
fn play(part: &str) {
    let registry = registry();
    match part.split(' ').collect::<Vec<_>>()[..] {
        ["slow"] => assert_eq!(slow(1), 2),
        ["invalidate"] => drop(slow_entry(1).invalidate().wait().expect("the server is there")),
        ["walk", step] => walk(step.parse().expect("a step")),
        ["race", port, name] => race(&Source { port: port.parse().expect("a port") }, name),
        ref other => panic!("there is no part {other:?}"),
    }
    assert!(registry.backends("shared").is_some_and(|backends| backends[0].starts_with("memcached://")));
    println!("\nloads={}", LOADS.load(Ordering::Relaxed));
}

#[test]
fn processes_run_one_load_start_with_hits_and_see_each_others_invalidations() {
    if let Ok(part) = std::env::var(PART) {
        return play(&part);
    }
    let server = Server::start(&[]);
    let wave = |count: usize| loads((0..count).map(|_| process(&server, "slow")).collect::<Vec<_>>());
    assert_eq!(wave(4), 1, "of four processes on a cold key");
    assert_eq!(wave(1), 0, "a process that starts later");
    assert_eq!(loads([process(&server, "invalidate")]), 0);
    assert_eq!(wave(4), 1, "after an invalidation in another process");
}

const KEYS: u64 = 20_000;
const THREADS: u64 = 8;

/// Eight threads, each over all keys in an order of its own.
fn walk(offset: u64) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                // Steps that share no factor with 20,000 reach every key.
                let step = [1, 3, 7, 9, 11, 13, 17, 19][thread as usize];
                for n in 0..KEYS {
                    let key = (n * step + offset + thread * 2_500) % KEYS;
                    assert_eq!(quick(key), key + 1);
                }
            });
        }
    });
}

#[test]
fn threads_of_two_processes_run_each_load_once() {
    let server = Server::start(&["-m", "256"]);
    let ran = loads([process(&server, "walk 0"), process(&server, "walk 10007")]);
    assert_eq!(ran, KEYS as usize);
}

const RACE: Duration = Duration::from_secs(10);

/// One thread changes the source and invalidates, three read. What was acknowledged before a read began, it must see.
fn race(source: &Source, name: &str) {
    let until = Instant::now() + RACE;
    thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < until {
                let now = source.next("version");
                version_entry(source).invalidate().wait().expect("the server is there");
                source.set(name, now);
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                while Instant::now() < until {
                    let acknowledged = source.number("one").max(source.number("other"));
                    let seen = version(source);
                    assert!(seen >= acknowledged, "version {seen} was read after {acknowledged} was acknowledged");
                    LOADS.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
}

#[test]
fn no_read_sees_what_was_invalidated_before_it_began() {
    let (server, truth) = (Server::start(&[]), Server::start(&[]));
    let source = Source { port: truth.port() };
    ["version", "one", "other"].into_iter().for_each(|name| source.set(name, 0));
    let part = |name: &str| format!("race {} {name}", truth.port());
    let reads = loads([process(&server, &part("one")), process(&server, &part("other"))]);
    assert!(reads > 1000 && source.number("version") > 500, "{reads} reads of {} versions", source.number("version"));
}

/// A registry of its own, whose one region is kept at `far`.
fn within<T>(far: &str, test: impl FnOnce() -> T) -> T {
    let registry = Registry::new();
    open_known_schemes(&registry);
    let settings = Settings::new().ttl(Duration::from_secs(60)).far(far);
    registry.configure("shared", settings).expect("good settings");
    isolated(&registry, test)
}

#[test]
fn a_large_value_is_compressed_and_one_above_the_limit_is_kept_in_parts() {
    let server = Server::start(&[]);
    within(&server.url(), || {
        let counts = || SHARED.stats().expect("it is configured").total;
        assert_eq!(bytes(3 << 20, false), bytes(3 << 20, false));
        assert_eq!((counts().stored, counts().far_hits, counts().too_large), (1, 1, 0));
        assert_eq!(bytes(3 << 20, true), bytes(3 << 20, true));
        assert_eq!((counts().stored, counts().far_hits, counts().too_large), (2, 2, 0));
        let sent = server.say("stats\r\n");
        // Two generations, one value, a manifest and seven parts of half a megabyte each.
        assert!(sent.contains("STAT curr_items 11\r\n") && sent.contains("STAT store_too_large 0\r\n"), "{sent}");
    });
}

#[test]
fn an_invalidation_that_did_not_reach_its_node_is_told_and_goes_out_by_itself() {
    let server = Server::start(&[]);
    within(&format!("{}?io_timeout=100ms&blacklist=50ms", server.url()), || {
        assert_eq!(quick(1), 2);
        server.pause();
        let error = quick_entry(1).invalidate().wait().expect_err("nobody answers");
        assert_eq!(error.kind(), Kind::Pending);
        let error = SHARED.flush_pending().within(Duration::from_millis(50)).wait().expect_err("nobody answers yet");
        assert!(error.kind() == Kind::Pending && error.to_string().contains("repeated: 1"), "{error}");
        server.resume();
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio.block_on(SHARED.flush_pending()).expect("it is done now");
        SHARED.flush_pending().wait().expect("and stays done");
        let keys = server.keys();
        assert!(!keys.iter().any(|key| key.contains(":quick:") && !key.contains("%40")), "{keys:?}");
        assert_eq!((quick(1), SHARED.stats().expect("it is configured").total.loads), (2, 2));
    });
}

#[test]
fn a_full_server_keeps_nothing_more_and_every_call_has_its_own_result() {
    // `-M`: nothing is evicted for what is new.
    let server = Server::start(&["-M", "-m", "2"]);
    within(&server.url(), || {
        for n in 0..8 {
            let length = (900 << 10) + n;
            assert_eq!(bytes(length, true).len(), length);
        }
        let counts = SHARED.stats().expect("it is configured").total;
        assert_eq!(counts.loads, 8);
        assert!(counts.stored >= 1 && counts.far_errors >= 1, "some fit, the others are counted: {counts:?}");
    });
}

#[cfg(unix)]
#[test]
fn a_server_on_a_unix_socket_serves_both_faces() {
    let server = Server::start_on_socket();
    within(&server.url(), || {
        assert_eq!((quick(1), quick(1)), (2, 2));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for _ in 0..2 {
            assert_eq!(tokio.block_on(awaited("bob", 1)), "bob 1");
        }
        let counts = SHARED.stats().expect("it is configured").total;
        assert_eq!((counts.loads, counts.far_hits, counts.far_errors), (2, 2, 0));
    });
}

/// Names and arguments that would be commands, ends of lines or other keys if they were sent as they are.
#[test]
fn no_name_or_argument_injects_a_command_or_meets_another() {
    let server = Server::start(&[]);
    let long = "x".repeat(10_000);
    let hostile = [
        "a b",
        "a\r\nflush_all\r\n",
        "a\nmn",
        "a\0b",
        "a",
        "a:b",
        "a:",
        ":a",
        "a%20b",
        "\u{1f980}\u{fe0f}",
        "",
        " ",
        "\t",
        &long,
        "@region",
        "@namespace:a",
    ];
    within(&server.url(), || {
        let each = || hostile.iter().flat_map(|ns| hostile.iter().map(move |key| (*ns, *key)));
        let value = |ns: &str, key: &str| format!("{} {ns:?} {key:?}", ns.len());
        for (ns, key) in each() {
            assert_eq!(SHARED.get_or_create_value(ns, key, || value(ns, key)), value(ns, key));
        }
        for (ns, key) in each() {
            assert_eq!(SHARED.get(ns, key).wait().expect("it is there"), Some(value(ns, key)), "{ns:?} {key:?}");
        }
        for (ns, key) in each() {
            SHARED.set(ns, key, format!("set {}", value(ns, key))).wait().expect("it is taken");
        }
        for (ns, key) in each().step_by(2) {
            SHARED.invalidate(ns, key).wait().expect("it is done");
        }
        for (n, (ns, key)) in each().enumerate() {
            let expected = (n % 2 == 1).then(|| format!("set {}", value(ns, key)));
            assert_eq!(SHARED.get(ns, key).wait().expect("an answer"), expected, "{ns:?} {key:?}");
        }
        SHARED.invalidate_namespace(hostile[0]).wait().expect("it is done");
        for (n, (ns, key)) in each().enumerate() {
            let found: Option<String> = SHARED.get(ns, key).wait().expect("an answer");
            assert_eq!(found.is_some(), n % 2 == 1 && ns != hostile[0], "{ns:?} {key:?}");
        }
        assert_eq!(SHARED.stats().expect("it is configured").total.far_errors, 0);
    });
    let stats = server.say("stats\r\n");
    assert!(stats.contains("STAT cmd_flush 0\r\n") && stats.contains("STAT total_connections "), "{stats}");
}

#[test]
fn a_near_copy_that_is_due_is_asked_about_without_its_value() {
    let server = Server::start(&[]);
    let clock = ManualClock::new();
    let registry = Registry::builder().clock(Clock::Manual(clock.clone())).build();
    open_known_schemes(&registry);
    let settings = Settings::new().ttl(Duration::from_secs(60)).near("memory://").far(server.url());
    registry.configure("shared", settings).expect("good settings");
    isolated(&registry, || {
        let hits = || {
            let counts = SHARED.stats().expect("it is configured").total;
            (counts.near_hits, counts.validated, counts.loads)
        };
        assert_eq!((quick(1), quick(1), hits()), (2, 2, (1, 0, 1)));
        clock.advance(Duration::from_millis(900));
        assert_eq!((quick(1), hits()), (2, (2, 0, 1)), "within `max_staleness`, which is a second");
        clock.advance(Duration::from_millis(200));
        assert_eq!((quick(1), hits()), (2, (2, 1, 1)), "beyond it");
        assert_eq!((quick(1), hits()), (2, (3, 1, 1)), "and near again");
        assert_eq!(SHARED.stats().expect("it is configured").total.far_hits, 0, "no value was moved");
        // Somebody else invalidates: what stands there is not what the copy is of.
        let elsewhere = Registry::new();
        open_known_schemes(&elsewhere);
        let settings = Settings::new().ttl(Duration::from_secs(60)).far(server.url());
        elsewhere.configure("shared", settings).expect("good settings");
        elsewhere.region("shared").invalidate_namespace("quick").wait().expect("the server is there");
        clock.advance(Duration::from_millis(1100));
        assert_eq!((quick(1), hits()), (2, (3, 1, 2)), "loaded anew");
    });
}

#[test]
fn one_region_serves_the_tasks_of_many_runtimes() {
    let server = Server::start(&[]);
    let registry = Registry::new();
    open_known_schemes(&registry);
    let settings = Settings::new().ttl(Duration::from_secs(60)).far(server.url());
    registry.configure("shared", settings).expect("good settings");
    thread::scope(|scope| {
        for runtime in 0..16 {
            let registry = &registry;
            scope.spawn(move || {
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                tokio.block_on(cache::testkit::isolated_async(registry, async {
                    for n in 0..20 {
                        assert_eq!(awaited("bob", n).await, format!("bob {n}"), "runtime {runtime}");
                    }
                }));
            });
        }
    });
    let stats = isolated(&registry, || SHARED.stats()).expect("it is configured").total;
    assert_eq!((stats.loads, stats.far_errors), (20, 0), "{stats:?}");
}

/// A thousand tasks on a cold key over a real server: one load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_tasks_runs_one_load() {
    let server = Server::start(&[]);
    let registry = Registry::new();
    open_known_schemes(&registry);
    let settings = Settings::new().ttl(Duration::from_secs(60)).far(server.url()).near("memory://");
    registry.configure("shared", settings).expect("good settings");
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move { cache::testkit::isolated_async(&registry, awaited("storm", 7)).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.expect("no task panics"), "storm 7");
    }
    let stats = isolated(&registry, || SHARED.stats()).expect("it is configured").total;
    assert_eq!((stats.loads, stats.far_errors), (1, 0), "{stats:?}");
}
