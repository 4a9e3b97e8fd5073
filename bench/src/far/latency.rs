//! Family `far-latency`: one caller asks for one value that is there, again and again.

use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use memcached_server::Server;
use tokio::runtime::Runtime;

use super::{Placement, cpus, limits, ours, peers, placed, put};
use crate::harness::{Better, Effort, Record, Role, tell};

const KEY: &str = "images:3f786850e387550fdab836ed7e6dc881de23001b";

pub fn run(effort: Effort) -> Vec<Record> {
    let sizes = [(100, "100 B"), (4 << 10, "4 KiB"), (64 << 10, "64 KiB")];
    let cpus = cpus();
    let mut records = Vec::new();
    for placement in [Placement::Together, Placement::Apart] {
        for (size, told) in sizes {
            let server = placed(placement, cpus);
            put(&server, KEY, &vec![b'x'; size]);
            for (face, subjects) in [("blocking", blocking as Subjects), ("async", awaiting as Subjects)] {
                let subjects = subjects(&server, KEY, size);
                records.extend(measure(
                    "far-latency",
                    &format!("{told}, {}, {face}", placement.told()),
                    subjects,
                    effort,
                ));
            }
        }
    }
    records
}

type Subjects = fn(&Server, &'static str, usize) -> Vec<Subject>;

/// A client, and how it is asked.
pub struct Subject {
    name: &'static str,
    role: Role,
    /// Asks so many times and tells how many nanoseconds each took.
    sample: Box<dyn FnMut(usize) -> Vec<f64>>,
}

fn blocking(server: &Server, key: &'static str, size: usize) -> Vec<Subject> {
    let mut subjects = limits::blocking(server, key, size);
    subjects.extend(ours::blocking(server, key, size));
    subjects.extend(peers::blocking(server, key, size));
    subjects
}

fn awaiting(server: &Server, key: &'static str, size: usize) -> Vec<Subject> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let runtime = Rc::new(runtime);
    let mut subjects = limits::awaiting(&runtime, server, key, size);
    subjects.extend(ours::awaiting(&runtime, server, key, size));
    subjects.extend(peers::awaiting(&runtime, server, key, size));
    subjects
}

/// A client whose callers block. `ask` returns how long the value was.
pub fn calls(name: &'static str, role: Role, size: usize, mut ask: impl FnMut() -> usize + 'static) -> Subject {
    let sample = move |count| {
        let one = |_| {
            let start = Instant::now();
            let length = ask();
            let took = start.elapsed();
            assert_eq!(length, size, "{name}");
            took.as_nanos() as f64
        };
        (0..count).map(one).collect()
    };
    Subject { name, role, sample: Box::new(sample) }
}

/// A client whose callers await. All of a sample run in one task, as a service's would.
pub fn futures(
    name: &'static str,
    role: Role,
    size: usize,
    runtime: &Rc<Runtime>,
    mut ask: impl AsyncFnMut() -> usize + 'static,
) -> Subject {
    let runtime = runtime.clone();
    let sample = move |count| {
        runtime.block_on(async {
            let mut nanos = Vec::with_capacity(count);
            for _ in 0..count {
                let start = Instant::now();
                let length = ask().await;
                let took = start.elapsed();
                assert_eq!(length, size, "{name}");
                nanos.push(took.as_nanos() as f64);
            }
            nanos
        })
    };
    Subject { name, role, sample: Box::new(sample) }
}

/// Runs a future that sets a client up.
pub fn set_up<T>(runtime: &Runtime, setting_up: impl Future<Output = T>) -> T {
    runtime.block_on(setting_up)
}

/// The subjects in interleaved rounds: the median over the rounds of each round's median, and of its 99th percentile.
pub fn measure(family: &'static str, case: &str, mut subjects: Vec<Subject>, effort: Effort) -> Vec<Record> {
    let (rounds, calls) = if effort == Effort::Full { (17, 1500) } else { (5, 200) };
    let mut halves = vec![Vec::new(); subjects.len()];
    let mut tails = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for ((subject, halves), tails) in subjects.iter_mut().zip(&mut halves).zip(&mut tails) {
            (subject.sample)(calls / 10);
            let mut nanos = (subject.sample)(calls);
            nanos.sort_by(f64::total_cmp);
            halves.push(nanos[calls / 2] / 1000.0);
            tails.push(nanos[calls * 99 / 100] / 1000.0);
        }
    }
    let mut records = Vec::new();
    for (what, figures) in [("p50", halves), ("p99", tails)] {
        let rows = subjects.iter().zip(figures).map(|(subject, mut figures)| {
            figures.sort_by(f64::total_cmp);
            (subject.name.to_owned(), subject.role, figures[figures.len() / 2], figures[0])
        });
        records.extend(tell(family, &format!("{case}, {what}"), "us", rows.collect(), Better::Less));
    }
    records
}
