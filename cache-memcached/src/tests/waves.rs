//! Operations of many plain values on a connection that tasks share: however little may wait on it, all are answered.

use std::time::Duration;

use cache_core::backend::{AsyncBytesBackend, Lease, Read, Recall};
use cache_core::clock::Clock;
use cache_core::error::Kind;
use cache_core::key::FarKey;
use cache_core::testkit::{Fault, Proxy};
use memcached_server::Server;
use tokio::runtime::{Builder, Runtime};

use super::config;
use crate::{Client, Config, Memcached};

const MANY: usize = 100_000;
const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn over(servers: &[Server], change: impl FnOnce(Config) -> Config) -> Client {
    let ports: Vec<u16> = servers.iter().map(Server::port).collect();
    let config = change(Config { io_timeout: LONG, ..config(&ports) });
    Client::over(Memcached::of_another_process(config, Clock::System).unwrap())
}

/// Stores so many values, reads them beside as many that are missing, and deletes all of them.
async fn there_and_back(client: &Client, name: &str, count: usize, value: impl Fn(usize) -> Vec<u8>) {
    let keys: Vec<String> = (0..2 * count).map(|n| format!("{name}:{n:030}")).collect();
    let values: Vec<Vec<u8>> = (0..count).map(value).collect();
    let stored = client.set_many(keys.iter().zip(&values), MINUTE).await;
    assert_eq!(stored.len(), count);
    let failed = stored.iter().position(Result::is_err);
    assert_eq!(failed, None, "{:?}", failed.map(|failed| &stored[failed]));
    let found = client.get_many(&keys).await;
    assert_eq!(found.len(), 2 * count);
    for (n, found) in found.into_iter().enumerate() {
        assert_eq!(found.unwrap().map(|item| item.value).as_ref(), values.get(n), "{name}: {n}");
    }
    let deleted = client.delete_many(&keys).await;
    assert_eq!(deleted.len(), 2 * count);
    for (n, deleted) in deleted.into_iter().enumerate() {
        assert_eq!(deleted.unwrap(), n < count, "{name}: {n}");
    }
}

#[test]
fn a_hundred_thousand_go_by_default_limits() {
    for count in [1, 3] {
        let servers: Vec<Server> = (0..count).map(|_| Server::start(&["-m", "256"])).collect();
        let client = over(&servers, |config| config);
        runtime().block_on(async {
            let all = client.clone();
            let many = tokio::spawn(async move {
                there_and_back(&all, "many", MANY, |n| format!("{n:0100}").into_bytes()).await;
            });
            let mut beside = 0;
            while !many.is_finished() {
                assert_eq!(client.get("none").await.unwrap(), None, "after {beside} of them");
                beside += 1;
            }
            assert!(beside > 10, "{beside}");
            many.await.unwrap();
        });
    }
}

#[test]
fn little_room_is_shared_by_several_operations_and_is_enough_for_each() {
    let servers = [Server::start(&[]), Server::start(&[])];
    let limits: [fn(Config) -> Config; 3] = [
        |config| Config { max_in_flight: 16, ..config },
        |config| Config { max_bytes_in_flight: 4 << 10, ..config },
        |config| Config { max_in_flight: 1, max_bytes_in_flight: 1, ..config },
    ];
    for (n, limit) in limits.into_iter().enumerate() {
        let client = over(&servers, limit);
        // Where nothing else may wait beside one request, there is one operation.
        let operations = if n == 2 { 1 } else { 4 };
        runtime().block_on(async {
            let several: Vec<_> = (0..operations)
                .map(|operation| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        let name = format!("little:{n}:{operation}");
                        there_and_back(&client, &name, 500, |n| n.to_string().repeat(1 + n % 60).into_bytes()).await;
                    })
                })
                .collect();
            for one in several {
                one.await.unwrap();
            }
        });
    }
}

#[test]
fn a_value_larger_than_all_that_may_wait_goes_alone() {
    let server = Server::start(&["-I", "512k"]);
    let client = over(std::slice::from_ref(&server), |config| Config { max_bytes_in_flight: 1 << 10, ..config });
    runtime().block_on(async {
        let value = |n: usize| vec![b'x'; if n.is_multiple_of(2) { 10 } else { 100 << 10 }];
        there_and_back(&client, "alone", 20, value).await;
        let values = [vec![b'x'; 600 << 10], b"small".to_vec()];
        let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
        let pairs = || keys.iter().enumerate().map(|(n, key)| (key, &values[n % 2]));
        let stored = client.set_many(pairs(), MINUTE).await;
        for (n, stored) in stored.iter().enumerate() {
            assert_eq!(stored.as_ref().err().map(ToString::to_string).is_some_and(|e| e.contains("-I")), n % 2 == 0);
        }
        let bad: Vec<String> = (0..100).map(|n| if n == 7 { "a blank".to_owned() } else { format!("k{n}") }).collect();
        let found = client.get_many(&bad).await;
        for (n, found) in found.into_iter().enumerate() {
            match found {
                Ok(item) => assert_eq!(item.map(|item| item.value), (n % 2 == 1).then(|| b"small".to_vec()), "{n}"),
                Err(error) => assert_eq!((n, error.kind()), (7, Kind::Key)),
            }
        }
    });
}

#[test]
fn what_runs_out_of_time_between_two_waves_leaves_the_connection_to_others() {
    let server = Server::start(&[]);
    let proxy = Proxy::before(("127.0.0.1", server.port())).unwrap();
    let limits = Config { max_in_flight: 16, max_bytes_in_flight: 256, ..config(&[proxy.port()]) };
    let limits = Config { io_timeout: Duration::from_millis(300), ..limits };
    let backend = Memcached::of_another_process(limits, Clock::System).unwrap();
    let client = Client::over(backend.clone());
    let told = |what| client.nodes().remove(0).count(what).unwrap();
    runtime().block_on(async {
        client.get("k").await.unwrap();
        assert_eq!(told("connected"), 1);
        proxy.set(Fault::Delay(Duration::from_millis(20)));
        let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
        let stored = client.set_many(keys.iter().map(|key| (key, key)), MINUTE).await;
        let answered = stored.iter().take_while(|stored| stored.is_ok()).count();
        assert!((1..100).contains(&answered), "the test is about those that are not: {answered}");
        for late in &stored[answered..] {
            assert!(late.as_ref().is_err_and(|error| error.to_string().contains("did not answer within")), "{late:?}");
        }
        let found = client.get_many(&keys).await;
        let answered = found.iter().take_while(|found| found.is_ok()).count();
        assert!((1..200).contains(&answered), "{answered}");
        assert!(found[answered..].iter().all(Result::is_err));
        let far: Vec<FarKey> = keys.iter().map(|key| FarKey::new(key.clone()).unwrap()).collect();
        let lease = Lease::None;
        let read = Read { keys: &far, scopes: &[], lease, grace: Duration::ZERO, recall: Recall::Never };
        let sent = told("sent_bytes");
        let seen = AsyncBytesBackend::read(&backend, &read).await;
        let answered = seen.iter().take_while(|seen| seen.is_ok()).count();
        assert!((1..100).contains(&answered), "{answered}");
        assert!(seen[answered..].iter().all(Result::is_err));
        let sent = told("sent_bytes") - sent;
        assert!(sent < 100 * 20, "half of what there was to ask would be more: {sent}");
        proxy.set(Fault::None);
        assert_eq!(client.get("k0").await.unwrap().unwrap().value, b"k0");
        assert_eq!(told("connected"), 1, "it answered all the time");
    });
}
