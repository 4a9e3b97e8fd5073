//! Family `far-throughput`: many callers ask for values that are there, each again as soon as it has its answer.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cache_core::backend::{AsyncBytesBackend, BytesBackend};
use memcache::exp::{AsyncMemcache, Memcache};
use memcached_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::ours::{self, Lookup};
use super::put;
use crate::harness::{Better, Effort, Record, Role, tell};

const KEYS: usize = 1000;

/// A client, and what it answers in a time.
struct Load {
    name: &'static str,
    role: Role,
    /// With so many callers for so long: how many answers came.
    run: Box<dyn Fn(usize, Duration) -> u64>,
}

pub fn run(effort: Effort) -> Vec<Record> {
    let server = Server::start(&["-t", "1", "-m", "256"]);
    let mut records = Vec::new();
    for (size, told) in [(100, "100 B"), (4 << 10, "4 KiB"), (64 << 10, "64 KiB")] {
        (0..KEYS).for_each(|n| put(&server, &key(n), &vec![b'x'; size]));
        for tasks in [1, 8, 64, 256, 512] {
            records.extend(measure(&format!("{told}, {tasks} tasks"), tasks, tasks_of(&server, size), effort));
        }
        for threads in [2, 16, 64] {
            records.extend(measure(&format!("{told}, {threads} threads"), threads, threads_of(&server, size), effort));
        }
    }
    records
}

fn key(n: usize) -> String {
    format!("images:{n:040}")
}

/// Answers per second, and the microseconds of this process' CPUs for each.
fn measure(case: &str, callers: usize, loads: Vec<Load>, effort: Effort) -> Vec<Record> {
    let (rounds, time) =
        if effort == Effort::Full { (15, Duration::from_millis(200)) } else { (3, Duration::from_millis(50)) };
    let mut rates = vec![Vec::new(); loads.len()];
    let mut costs = vec![Vec::new(); loads.len()];
    for _ in 0..rounds {
        for ((load, rates), costs) in loads.iter().zip(&mut rates).zip(&mut costs) {
            let (cpu, start) = (cpu_time(), Instant::now());
            let answers = (load.run)(callers, time).max(1) as f64;
            rates.push(answers / start.elapsed().as_secs_f64() / 1000.0);
            costs.push((cpu_time() - cpu).as_secs_f64() * 1e6 / answers);
        }
    }
    let mut records = Vec::new();
    for (what, unit, figures, better) in
        [("answers", "k/s", rates, Better::More), ("client CPU per answer", "us", costs, Better::Less)]
    {
        let rows = loads.iter().zip(figures).map(|(load, mut figures)| {
            figures.sort_by(f64::total_cmp);
            let best = if better == Better::More { figures[figures.len() - 1] } else { figures[0] };
            (load.name.to_owned(), load.role, figures[figures.len() / 2], best)
        });
        records.extend(tell("far-throughput", &format!("{case}, {what}"), unit, rows.collect(), better));
    }
    records
}

/// What this process has used, in steps of the kernel's tick.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells it");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    // User and system time, the twelfth and thirteenth behind the name, in hundredths of a second.
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// Tasks of one runtime that ask one key after the other, until the time is over.
fn tasks<A, F>(runtime: &Runtime, callers: usize, time: Duration, ask: A) -> u64
where
    A: Fn(usize) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let (ended, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    runtime.block_on(async {
        let all: Vec<_> = (0..callers)
            .map(|caller| {
                let (ended, answers, ask) = (ended.clone(), answers.clone(), ask.clone());
                tokio::spawn(async move {
                    let mut count = 0;
                    while !ended.load(Ordering::Relaxed) {
                        ask((caller * 7919 + count * 31) % KEYS).await;
                        count += 1;
                    }
                    answers.fetch_add(count as u64, Ordering::Relaxed);
                })
            })
            .collect();
        tokio::time::sleep(time).await;
        ended.store(true, Ordering::Relaxed);
        for one in all {
            one.await.expect("no task fails");
        }
    });
    answers.load(Ordering::Relaxed)
}

