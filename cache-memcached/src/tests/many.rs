//! A hundred thousand keys at once: order kept, nobody waits for ever, what fails is told key by key.

use std::io::{BufReader, BufWriter, Read as _, Write};
use std::net::TcpStream;
use std::time::Duration;

use cache_core::backend::{BytesBackend, Lease, Read, Recall, Seen};
use cache_core::clock::Clock;
use cache_core::error::Result;
use cache_core::key::FarKey;

use memcached_server::Server;

use super::config;
use crate::{Config, Memcached};

const MANY: usize = 100_000;

fn client(servers: &[Server]) -> Memcached {
    let ports: Vec<u16> = servers.iter().map(Server::port).collect();
    let config = Config { io_timeout: Duration::from_secs(20), max_in_flight: 2 * MANY, ..config(&ports) };
    Memcached::of_another_process(config, Clock::System).unwrap()
}

fn keys() -> Vec<FarKey> {
    (0..MANY).map(|n| FarKey::new(format!("many:namespace:{n:040}")).unwrap()).collect()
}

fn value(n: usize) -> String {
    format!("{n:0200}")
}

/// Stores every other key where its client looks for it.
fn store(client: &Memcached, servers: &[Server], keys: &[FarKey]) {
    for (node, server) in servers.iter().enumerate() {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let mut out = BufWriter::new(&mut stream);
        for (n, key) in keys.iter().enumerate().step_by(2).filter(|(_, key)| client.owner(key) == node) {
            write!(out, "set {} 0 0 200 noreply\r\n{}\r\n", key.as_str(), value(n)).unwrap();
        }
        write!(out, "mn\r\n").unwrap();
        drop(out);
        let mut last = [0; 4];
        BufReader::new(stream).read_exact(&mut last).unwrap();
        assert_eq!(&last, b"MN\r\n");
    }
}

fn lookup(keys: &[FarKey]) -> Read<'_> {
    Read { keys, scopes: &[], lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never }
}

fn assert_right(seen: Vec<Result<Seen>>) {
    assert_eq!(seen.len(), MANY);
    for (n, seen) in seen.into_iter().enumerate() {
        let expected = (n % 2 == 0).then(|| value(n).into_bytes());
        assert_eq!(seen.unwrap().record, expected, "key {n}");
    }
}

fn read_many(count: usize) {
    let servers: Vec<Server> = (0..count).map(|_| Server::start(&["-m", "256"])).collect();
    let (client, keys) = (client(&servers), keys());
    store(&client, &servers, &keys);
    assert_right(BytesBackend::read(&client, &lookup(&keys)));
    #[cfg(feature = "tokio")]
    {
        use cache_core::backend::AsyncBytesBackend;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_right(runtime.block_on(AsyncBytesBackend::read(&client, &lookup(&keys))));
    }
    // One node of several is gone: its keys are errors, the others' are there.
    servers[0].kill();
    for (n, (key, seen)) in keys.iter().zip(BytesBackend::read(&client, &lookup(&keys))).enumerate() {
        match seen {
            Ok(seen) => assert!(client.owner(key) != 0 && seen.record.is_some() == (n % 2 == 0), "key {n}"),
            Err(error) => assert!(client.owner(key) == 0, "key {n}: {error}"),
        }
    }
}

#[test]
fn a_hundred_thousand_keys_of_one_server_are_read_at_once() {
    read_many(1);
}

#[test]
fn a_hundred_thousand_keys_of_three_servers_are_read_at_once() {
    read_many(3);
}
