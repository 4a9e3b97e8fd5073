//! A storm by several processes that share a memcached: this program starts itself again, and tells each of them the keys.

use std::cell::RefCell;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use memcached_server::Server;

use super::{Answers, Storm, ours, peers, storm_of_threads};
use crate::harness::Role;

const PROCESSES: usize = 4;
/// Tells a process that it is one of several: the client that it asks by, and the server's port.
const ORDER: &str = "BENCH_STORM";

pub fn storms() -> Vec<Storm> {
    let server = Rc::new(Server::start(&["-t", "1", "-m", "64"]));
    let storm = |name, role, client: &str| {
        let (server, processes) = (server.clone(), RefCell::new(Process::several(client, server.port())));
        let run = move |key, callers| {
            let _lives = &server;
            storm_of_processes(&mut processes.borrow_mut(), key, callers)
        };
        Storm { name, role, run: Box::new(run) }
    };
    vec![storm("cache #[cached], far", Role::Ours, "cache"), storm("memcache exp fetch", Role::Peer, "memcache")]
}

/// Told to all at once; each answers with a line of its own.
fn storm_of_processes(processes: &mut [Process], key: u64, callers: usize) -> Answers {
    for process in &mut *processes {
        writeln!(process.orders, "{key} {}", callers / PROCESSES).expect("the process reads its orders");
    }
    let (mut loads, mut waited) = (0, Vec::new());
    for process in processes {
        let mut line = String::new();
        process.answers.read_line(&mut line).expect("the process answers");
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().expect("a number"));
        loads += numbers.next().expect("loads come first");
        waited.extend(numbers.map(Duration::from_nanos));
    }
    assert_eq!(waited.len(), callers, "a process failed");
    Answers { loads, waited }
}

struct Process {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn several(client: &str, port: u16) -> Vec<Process> {
        let program = env::current_exe().expect("a program knows where it is");
        let start = |_| {
            let mut command = Command::new(&program);
            let command = command.env(ORDER, format!("{client} {port}")).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("this program starts again");
            let (orders, answers) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
            Process { child, orders, answers: BufReader::new(answers) }
        };
        (0..PROCESSES).map(start).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this process is one of several. Then it did all it was told to.
pub fn is_child() -> bool {
    let Ok(order) = env::var(ORDER) else { return false };
    let (client, port) = order.split_once(' ').expect("client and port");
    let port = port.parse().expect("a number");
    if client == "cache" {
        answer(&ours::far(&format!("memcached://127.0.0.1:{port}")));
    } else {
        answer(&peers::far(port));
    }
    true
}

fn answer(call: &(impl Fn(u64) -> u64 + Sync)) {
    for order in io::stdin().lines() {
        let order = order.expect("text");
        let (key, callers) = order.split_once(' ').expect("key and callers");
        let (key, callers) = (key.parse().expect("a number"), callers.parse().expect("a number"));
        let Answers { loads, waited } = storm_of_threads(key, callers, call);
        let waited: Vec<String> = waited.iter().map(|waited| waited.as_nanos().to_string()).collect();
        println!("{loads} {}", waited.join(" "));
    }
}