fn tasks_of(server: &Server, size: usize) -> Vec<Load> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = Arc::new(runtime.expect("a runtime"));
    let address = format!("127.0.0.1:{}", server.port());
    let load = |name, role, run| Load { name, role, run };
    let (limit_runtime, limit_address) = (runtime.clone(), address.clone());
    let limit = move |callers: usize, time| limit_runtime.block_on(pipelined(&limit_address, callers, size, time));
    let (ours, lookups) =
        (ours::client(server), Arc::new((0..KEYS).map(|n| Lookup::bare(&key(n))).collect::<Vec<_>>()));
    let our_runtime = runtime.clone();
    let cache = move |callers, time| {
        let (client, lookups) = (ours.clone(), lookups.clone());
        tasks(&our_runtime, callers, time, move |n| {
            let (client, lookups) = (client.clone(), lookups.clone());
            async move {
                let seen = AsyncBytesBackend::read(&client, &lookups[n].read()).await.remove(0).expect("an answer");
                assert_eq!(seen.record.expect("a value").len(), size);
            }
        })
    };
    let exp = runtime.block_on(AsyncMemcache::connect([("127.0.0.1", server.port())])).expect("the server is there");
    let (exp, exp_runtime) = (Arc::new(exp), runtime.clone());
    let exp = move |callers, time| {
        let exp = exp.clone();
        tasks(&exp_runtime, callers, time, move |n| {
            let exp = exp.clone();
            async move {
                let value: Option<Vec<u8>> = exp.get(key(n)).await.expect("an answer");
                assert_eq!(value.expect("a value").len(), size);
            }
        })
    };
    let pool = |connections: usize| {
        let (runtime, address) = (runtime.clone(), address.clone());
        let connect = async_memcached::Client::new(format!("tcp://{address}"));
        let first = runtime.block_on(connect).expect("the server is there");
        let mut clients = vec![first];
        while clients.len() < connections {
            let connect = async_memcached::Client::new(format!("tcp://{address}"));
            clients.push(runtime.block_on(connect).expect("the server is there"));
        }
        let pool = Arc::new((Semaphore::new(connections), Mutex::new(clients)));
        move |callers, time| {
            let pool = pool.clone();
            tasks(&runtime, callers, time, move |n| {
                let pool = pool.clone();
                async move {
                    use async_memcached::AsciiProtocol;
                    let _place = pool.0.acquire().await.expect("it is never closed");
                    let taken = pool.1.lock().expect("nobody panics").pop();
                    let mut client = taken.expect("as many as places");
                    let value = client.get(key(n)).await.expect("an answer");
                    assert_eq!(value.and_then(|value| value.data).expect("a value").len(), size);
                    pool.1.lock().expect("nobody panics").push(client);
                }
            })
        }
    };
    vec![
        load("limit: one connection, written by hand", Role::Limit, Box::new(limit)),
        load("cache: a record", Role::Ours, Box::new(cache)),
        load("memcache exp::AsyncMemcache", Role::Peer, Box::new(exp)),
        load("async-memcached, pool of 8", Role::Peer, Box::new(pool(8))),
        load("async-memcached, pool of 64", Role::Peer, Box::new(pool(64))),
    ]
}

/// As many requests in one write as there would be callers, all replies in a buffer that is used again, and anew.
async fn pipelined(address: &str, callers: usize, size: usize, time: Duration) -> u64 {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the server is there");
    stream.set_nodelay(true).expect("an option of TCP");
    let requests: String = (0..callers).map(|n| format!("mg {} v\r\n", key(n % KEYS))).collect();
    let reply = "VA \r\n\r\n".len() + size.to_string().len() + size;
    let mut buffer = vec![0; 256 << 10];
    let (start, mut answers) = (Instant::now(), 0);
    while start.elapsed() < time {
        stream.write_all(requests.as_bytes()).await.expect("the server listens");
        let mut left = reply * callers;
        while left > 0 {
            left -= stream.read(&mut buffer).await.expect("the server answers");
        }
        answers += callers as u64;
    }
    answers
}

/// Threads that ask one key after the other, until the time is over.
fn threads(callers: usize, time: Duration, ask: impl Fn(usize) + Sync) -> u64 {
    let (ended, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for caller in 0..callers {
            let (ended, answers, ask) = (&ended, &answers, &ask);
            scope.spawn(move || {
                let mut count = 0;
                while !ended.load(Ordering::Relaxed) {
                    ask((caller * 7919 + count * 31) % KEYS);
                    count += 1;
                }
                answers.fetch_add(count as u64, Ordering::Relaxed);
            });
        }
        thread::sleep(time);
        ended.store(true, Ordering::Relaxed);
    });
    answers.load(Ordering::Relaxed)
}

fn threads_of(server: &Server, size: usize) -> Vec<Load> {
    let (ours, lookups) = (ours::client(server), (0..KEYS).map(|n| Lookup::bare(&key(n))).collect::<Vec<_>>());
    let cache = move |callers, time| {
        threads(callers, time, |n| {
            let seen = BytesBackend::read(&ours, &lookups[n].read()).remove(0).expect("an answer");
            assert_eq!(seen.record.expect("a value").len(), size);
        })
    };
    let ascii = memcache::Client::builder()
        .add_server(format!("memcache://127.0.0.1:{}?protocol=ascii&tcp_nodelay=true", server.port()))
        .and_then(|builder| builder.with_max_pool_size(8).build())
        .expect("the server is there");
    let ascii = move |callers, time| {
        threads(callers, time, |n| {
            let value: Option<Vec<u8>> = ascii.get(&key(n)).expect("an answer");
            assert_eq!(value.expect("a value").len(), size);
        })
    };
    let exp = Memcache::connect([("127.0.0.1", server.port())]).expect("the server is there");
    let exp = move |callers, time| {
        threads(callers, time, |n| {
            let value: Option<Vec<u8>> = exp.get(key(n)).expect("an answer");
            assert_eq!(value.expect("a value").len(), size);
        })
    };
    vec![
        Load { name: "cache: a record", role: Role::Ours, run: Box::new(cache) },
        Load { name: "memcache Client, ascii, pool of 8", role: Role::Peer, run: Box::new(ascii) },
        Load { name: "memcache exp::Memcache", role: Role::Peer, run: Box::new(exp) },
    ]
}
