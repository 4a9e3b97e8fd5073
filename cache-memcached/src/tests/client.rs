//! The client for plain values, on real servers: each operation by both faces, and what servers do to it.

use std::thread;
use std::time::{Duration, Instant};

use cache_core::error::{Kind, Result};
use cache_core::testkit::{Fault, Proxy};
use memcached_server::Server;

use super::{IO_TIMEOUT, brisk, config};
use crate::{Client, Config, Expiry, Item, Operation, Stored};

const MINUTE: Duration = Duration::from_secs(60);

fn client(servers: &[Server]) -> Client {
    let ports: Vec<u16> = servers.iter().map(Server::port).collect();
    Client::new(Config { io_timeout: Duration::from_secs(5), ..config(&ports) }).unwrap()
}

/// How an operation is done.
enum Face {
    Waiting,
    #[cfg(feature = "tokio")]
    Awaiting(tokio::runtime::Runtime),
}

impl Face {
    fn run<T>(&self, operation: Operation<'_, T>) -> T {
        match self {
            Face::Waiting => operation.wait(),
            #[cfg(feature = "tokio")]
            Face::Awaiting(runtime) => runtime.block_on(operation),
        }
    }
}

/// Tells the story by each face.
fn by_each_face(story: impl Fn(&Face)) {
    story(&Face::Waiting);
    #[cfg(feature = "tokio")]
    story(&Face::Awaiting(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()));
}

fn value(item: Result<Option<Item>>) -> Option<String> {
    item.unwrap().map(|item| String::from_utf8(item.value).unwrap())
}

#[test]
fn each_operation_does_what_it_says() {
    let servers = [Server::start(&[]), Server::start(&[])];
    let client = client(&servers);
    by_each_face(|face| {
        for key in ["one", "two", "three", "four"] {
            assert!(!face.run(client.delete(key)).unwrap_or_default(), "{key}");
            assert_eq!(value(face.run(client.get(key))), None);
            assert_eq!(face.run(client.replace(key, "r", MINUTE)).unwrap(), Stored::NotStored);
            assert_eq!(face.run(client.append(key, "r")).unwrap(), Stored::NotStored);
            assert_eq!(face.run(client.add(key, "a", MINUTE)).unwrap(), Stored::Stored);
            assert_eq!(face.run(client.add(key, "b", MINUTE)).unwrap(), Stored::NotStored);
            assert_eq!(face.run(client.append(key, "z")).unwrap(), Stored::Stored);
            assert_eq!(face.run(client.prepend(key, "_")).unwrap(), Stored::Stored);
            let item = face.run(client.get(key)).unwrap().unwrap();
            assert_eq!((item.value.as_slice(), item.client_flags), (b"_az".as_slice(), 0));
            let cas = item.cas.unwrap();
            let swap = |cas| face.run(client.compare_and_set(key, "swapped", MINUTE, cas)).unwrap();
            assert_eq!((swap(cas), swap(cas)), (Stored::Stored, Stored::Changed));
            assert!(face.run(client.touch(key, MINUTE)).unwrap());
            assert_eq!(value(face.run(client.get_and_touch(key, Expiry::Never))).as_deref(), Some("swapped"));
            face.run(client.set(key, "9", Expiry::Never).client_flags(7)).unwrap();
            assert_eq!(face.run(client.get(key)).unwrap().unwrap().client_flags, 7);
            assert_eq!(face.run(client.increment(key, 3)).unwrap(), Some(12));
            assert_eq!(face.run(client.decrement(key, 100)).unwrap(), Some(0));
            assert!(face.run(client.delete(key)).unwrap());
            assert!(!face.run(client.touch(key, MINUTE)).unwrap());
            assert_eq!(face.run(client.increment(key, 1)).unwrap(), None);
            face.run(client.set(key, "no number", MINUTE)).unwrap();
            let error = face.run(client.increment(key, 1)).unwrap_err();
            assert!(error.kind() == Kind::Backend && error.to_string().contains("non-numeric"), "{error}");
            assert!(face.run(client.delete(key)).unwrap());
        }
    });
}

