//! Family `far-multi`: one caller asks for many values at once, on one node and on three.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::{Region, Settings, registry};
use cache_core::backend::{AsyncBytesBackend, BytesBackend, Lease, Read, Recall};
use cache_core::key::FarKey;
use cache_memcached::{Client, Expiry};
use memcache::exp::{AsyncMemcache, Memcache, Ttl};
use memcached_server::Server;
use tokio::runtime::Runtime;

use super::loads::runtime;
use super::ours;
use super::throughput::{Load, measure};
use crate::harness::{Effort, Record, Role};

const VALUE: [u8; 100] = [b'x'; 100];
/// As many keys at once as the limit asks for before it reads.
const ROUND: usize = 1000;

static ONE: Region = Region::named("multi_one");
static THREE: Region = Region::named("multi_three");

pub fn run(effort: Effort) -> Vec<Record> {
    let mut records = Vec::new();
    for nodes in [1, 3] {
        let servers: Vec<Server> = (0..nodes).map(|_| Server::start(&["-t", "1", "-m", "256"])).collect();
        let region = if nodes == 1 { &ONE } else { &THREE };
        let settings = Settings::new().ttl(Duration::from_secs(3600)).far(patient_url(&servers));
        registry().configure(region.name(), settings).expect("good settings");
        for count in [10, 100, 1000, 100_000] {
            let case =
                |what: &str| format!("{what} {count} keys of 100 B, {nodes} node{}", if nodes > 1 { "s" } else { "" });
            let keys: Arc<Vec<String>> = Arc::new((0..count).map(super::throughput::key).collect());
            records.extend(measure("far-multi", &case("get"), count, values(&servers, &keys), effort));
            records.extend(measure("far-multi", &case("records of"), count, far_records(&servers, &keys), effort));
            records.extend(measure(
                "far-multi",
                &case("a region's"),
                count,
                of_region(region, &servers, &keys),
                effort,
            ));
        }
    }
    records
}

/// Asks again and again until the time is over; how many values came.
fn again(count: usize, time: Duration, mut ask: impl FnMut() -> usize) -> u64 {
    let (start, mut answers) = (Instant::now(), 0);
    while start.elapsed() < time {
        assert_eq!(ask(), count, "each key has a value");
        answers += count as u64;
    }
    answers
}

/// Plain values.
fn values(servers: &[Server], keys: &Arc<Vec<String>>) -> Vec<Load> {
    let runtime = runtime();
    let client = patient(servers);
    let stored = client.set_many(keys.iter().map(|key| (key, &VALUE)), Expiry::Never).wait();
    assert!(stored.iter().all(Result::is_ok), "all are stored");
    let mut loads = vec![limit("limit: get, written by hand", "get", servers, keys)];
    let (ours, shared) = (client.clone(), keys.clone());
    loads.push(load("cache: Client", Role::Ours, move |_| {
        ours.get_many(&shared[..]).wait().iter().filter(|found| matches!(found, Ok(Some(_)))).count()
    }));
    let (ours, shared, on) = (client, keys.clone(), runtime.clone());
    loads.push(load("cache: Client, awaited", Role::Ours, move |_| {
        on.block_on(ours.get_many(&shared[..])).iter().filter(|found| matches!(found, Ok(Some(_)))).count()
    }));
    loads.extend(peers(servers, keys, &runtime));
    loads
}

fn load(name: &'static str, role: Role, ask: impl Fn(()) -> usize + 'static) -> Load {
    Load { name, role, run: Box::new(move |count, time| again(count, time, || ask(()))) }
}

fn patient(servers: &[Server]) -> Client {
    Client::from_url(&patient_url(servers)).expect("good settings")
}

fn patient_url(servers: &[Server]) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    format!("memcached://{}?io_timeout=10s&max_in_flight=200000", hosts.join(","))
}

