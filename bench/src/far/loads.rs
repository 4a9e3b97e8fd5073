//! The clients of `far-throughput`, each as its documentation tells to use it.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache_core::backend::{AsyncBytesBackend, BytesBackend};
use cache_memcached::Expiry;
use memcache::exp::{AsyncMemcache, Memcache, Ttl};
use memcached_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::ours::{self, Lookup};
use super::throughput::{Act, KEYS, Load, key, tasks, threads};
use crate::harness::Role;

/// What callers share: the keys and the value that is stored.
struct Shared {
    keys: Vec<String>,
    value: Vec<u8>,
}

fn shared(size: usize) -> Arc<Shared> {
    Arc::new(Shared { keys: (0..KEYS).map(key).collect(), value: vec![b'x'; size] })
}

pub fn runtime() -> Arc<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    Arc::new(runtime.expect("a runtime"))
}

pub fn of_tasks(server: &Server, act: Act, size: usize) -> Vec<Load> {
    let runtime = runtime();
    let mut loads = vec![limit(&runtime, server, act, size), client_of_tasks(&runtime, server, act, size)];
    if act == Act::Get {
        loads.push(records_of_tasks(&runtime, server, size));
    }
    loads.push(exp_of_tasks(&runtime, server, act, size));
    for (connections, name) in [(8, "async-memcached, pool of 8"), (64, "async-memcached, pool of 64")] {
        let address = format!("tcp://127.0.0.1:{}", server.port());
        let connect = || runtime.block_on(async_memcached::Client::new(&address)).expect("the server is there");
        let clients = (0..connections).map(|_| connect()).collect();
        loads.push(pooled(name, Role::Peer, &runtime, clients, size, move |mut client, shared, n| async move {
            use async_memcached::AsciiProtocol;
            let key = &shared.keys[n];
            match act {
                Act::Get => {
                    let value = client.get(key).await.expect("an answer").and_then(|value| value.data);
                    assert_eq!(value.expect("a value").len(), size);
                }
                Act::Set => client.set(key, &shared.value[..], None, None).await.expect("stored"),
            }
            client
        }));
    }
    let connect = || {
        let stream = runtime.block_on(tokio::net::TcpStream::connect(("127.0.0.1", server.port())));
        let stream = stream.expect("the server is there");
        stream.set_nodelay(true).expect("an option of TCP");
        memcache_async::ascii::Protocol::new(stream)
    };
    let clients = (0..8).map(|_| connect()).collect();
    // It does not wait until a value is stored.
    let (name, role) = match act {
        Act::Get => ("memcache-async, pool of 8", Role::Peer),
        Act::Set => ("memcache-async, pool of 8, unanswered", Role::Beside),
    };
    loads.push(pooled(name, role, &runtime, clients, size, move |mut client, shared, n| async move {
        let key = &shared.keys[n];
        match act {
            Act::Get => assert_eq!(client.get(key).await.expect("a value").len(), size),
            Act::Set => client.set(key, &shared.value, 0).await.expect("stored"),
        }
        client
    }));
    loads
}

/// As many requests in one write as there would be callers, all replies in a buffer that is used again, and anew.
fn limit(runtime: &Arc<Runtime>, server: &Server, act: Act, size: usize) -> Load {
    let (runtime, port) = (runtime.clone(), server.port());
    let run = move |callers: usize, time: Duration| {
        runtime.block_on(async {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("the server is there");
            stream.set_nodelay(true).expect("an option of TCP");
            let (mut requests, value) = (String::new(), "x".repeat(size));
            for n in 0..callers {
                let key = key(n % KEYS);
                let written = match act {
                    Act::Get => write!(requests, "mg {key} v\r\n"),
                    Act::Set => write!(requests, "ms {key} {size}\r\n{value}\r\n"),
                };
                written.expect("text can be written");
            }
            let reply = if act == Act::Get { "VA \r\n\r\n".len() + size.to_string().len() + size } else { 4 };
            let mut buffer = vec![0; 256 << 10];
            let (start, mut answers) = (Instant::now(), 0);
            while start.elapsed() < time {
                let mut unread = reply * callers;
                let (mut reader, mut writer) = stream.split();
                // At once: neither side's buffers hold all of a large round.
                let write = async { writer.write_all(requests.as_bytes()).await.expect("it listens") };
                let read = async {
                    while unread > 0 {
                        unread -= reader.read(&mut buffer).await.expect("the server answers");
                    }
                };
                tokio::join!(write, read);
                answers += callers as u64;
            }
            answers
        })
    };
    Load { name: "limit: one connection, written by hand", role: Role::Limit, run: Box::new(run) }
}

fn client_of_tasks(runtime: &Arc<Runtime>, server: &Server, act: Act, size: usize) -> Load {
    let (client, shared, runtime) = (ours::plain(server, ""), shared(size), runtime.clone());
    let run = move |callers, time| {
        let (client, shared) = (client.clone(), shared.clone());
        tasks(&runtime, callers, time, move |n| {
            let (client, shared) = (client.clone(), shared.clone());
            async move {
                let key = &shared.keys[n];
                match act {
                    Act::Get => {
                        let item = client.get(key).await.expect("an answer").expect("a value");
                        assert_eq!(item.value.len(), size);
                    }
                    Act::Set => client.set(key, &shared.value, Expiry::Never).await.expect("stored"),
                }
            }
        })
    };
    Load { name: "cache: Client", role: Role::Ours, run: Box::new(run) }
}