#[test]
fn many_are_answered_in_their_order_and_each_by_itself() {
    let servers = [Server::start(&[]), Server::start(&[]), Server::start(&[])];
    let client = client(&servers);
    by_each_face(|face| {
        // Keys of every length, so that lines of many lengths are asked for; every third is missing.
        let keys: Vec<String> = (0..1000).map(|n| format!("k{n}:{}", "x".repeat(n % 240))).collect();
        let values: Vec<String> = (0..1000).map(|n| format!("{n}")).collect();
        let there = |n: &usize| !n.is_multiple_of(3);
        let stored = face.run(
            client
                .set_many(keys.iter().zip(&values).enumerate().filter(|(n, _)| there(n)).map(|(_, pair)| pair), MINUTE),
        );
        assert!(stored.len() == 666 && stored.iter().all(Result::is_ok));
        let mut asked = keys.clone();
        asked.insert(500, "with a blank".to_owned());
        asked.push(keys[1].clone());
        let found = face.run(client.get_many(&asked));
        assert_eq!(found.len(), 1002);
        for (place, (key, found)) in asked.iter().zip(found).enumerate() {
            let Some(n) = keys.iter().position(|known| known == key) else {
                assert_eq!((place, found.unwrap_err().kind()), (500, Kind::Key));
                continue;
            };
            assert_eq!(value(found), there(&n).then(|| n.to_string()), "{key}");
        }
        let deleted = face.run(client.delete_many(&keys));
        assert!(deleted.into_iter().enumerate().all(|(n, deleted)| deleted.unwrap() == there(&n)));
        assert!(face.run(client.get_many(&keys)).into_iter().all(|found| found.unwrap().is_none()));
        assert!(face.run(client.get_many::<String>([])).is_empty());
    });
}

#[test]
fn a_hundred_thousand_are_asked_for_at_once_and_those_of_a_node_that_is_gone_are_errors() {
    let servers = [0; 3].map(|_| Server::start(&["-m", "256"]));
    let ports = servers.each_ref().map(Server::port);
    let bounds = Config { io_timeout: Duration::from_secs(20), ..config(&ports) };
    let client = Client::new(bounds).unwrap();
    let keys: Vec<String> = (0..100_000).map(|n| format!("many:{n:040}")).collect();
    let values: Vec<String> = (0..100_000).map(|n| format!("{n:0200}")).collect();
    by_each_face(|face| {
        let stored = face.run(client.set_many(keys.iter().zip(&values), MINUTE));
        assert!(stored.iter().all(Result::is_ok), "{:?}", stored.iter().find(|stored| stored.is_err()));
        let found = face.run(client.get_many(&keys));
        assert!(found.into_iter().zip(&values).all(|(found, expected)| value(found).as_ref() == Some(expected)));
    });
    servers[1].kill();
    by_each_face(|face| {
        let mut gone = 0;
        for (n, found) in face.run(client.get_many(&keys)).into_iter().enumerate() {
            match found {
                Ok(item) => assert_eq!(item.unwrap().value, values[n].as_bytes()),
                Err(error) => {
                    assert!(error.to_string().contains(&ports[1].to_string()), "{error}");
                    gone += 1;
                }
            }
        }
        assert!((20_000..47_000).contains(&gone), "about a third: {gone}");
    });
}

#[test]
fn all_nodes_are_asked_at_the_same_time() {
    let delay = Duration::from_millis(200);
    let servers = [0; 3].map(|_| Server::start(&[]));
    let proxies = servers.each_ref().map(|server| Proxy::before(("127.0.0.1", server.port())).unwrap());
    let ports = proxies.each_ref().map(Proxy::port);
    let client = Client::new(Config { io_timeout: Duration::from_secs(5), ..config(&ports) }).unwrap();
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    by_each_face(|face| {
        assert!(face.run(client.get_many(&keys)).iter().all(Result::is_ok), "connected");
        proxies.iter().for_each(|proxy| proxy.set(Fault::Delay(delay)));
        let began = Instant::now();
        assert!(face.run(client.get_many(&keys)).iter().all(Result::is_ok));
        let took = began.elapsed();
        assert!(took >= delay && took < delay * 2, "one after the other it were three times the delay: {took:?}");
        proxies.iter().for_each(|proxy| proxy.set(Fault::None));
    });
}