fn peers(servers: &[Server], keys: &Arc<Vec<String>>, runtime: &Arc<Runtime>) -> Vec<Load> {
    let mut loads = Vec::new();
    let urls =
        servers.iter().map(|server| format!("memcache://127.0.0.1:{}?protocol=ascii&tcp_nodelay=true", server.port()));
    let ascii = memcache::Client::connect(urls.collect::<Vec<_>>()).expect("the servers are there");
    keys.iter().for_each(|key| ascii.set(key, &VALUE[..], 0).expect("stored"));
    let shared = keys.clone();
    loads.push(load("memcache Client, ascii", Role::Peer, move |_| {
        let keys: Vec<&str> = shared.iter().map(String::as_str).collect();
        let found: HashMap<String, Vec<u8>> = ascii.gets(&keys).expect("an answer");
        found.len()
    }));
    // More than this makes these wait for a server that waits for them, until they give up.
    if keys.len() <= ROUND {
        let addresses: Vec<(&str, u16)> = servers.iter().map(|server| ("127.0.0.1", server.port())).collect();
        let exp = Memcache::connect(&addresses[..]).expect("the servers are there");
        let shared = keys.clone();
        exp.set_many(shared.iter().map(|key| (key, &VALUE[..])), Ttl::NEVER).expect("stored");
        loads.push(load("memcache exp::Memcache", Role::Peer, move |_| {
            let found: HashMap<&String, Vec<u8>> = exp.get_many(shared.iter()).expect("an answer");
            found.len()
        }));
        let exp = runtime.block_on(AsyncMemcache::connect(&addresses[..])).expect("the servers are there");
        let (shared, on) = (keys.clone(), runtime.clone());
        loads.push(load("memcache exp::AsyncMemcache", Role::Peer, move |_| {
            let found: HashMap<&String, Vec<u8>> = on.block_on(exp.get_many(shared.iter())).expect("an answer");
            found.len()
        }));
    }
    // These know one node.
    if let [server] = servers {
        let address = format!("tcp://127.0.0.1:{}", server.port());
        let client = runtime.block_on(async_memcached::Client::new(address)).expect("the server is there");
        let (client, shared, on) = (std::cell::RefCell::new(client), keys.clone(), runtime.clone());
        loads.push(load("async-memcached", Role::Peer, move |_| {
            use async_memcached::AsciiProtocol;
            on.block_on(client.borrow_mut().get_multi(shared.iter())).expect("an answer").len()
        }));
        let stream = runtime.block_on(tokio::net::TcpStream::connect(("127.0.0.1", server.port())));
        let stream = stream.expect("the server is there");
        stream.set_nodelay(true).expect("an option of TCP");
        let client = memcache_async::ascii::Protocol::new(stream);
        let (client, shared, on) = (std::cell::RefCell::new(client), keys.clone(), runtime.clone());
        loads.push(load("memcache-async", Role::Peer, move |_| {
            on.block_on(client.borrow_mut().get_multi(&shared[..])).expect("an answer").len()
        }));
    }
    loads
}

/// What a region reads: as many `mg` as there are keys.
fn far_records(servers: &[Server], keys: &Arc<Vec<String>>) -> Vec<Load> {
    let client = patient(servers);
    let stored = client.set_many(keys.iter().map(|key| (key, &VALUE)), Expiry::Never).wait();
    assert!(stored.iter().all(Result::is_ok), "all are stored");
    let far_keys: Arc<Vec<FarKey>> =
        Arc::new(keys.iter().map(|key| FarKey::new(key.as_str()).expect("a key")).collect());
    let read = |keys: &[FarKey], with: &dyn Fn(&Read<'_>) -> usize| {
        with(&Read { keys, scopes: &[], lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never })
    };
    let (blocking, awaited, runtime) =
        (ours::backend(&patient_url(servers)), ours::backend(&patient_url(servers)), runtime());
    let shared = far_keys.clone();
    vec![
        limit("limit: mg, written by hand", "mg", servers, keys),
        load("cache: records", Role::Ours, move |_| {
            read(&shared, &|read| {
                BytesBackend::read(&blocking, read)
                    .iter()
                    .filter(|seen| matches!(seen, Ok(seen) if seen.record.is_some()))
                    .count()
            })
        }),
        load("cache: records, awaited", Role::Ours, move |_| {
            read(&far_keys, &|read| {
                let seen = runtime.block_on(AsyncBytesBackend::read(&awaited, read));
                seen.iter().filter(|seen| matches!(seen, Ok(seen) if seen.record.is_some())).count()
            })
        }),
    ]
}