fn records_of_tasks(runtime: &Arc<Runtime>, server: &Server, size: usize) -> Load {
    let (client, runtime) = (ours::client(server), runtime.clone());
    let lookups = Arc::new((0..KEYS).map(|n| Lookup::bare(&key(n))).collect::<Vec<_>>());
    let run = move |callers, time| {
        let (client, lookups) = (client.clone(), lookups.clone());
        tasks(&runtime, callers, time, move |n| {
            let (client, lookups) = (client.clone(), lookups.clone());
            async move {
                let seen = AsyncBytesBackend::read(&client, &lookups[n].read()).await.remove(0).expect("an answer");
                assert_eq!(seen.record.expect("a value").len(), size);
            }
        })
    };
    Load { name: "cache: a record", role: Role::Ours, run: Box::new(run) }
}

fn exp_of_tasks(runtime: &Arc<Runtime>, server: &Server, act: Act, size: usize) -> Load {
    let exp = runtime.block_on(AsyncMemcache::connect([("127.0.0.1", server.port())])).expect("the server is there");
    let (exp, shared, runtime) = (Arc::new(exp), shared(size), runtime.clone());
    let run = move |callers, time| {
        let (exp, shared) = (exp.clone(), shared.clone());
        tasks(&runtime, callers, time, move |n| {
            let (exp, shared) = (exp.clone(), shared.clone());
            async move {
                let key = &shared.keys[n];
                match act {
                    Act::Get => {
                        let value: Option<Vec<u8>> = exp.get(key).await.expect("an answer");
                        assert_eq!(value.expect("a value").len(), size);
                    }
                    Act::Set => exp.set(key, &shared.value[..], Ttl::NEVER).await.expect("stored"),
                }
            }
        })
    };
    Load { name: "memcache exp::AsyncMemcache", role: Role::Peer, run: Box::new(run) }
}

/// A client that can do one thing at a time: as many of them as there are places.
fn pooled<C, F>(
    name: &'static str,
    role: Role,
    runtime: &Arc<Runtime>,
    clients: Vec<C>,
    size: usize,
    ask: impl Fn(C, Arc<Shared>, usize) -> F + Copy + Send + Sync + 'static,
) -> Load
where
    C: Send + 'static,
    F: Future<Output = C> + Send + 'static,
{
    let pool = Arc::new((Semaphore::new(clients.len()), Mutex::new(clients)));
    let (shared, runtime) = (shared(size), runtime.clone());
    let run = move |callers, time| {
        let (pool, shared) = (pool.clone(), shared.clone());
        tasks(&runtime, callers, time, move |n| {
            let (pool, shared) = (pool.clone(), shared.clone());
            async move {
                let _place = pool.0.acquire().await.expect("it is never closed");
                let taken = pool.1.lock().expect("nobody panics").pop();
                let client = ask(taken.expect("as many as places"), shared, n).await;
                pool.1.lock().expect("nobody panics").push(client);
            }
        })
    };
    Load { name, role, run: Box::new(run) }
}

pub fn of_threads(server: &Server, act: Act, size: usize) -> Vec<Load> {
    let mut loads = Vec::new();
    for (name, parameters) in [("cache: Client", ""), ("cache: Client, pool of 64", "&pool_size=64")] {
        let (client, shared) = (ours::plain(server, parameters), shared(size));
        let run = move |callers, time| {
            threads(callers, time, |n| {
                let key = &shared.keys[n];
                match act {
                    Act::Get => {
                        let item = client.get(key).wait().expect("an answer").expect("a value");
                        assert_eq!(item.value.len(), size);
                    }
                    Act::Set => client.set(key, &shared.value, Expiry::Never).wait().expect("stored"),
                }
            })
        };
        loads.push(Load { name, role: Role::Ours, run: Box::new(run) });
    }
    if act == Act::Get {
        let (client, lookups) = (ours::client(server), (0..KEYS).map(|n| Lookup::bare(&key(n))).collect::<Vec<_>>());
        let run = move |callers, time| {
            threads(callers, time, |n| {
                let seen = BytesBackend::read(&client, &lookups[n].read()).remove(0).expect("an answer");
                assert_eq!(seen.record.expect("a value").len(), size);
            })
        };
        loads.push(Load { name: "cache: a record", role: Role::Ours, run: Box::new(run) });
    }
    let ascii = memcache::Client::builder()
        .add_server(format!("memcache://127.0.0.1:{}?protocol=ascii&tcp_nodelay=true", server.port()))
        .and_then(|builder| builder.with_max_pool_size(8).build())
        .expect("the server is there");
    let ours = shared(size);
    let run = move |callers, time| {
        threads(callers, time, |n| {
            let key = &ours.keys[n];
            match act {
                Act::Get => {
                    let value: Option<Vec<u8>> = ascii.get(key).expect("an answer");
                    assert_eq!(value.expect("a value").len(), size);
                }
                Act::Set => ascii.set(key, &ours.value[..], 0).expect("stored"),
            }
        })
    };
    loads.push(Load { name: "memcache Client, ascii, pool of 8", role: Role::Peer, run: Box::new(run) });
    let exp = Memcache::connect([("127.0.0.1", server.port())]).expect("the server is there");
    let ours = shared(size);
    let run = move |callers, time| {
        threads(callers, time, |n| {
            let key = &ours.keys[n];
            match act {
                Act::Get => {
                    let value: Option<Vec<u8>> = exp.get(key).expect("an answer");
                    assert_eq!(value.expect("a value").len(), size);
                }
                Act::Set => exp.set(key, &ours.value[..], Ttl::NEVER).expect("stored"),
            }
        })
    };
    loads.push(Load { name: "memcache exp::Memcache, as many as callers", role: Role::Peer, run: Box::new(run) });
    loads
}
