//! Instructions of a hit, as callgrind counts them: this program starts itself again under valgrind and says what to ask.
//!
//! Each allocation of this build is counted, which is some ten instructions more for each one; near hits have none.

use std::env;
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};

use cache::{Settings, open_known_schemes, registry};

use super::hits::{FAR, NEAR, TTL, far, near, near_async};
use super::{NODES, servers, url};
use crate::harness::{Better, Effort, Record, Role, Row, Subject, tell};
use crate::hit;
use crate::load::{Pair, pairs};

/// Tells a process what it is to ask: one of the words below, and a number.
const ORDER: &str = "BENCH_COUNT";
/// How often it asks while it is counted.
const TIMES: usize = 1_000;
/// Where callgrind counts, in the name that the compiler gives to [`counted`].
const COUNTED: &str = "*12instructions7counted*";

pub fn run(effort: Effort) -> Vec<Record> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("\nno valgrind: instructions not counted");
        return Vec::new();
    }
    let mut records = Vec::new();
    // Each thread makes that one's map while it asks: it would be counted.
    let is_counted = |subject: &dyn Subject| subject.name() != hit::OWN_MAP;
    let subjects = hit::sync::<u64>(&[]).into_iter().enumerate().filter(|(_, subject)| is_counted(subject.as_ref()));
    let rows = subjects.map(|(place, subject)| row(subject.name(), subject.role(), "hit", place));
    let case = format!("instructions of a near hit, {} entries", hit::KEYS);
    records.extend(tell("cost", &case, "", rows.collect(), Better::Less));
    let sizes: &[usize] = if effort == Effort::Full { &[1_000, 100_000, 1_000_000] } else { &[1_000, 100_000] };
    for (what, word) in [("blocking", "near"), ("async", "async")] {
        let rows =
            sizes.iter().map(|count| row(&format!("cache: near, {what}, {count} entries"), Role::Ours, word, *count));
        let case = format!("instructions of a near hit, {what}, by entries");
        records.extend(tell("cost", &case, "", rows.collect(), Better::Less));
    }
    let rows =
        NODES.iter().map(|nodes| row(&format!("cache: far, blocking, {nodes} node(s)"), Role::Ours, "far", *nodes));
    records.extend(tell("cost", "instructions of a far hit, by nodes", "", rows.collect(), Better::Less));
    records
}

fn row(name: &str, role: Role, word: &str, number: usize) -> Row {
    let program = env::current_exe().expect("a program knows where it is");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--demangle=no"]);
    valgrind.arg(format!("--toggle-collect={COUNTED}")).arg(program).env(ORDER, format!("{word} {number}"));
    let output = valgrind.output().expect("it has told its version");
    let told = String::from_utf8_lossy(&output.stderr);
    let all = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<f64>().ok());
    let all = all.filter(|_| output.status.success()).unwrap_or_else(|| panic!("{word} {number}: {told}"));
    (name.to_owned(), role, all / TIMES as f64, all / TIMES as f64)
}

/// Whether this process is one that is counted. Then it did what it was told to.
pub fn is_child() -> bool {
    let Ok(order) = env::var(ORDER) else { return false };
    let (word, number) = order.split_once(' ').expect("a word and a number");
    let number: usize = number.parse().expect("a number");
    open_known_schemes(registry());
    match word {
        "hit" => {
            let keys = pairs(hit::KEYS);
            let subject = hit::sync::<u64>(keys).swap_remove(number);
            let all: Vec<u32> = (0..keys.len() as u32).collect();
            subject.ask(&all);
            counted(|| _ = subject.ask(&all[..TIMES]));
        }
        "near" => near_hits(number, |(id, name)| near(*id, name)),
        "async" => near_hits(number, |(id, name)| {
            // A hit, or a load that never waits, is there at the first poll.
            match pin!(near_async(*id, name)).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(value) => value,
                Poll::Pending => panic!("it waits"),
            }
        }),
        "far" => {
            let servers = servers(number);
            registry().configure(FAR.name(), Settings::new().ttl(TTL).far(url(&servers))).expect("good settings");
            asked(pairs(TIMES as u64), |(id, name)| far(*id, name));
        }
        other => panic!("{other}?"),
    }
    true
}

fn near_hits(entries: usize, call: impl Fn(&Pair) -> u64) {
    let near = Settings::new().ttl(TTL).near(format!("memory://?entries={}", 4 * entries));
    registry().configure(NEAR.name(), near).expect("good settings");
    asked(pairs(entries as u64), call);
}

/// All are loaded, some are asked for once more so that all is warm, and those are counted.
fn asked(keys: &[Pair], call: impl Fn(&Pair) -> u64) {
    let call = |key: &Pair| assert_eq!(call(key), key.0);
    let some = || keys.iter().step_by(keys.len() / TIMES).for_each(call);
    keys.iter().for_each(call);
    some();
    counted(some);
}

#[inline(never)]
fn counted(ask: impl FnOnce()) {
    ask();
}
