//! The suite that every far backend must pass.

use std::sync::Arc;
use std::thread;

use cache_core::backend::{BytesBackend, Lease, Read, Recall};
use cache_core::clock::Clock;
use cache_core::key::FarKey;
#[cfg(feature = "tokio")]
use cache_core::testkit::{AsyncSuiteFar, async_bytes_suite};
use cache_core::testkit::{SuiteFar, Trouble, bytes_suite};

use memcached_server::Server;

use super::config;
use crate::Memcached;

/// Two processes' clients of these servers, which know their limits already.
fn clients(servers: &[Server]) -> [Memcached; 2] {
    let ports: Vec<u16> = servers.iter().map(|server| server.port()).collect();
    [(); 2].map(|()| {
        let client = Memcached::of_another_process(config(&ports), Clock::System).unwrap();
        let keys: Vec<FarKey> = (0..100).map(|n| FarKey::new(format!("warm:{n}")).unwrap()).collect();
        let (lease, recall) = (Lease::None, Recall::Never);
        let read = Read { keys: &keys, scopes: &[], lease, grace: std::time::Duration::ZERO, recall };
        // Again where the machine stood still for longer than `io_timeout`.
        assert!((0..10).any(|_| BytesBackend::read(&client, &read).iter().all(Result::is_ok)));
        client
    })
}

fn bring(servers: &Arc<Vec<Server>>, client: Memcached) -> Arc<dyn Fn(Trouble) + Send + Sync> {
    let servers = servers.clone();
    Arc::new(move |trouble| {
        let of = |key: &FarKey| &servers[client.owner(key)];
        let delete = |server: &Server, key: &FarKey| {
            assert_eq!(
                server.say(&format!("mg {k}\r\nmd {k} q\r\nmn\r\n", k = key.as_str())).lines().last(),
                Some("MN")
            )
        };
        match &trouble {
            Trouble::Down(key) => of(key).pause(),
            Trouble::Up(key) => of(key).resume(),
            Trouble::Restart(key) => of(key).restart(),
            Trouble::Evict(key) => delete(of(key), key),
            Trouble::EvictScope(scope, key) => delete(of(key), scope),
        }
    })
}

fn passes_on(count: usize) {
    let servers: Arc<Vec<Server>> = Arc::new((0..count).map(|_| Server::start(&[])).collect());
    let make = || {
        let [far, other] = clients(&servers);
        SuiteFar {
            far: Arc::new(far.clone()),
            other: Arc::new(other),
            pass: Arc::new(thread::sleep),
            trouble: Some(bring(&servers, far)),
            prefix: "suite:".to_owned(),
        }
    };
    let report = bytes_suite(make).unwrap_or_else(|report| panic!("{report}"));
    assert_skipped(&report.to_string(), report.skipped.len());
}

/// There is no limit above which a record is refused: it is kept in parts.
fn assert_skipped(report: &str, count: usize) {
    assert!(count == 1 && report.contains("the backend knows no limit"), "{report}");
}

/// Both at once: what takes time here is that records expire.
#[test]
fn the_blocking_face_passes_on_one_server_and_on_several() {
    thread::scope(|scope| {
        scope.spawn(|| passes_on(1));
        passes_on(3);
    });
}

#[cfg(feature = "tokio")]
fn passes_by_awaiting_on(count: usize, runtime: tokio::runtime::Runtime) {
    let servers: Arc<Vec<Server>> = Arc::new((0..count).map(|_| Server::start(&[])).collect());
    let runtime = Arc::new(runtime);
    let make = || {
        let [far, other] = clients(&servers);
        let runtime = runtime.clone();
        AsyncSuiteFar {
            far: Arc::new(far.clone()),
            other: Arc::new(other),
            block_on: Arc::new(move |future| runtime.block_on(future)),
            pass: Arc::new(thread::sleep),
            trouble: Some(bring(&servers, far)),
            prefix: "suite:".to_owned(),
        }
    };
    let report = async_bytes_suite(make).unwrap_or_else(|report| panic!("{report}"));
    assert_skipped(&report.to_string(), report.skipped.len());
}

#[cfg(feature = "tokio")]
#[test]
fn the_async_face_passes_on_one_server_and_on_several() {
    use tokio::runtime::Builder;

    thread::scope(|scope| {
        scope.spawn(|| passes_by_awaiting_on(1, Builder::new_current_thread().enable_all().build().unwrap()));
        passes_by_awaiting_on(3, Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    });
}