/// Through a region: the same, with the generations, and each value checked, decoded and counted.
fn of_region(region: &'static Region, servers: &[Server], keys: &Arc<Vec<String>>) -> Vec<Load> {
    let count = keys.len();
    let rows = |ids: Vec<usize>| Ok::<_, Infallible>(ids.into_iter().map(|id| (id, "x".repeat(VALUE.len()))));
    let blocking = move || {
        let Ok(found) = region.get_or_create_multi("many", 0..count, rows);
        found.len()
    };
    let runtime = runtime();
    let awaited = move || {
        let load = |ids| std::future::ready(rows(ids));
        let Ok(found) = runtime.block_on(region.get_or_create_multi_async("many", 0..count, load));
        found.len()
    };
    assert_eq!((blocking(), awaited()), (count, count), "all are stored now");
    let loads = move || region.stats().expect("it is configured").total.loads;
    let before = loads();
    let hits = move |found: usize| {
        assert_eq!(loads(), before, "hits only");
        found
    };
    vec![
        limit("limit: mg, written by hand", "mg", servers, keys),
        load("cache: get_or_create_multi", Role::Ours, move |_| hits(blocking())),
        load("cache: get_or_create_multi, awaited", Role::Ours, move |_| hits(awaited())),
    ]
}

/// A thousand keys at once: written to each node, then read from each, into a buffer that is used again.
fn limit(name: &'static str, verb: &'static str, servers: &[Server], keys: &Arc<Vec<String>>) -> Load {
    let connect = |server: &Server| TcpStream::connect(("127.0.0.1", server.port())).expect("the server is there");
    let streams: Vec<TcpStream> = servers.iter().map(connect).collect();
    streams.iter().for_each(|stream| stream.set_nodelay(true).expect("an option of TCP"));
    // Its keys are its own, dealt out in turn within each round.
    let keys: Vec<String> = keys.iter().map(|key| format!("limit:{}", &key[7..])).collect();
    for (n, key) in keys.chunks(ROUND).flat_map(|round| round.iter().enumerate()) {
        let (mut stream, mut reply) = (&streams[n % streams.len()], [0; 8]);
        write!(stream, "set {key} 0 0 100\r\n{}\r\n", "x".repeat(100)).expect("the server listens");
        stream.read_exact(&mut reply).expect("the server answers");
    }
    // What is sent to each node in each round, and how long the answer is.
    let rounds: Vec<Vec<(String, usize)>> = keys
        .chunks(ROUND)
        .map(|round| {
            (0..streams.len())
                .map(|node| {
                    let own = round.iter().skip(node).step_by(streams.len());
                    let mut request = String::new();
                    let mut reply = 0;
                    if verb == "get" {
                        request.push_str("get");
                        for key in own {
                            write!(request, " {key}").expect("text can be written");
                            reply += "VALUE  0 100\r\n\r\n".len() + key.len() + 100;
                        }
                        request.push_str("\r\n");
                        reply += "END\r\n".len();
                    } else {
                        for key in own {
                            write!(request, "mg {key} v\r\n").expect("text can be written");
                            reply += "VA 100\r\n\r\n".len() + 100;
                        }
                    }
                    (request, reply)
                })
                .collect()
        })
        .collect();
    let count = keys.len();
    let run = move |_| {
        let mut buffer = vec![0; 64 << 10];
        for round in &rounds {
            for (mut stream, (request, _)) in streams.iter().zip(round) {
                stream.write_all(request.as_bytes()).expect("the server listens");
            }
            for (mut stream, (_, reply)) in streams.iter().zip(round) {
                let mut left = *reply;
                while left > 0 {
                    left -= stream.read(&mut buffer).expect("the server answers");
                }
            }
        }
        count
    };
    load(name, Role::Limit, run)
}