#[test]
fn what_memcached_would_misunderstand_is_refused_before_anything_is_sent() {
    // Nobody listens there.
    let client = Client::from_url("memcached://127.0.0.1:1").unwrap();
    by_each_face(|face| {
        for key in ["", "with a blank", "with\r\nflush_all", &"k".repeat(251)] {
            assert_eq!(face.run(client.get(key)).unwrap_err().kind(), Kind::Key, "{key:?}");
            let error = face.run(client.set(key, "v", MINUTE)).unwrap_err();
            assert!(error.kind() == Kind::Key && !error.to_string().contains("flush"), "{error}");
        }
        for short_or_long in [Duration::ZERO, Duration::from_millis(1999), MINUTE * 60 * 24 * 31] {
            let error = face.run(client.set("k", "v", short_or_long)).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{error}");
            assert_eq!(face.run(client.touch("k", short_or_long)).unwrap_err().kind(), Kind::Config);
            assert_eq!(face.run(client.get_and_touch("k", short_or_long)).unwrap_err().kind(), Kind::Config);
        }
        assert_eq!(face.run(client.compare_and_set("k", "v", MINUTE, 0)).unwrap_err().kind(), Kind::Backend);
        assert_eq!(face.run(client.set("k", "v", MINUTE)).unwrap_err().kind(), Kind::Backend, "nobody listens");
    });
}

#[test]
fn a_value_that_is_too_large_is_not_sent_and_the_old_one_stays() {
    let server = Server::start(&["-I", "512k"]);
    let client = client(std::slice::from_ref(&server));
    by_each_face(|face| {
        face.run(client.set("k", "old", MINUTE)).unwrap();
        let error = face.run(client.set("k", &vec![b'x'; 600 << 10], MINUTE)).unwrap_err();
        assert!(error.to_string().contains("larger than") && error.to_string().contains("-I"), "{error}");
        assert_eq!(value(face.run(client.get("k"))).as_deref(), Some("old"));
        let (large, small) = (vec![b'x'; 600 << 10], b"small".to_vec());
        let stored = face.run(client.set_many([(&"a", &small), (&"k", &large), (&"b", &small)], MINUTE));
        assert!(stored[0].is_ok() && stored[1].is_err() && stored[2].is_ok(), "{stored:?}");
        let largest = vec![b'x'; 500 << 10];
        face.run(client.set("k", &largest, MINUTE)).unwrap();
        assert_eq!(face.run(client.get("k")).unwrap().unwrap().value, largest);
    });
}

#[test]
fn a_full_server_that_evicts_nothing_says_so_and_keeps_what_it_has() {
    let server = Server::start(&["-m", "2", "-M"]);
    let client = client(std::slice::from_ref(&server));
    by_each_face(|face| {
        let large = vec![b'x'; 100 << 10];
        let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
        let stored = face.run(client.set_many(keys.iter().map(|key| (key, &large)), MINUTE));
        let refused = stored.iter().find_map(|stored| stored.as_ref().err()).unwrap();
        assert!(refused.to_string().contains("out of memory"), "{refused}");
        assert!(stored[0].is_ok());
        assert_eq!(face.run(client.get("k0")).unwrap().unwrap().value, large);
        assert!(face.run(client.delete_many(&keys)).iter().all(Result::is_ok));
    });
}

#[test]
fn a_server_without_cas_has_no_fence_and_that_is_told() {
    let server = Server::start(&["-C"]);
    let client = client(std::slice::from_ref(&server));
    by_each_face(|face| {
        face.run(client.set("k", "v", MINUTE)).unwrap();
        let item = face.run(client.get("k")).unwrap().unwrap();
        assert_eq!((item.value.as_slice(), item.cas), (b"v".as_slice(), None));
    });
}

