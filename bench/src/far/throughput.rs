//! Family `far-throughput`: many callers, each of which asks again as soon as it has its answer.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memcached_server::Server;
use tokio::runtime::Runtime;

use super::{loads, put, through};
use crate::harness::{Better, Effort, Record, Role, tell};

pub const KEYS: usize = 1000;
const TASKS: [usize; 6] = [1, 8, 64, 256, 512, 1024];
const THREADS: [usize; 3] = [2, 16, 64];

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// For a value that is there.
    Get,
    Set,
}

/// A client, and what it answers in a time.
pub struct Load {
    pub name: &'static str,
    pub role: Role,
    /// With so many callers for so long: how many answers came.
    pub run: Box<dyn Fn(usize, Duration) -> u64>,
}

pub fn run(effort: Effort) -> Vec<Record> {
    // Some peers open a connection for each caller, and a server takes 1024 unless it is told otherwise.
    let server = Server::start(&["-t", "1", "-m", "256", "-c", "4096"]);
    let mut records = Vec::new();
    for (size, told) in [(100, "100 B"), (4 << 10, "4 KiB"), (64 << 10, "64 KiB")] {
        (0..KEYS).for_each(|n| put(&server, &key(n), &vec![b'x'; size]));
        for act in [Act::Get, Act::Set] {
            let told = format!("{act:?} {told}").to_lowercase();
            for tasks in TASKS {
                let loads = loads::of_tasks(&server, act, size);
                records.extend(measure("far-throughput", &format!("{told}, {tasks} tasks"), tasks, loads, effort));
            }
            for threads in THREADS {
                let loads = loads::of_threads(&server, act, size);
                records.extend(measure(
                    "far-throughput",
                    &format!("{told}, {threads} threads"),
                    threads,
                    loads,
                    effort,
                ));
            }
        }
        for tasks in TASKS {
            let loads = through::of_tasks(&server, size);
            records.extend(measure(
                "far-throughput",
                &format!("{told}, {tasks} tasks, through the attribute"),
                tasks,
                loads,
                effort,
            ));
        }
        for threads in THREADS {
            let loads = through::of_threads(&server, size);
            records.extend(measure(
                "far-throughput",
                &format!("{told}, {threads} threads, through the attribute"),
                threads,
                loads,
                effort,
            ));
        }
    }
    records
}

pub fn key(n: usize) -> String {
    format!("images:{n:040}")
}

/// Answers per second, and the microseconds of this process' CPUs for each.
pub fn measure(family: &'static str, case: &str, callers: usize, loads: Vec<Load>, effort: Effort) -> Vec<Record> {
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
        records.extend(tell(family, &format!("{case}, {what}"), unit, rows.collect(), better));
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
pub fn tasks<A, F>(runtime: &Runtime, callers: usize, time: Duration, ask: A) -> u64
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

/// Threads that ask one key after the other, until the time is over.
pub fn threads(callers: usize, time: Duration, ask: impl Fn(usize) + Sync) -> u64 {
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
