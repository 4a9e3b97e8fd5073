//! Many keys at once over real servers: each is loaded once, whoever asks with whom, and whichever server is gone.

#![cfg(all(feature = "memcached", feature = "testkit"))]
#![allow(clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cache::testkit::{isolated, isolated_async};
use cache::{Region, Registry, Settings, open_known_schemes};
use memcached_server::Server;

static SHARED: Region = Region::named("shared");

/// A process: a board and connections of its own.
fn process(servers: &[Server]) -> Registry {
    let registry = Registry::new();
    open_known_schemes(&registry);
    let hosts: Vec<String> = servers.iter().map(|server| server.url().replace("memcached://", "")).collect();
    let settings = Settings::new().ttl(Duration::from_secs(60)).far(format!("memcached://{}", hosts.join(",")));
    registry.configure("shared", settings).expect("good settings");
    registry
}

/// Every third id has no value.
fn rows(ids: &[u64]) -> Vec<(u64, String)> {
    ids.iter().filter(|id| *id % 3 != 0).map(|id| (*id, "x".repeat(*id as usize % 500))).collect()
}

fn expected(ids: impl Iterator<Item = u64>) -> Vec<Option<String>> {
    ids.map(|id| rows(&[id]).pop().map(|(_, value)| value)).collect()
}

#[test]
fn batches_of_many_processes_that_overlap_load_each_key_once() {
    let servers = [Server::start(&[]), Server::start(&[]), Server::start(&[])];
    let loaded = AtomicUsize::new(0);
    thread::scope(|scope| {
        for n in 0..6_u64 {
            let (servers, loaded) = (&servers, &loaded);
            scope.spawn(move || {
                let ids = move || (n * 300..n * 300 + 900).rev();
                let load = |ids: Vec<u64>| {
                    loaded.fetch_add(ids.len(), Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(20));
                    Ok::<_, ()>(rows(&ids))
                };
                let registry = process(servers);
                let values = if n % 2 == 0 {
                    isolated(&registry, || SHARED.get_or_create_multi("many", ids(), load))
                } else {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                    let load = |ids| std::future::ready(load(ids));
                    let ask = async { SHARED.get_or_create_multi_async("many", ids(), load).await };
                    runtime.block_on(isolated_async(&registry, ask))
                };
                assert_eq!(values, Ok(expected(ids())));
                let stats = registry.region("shared").stats().expect("it is configured").total;
                assert_eq!((stats.far_errors, stats.patience_spent, stats.unshared), (0, 0, 0));
            });
        }
    });
    assert_eq!(loaded.load(Ordering::SeqCst), 5 * 300 + 900, "each of them once");
}

#[test]
fn what_a_dead_server_had_is_loaded_and_the_rest_is_found() {
    let [one, two, dead] = [Server::start(&[]), Server::start(&[]), Server::start(&[])];
    let mut servers = vec![one, two, dead];
    let registry = process(&servers);
    let loaded = AtomicUsize::new(0);
    let ask = || {
        let load = |ids: Vec<u64>| {
            loaded.fetch_add(ids.len(), Ordering::SeqCst);
            Ok::<_, ()>(rows(&ids))
        };
        isolated(&registry, || SHARED.get_or_create_multi("many", 0..3000, load))
    };
    assert_eq!(ask(), Ok(expected(0..3000)));
    assert_eq!((ask(), loaded.load(Ordering::SeqCst)), (Ok(expected(0..3000)), 3000));
    drop(servers.pop());
    assert_eq!(ask(), Ok(expected(0..3000)));
    let again = loaded.load(Ordering::SeqCst) - 3000;
    assert!((500..2000).contains(&again), "about a third: {again}");
    assert_eq!(registry.region("shared").stats().expect("it is configured").total.stored, 3000);
}