/// memcached tells more connections than it may have `ERROR Too many open connections`, unasked, and closes them.
#[test]
fn a_server_with_too_many_connections_answers_nobody_wrongly() {
    // Of one thread: each needs files of its own, and it has 20.
    let server = Server::start(&["-c", "20", "-t", "1"]);
    let config = Config { pool_size: 60, blacklist: Duration::from_millis(20), ..config(&[server.port()]) };
    let client = Client::new(config).unwrap();
    let keys: Vec<String> = (0..60).map(|n| format!("k{n}")).collect();
    let stored = client.set_many(keys.iter().map(|key| (key, key)), MINUTE).wait();
    assert!(stored.iter().all(Result::is_ok));
    let answers: usize = thread::scope(|scope| {
        let ask = |key: String| {
            let client = &client;
            scope.spawn(move || {
                let answer = |_| match client.get(&key).wait() {
                    Ok(item) => {
                        assert_eq!(item.unwrap().value, key.as_bytes());
                        1
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), Kind::Backend, "{error}");
                        0
                    }
                };
                (0..200).map(answer).sum::<usize>()
            })
        };
        let asked: Vec<_> = keys.iter().cloned().map(ask).collect();
        asked.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!((1..60 * 200).contains(&answers), "those that have a connection are answered, and not all have: {answers}");
    let again = (0..100).find_map(|_| {
        thread::sleep(Duration::from_millis(20));
        client.get("k7").wait().ok()
    });
    assert_eq!(again.unwrap().unwrap().value, b"k7", "when there are fewer");
}

/// memcached closes connections that were silent for so long, and says nothing.
#[test]
fn a_connection_that_the_server_gave_up_is_replaced_unseen() {
    let server = Server::start(&["-o", "idle_timeout=2"]);
    let client = client(std::slice::from_ref(&server));
    #[cfg(feature = "tokio")]
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ask = || {
        assert_eq!(value(client.get("k").wait()).as_deref(), Some("v"));
        #[cfg(feature = "tokio")]
        assert_eq!(value(runtime.block_on(client.get("k"))).as_deref(), Some("v"));
    };
    let closed = || {
        let stats = server.say("stats\r\n");
        stats.lines().find_map(|line| line.strip_prefix("STAT idle_kicks ")?.parse::<u64>().ok()).unwrap()
    };
    client.set("k", "v", MINUTE).wait().unwrap();
    ask();
    let kicked = if cfg!(feature = "tokio") { 2 } else { 1 };
    let began = Instant::now();
    while closed() < kicked {
        assert!(began.elapsed() < Duration::from_secs(20), "the server closes silent connections");
        thread::sleep(Duration::from_millis(100));
    }
    ask();
}

#[test]
fn servers_tell_of_themselves_and_this_process_of_its_nodes() {
    let servers = [Server::start(&[]), Server::start(&[])];
    let client = client(&servers);
    client.set("k", "v", MINUTE).wait().unwrap();
    let all = client.stats().wait();
    let items: u64 = all.iter().map(|one| one.stats.as_ref().unwrap()["curr_items"].parse::<u64>().unwrap()).sum();
    assert_eq!((all.len(), items), (2, 1));
    assert!(all[0].node.contains(&servers[0].port().to_string()));
    let settings = client.stats_of("settings").wait();
    assert_eq!(settings[1].stats.as_ref().unwrap()["cas_enabled"], "yes");
    assert!(client.stats_of("items\r\nflush_all").wait().iter().all(|one| one.stats.is_err()));
    servers[0].kill();
    let half = client.stats().wait();
    assert!(half[0].stats.is_err() && half[1].stats.is_ok());
    let nodes = client.nodes();
    assert!(nodes[0].set_aside_for.is_some() && nodes[1].set_aside_for.is_none());
    assert!(nodes[1].count("received_bytes") > Some(1000));
}

#[test]
fn a_client_that_waits_for_nothing_is_told_in_time() {
    let mute = Server::start_mute(&[]);
    mute.pause();
    let client = Client::new(brisk(&[mute.port()])).unwrap();
    let began = Instant::now();
    let error = client.get("k").wait().unwrap_err();
    assert!(began.elapsed() < IO_TIMEOUT * 3, "{error}");
    mute.resume();
}
