//! For how long the tasks of a runtime use a connection.

use std::time::{Duration, Instant};

use cache_core::clock::Clock;
use memcached_server::Server;
use tokio::runtime::{Builder, Runtime};

use super::config;
use crate::{Client, Config, Memcached};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A client whose connections live for an hour, or a minute without anything to do.
fn client(server: &Server) -> (Memcached, Client) {
    let lives = Config { max_lifetime: Some(HOUR), idle_timeout: MINUTE, ..config(&[server.port()]) };
    let patient = Config { io_timeout: MINUTE, connect_timeout: MINUTE, ..lives };
    let memcached = Memcached::of_another_process(patient, Clock::System).unwrap();
    (memcached.clone(), Client::over(memcached))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn told(client: &Client, what: &str) -> u64 {
    client.nodes().remove(0).count(what).unwrap()
}

/// Lets others go on until so much is told of the node.
async fn until(client: &Client, what: &str, count: u64) {
    let began = Instant::now();
    while told(client, what) != count {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}: {}, not {count}", told(client, what));
        tokio::task::yield_now().await;
    }
}

async fn get(client: &Client) {
    assert_eq!(client.get("k").await.unwrap(), None);
}

#[test]
fn one_that_is_old_and_one_unused_for_long_are_replaced_and_closed() {
    let server = Server::start(&[]);
    let (memcached, client) = client(&server);
    runtime().block_on(async {
        get(&client).await;
        memcached.links(0).age(|age| age.made -= HOUR - MINUTE);
        get(&client).await;
        assert_eq!(told(&client, "connected"), 1, "young, and in use");
        memcached.links(0).age(|age| age.made -= MINUTE);
        get(&client).await;
        until(&client, "connections", 1).await;
        get(&client).await;
        assert_eq!(told(&client, "connected"), 2, "as old as `max_lifetime`");
        memcached.links(0).age(|age| age.used -= MINUTE / 2);
        get(&client).await;
        memcached.links(0).age(|age| age.used -= MINUTE / 2);
        get(&client).await;
        assert_eq!(told(&client, "connected"), 2, "used in between");
        memcached.links(0).age(|age| age.used -= MINUTE);
        get(&client).await;
        until(&client, "connections", 1).await;
        get(&client).await;
        assert_eq!(told(&client, "connected"), 3, "unused for `idle_timeout`");
        assert_eq!(told(&client, "reconnects"), 0, "nothing was repeated");
    });
}

#[test]
fn those_who_wait_on_an_old_one_are_answered_by_it_and_all_others_share_one_new_one() {
    let server = Server::start(&[]);
    let (memcached, client) = client(&server);
    let ask = || {
        let client = client.clone();
        tokio::spawn(async move { get(&client).await })
    };
    runtime().block_on(async {
        get(&client).await;
        server.pause();
        let mut waiting: Vec<_> = (0..100).map(|_| ask()).collect();
        until(&client, "in_flight", 100).await;
        memcached.links(0).age(|age| age.made -= HOUR);
        waiting.extend((0..100).map(|_| ask()));
        until(&client, "in_flight", 200).await;
        assert_eq!(told(&client, "connections"), 1, "it is still waited on");
        server.resume();
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!((told(&client, "connected"), told(&client, "reconnects")), (2, 0));
        until(&client, "connections", 1).await;
    });
}

#[test]
fn those_that_nobody_needs_any_more_are_closed_when_another_is_made() {
    let server = Server::start(&[]);
    let (memcached, client) = client(&server);
    let large = vec![b'x'; 200_000];
    runtime().block_on(async {
        get(&client).await;
        client.set("large", &large, MINUTE).await.unwrap();
        assert_eq!(told(&client, "connections"), 2);
        memcached.links(0).age(|age| age.used -= MINUTE);
        get(&client).await;
        until(&client, "connections", 1).await;
        client.set("large", &large, MINUTE).await.unwrap();
        assert_eq!((told(&client, "connections"), told(&client, "connected")), (2, 4));
    });
}
