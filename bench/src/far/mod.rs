//! What a memcached server costs its callers, over each client's shortest way to a value.

pub mod latency;
mod limits;
mod loads;
pub mod multi;
mod ours;
mod peers;
pub mod region;
mod through;
pub mod throughput;

use core_affinity::CoreId;
use memcached_server::Server;

/// Where client and server run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Both on one CPU: what counts is how much work there is.
    Together,
    /// Each on its own: what counts is how often one waits for the other to wake up.
    Apart,
}

impl Placement {
    fn told(self) -> &'static str {
        match self {
            Placement::Together => "one CPU",
            Placement::Apart => "two CPUs",
        }
    }
}

/// The CPUs that this process may use; asked for before a thread is pinned to one of them.
fn cpus() -> [CoreId; 2] {
    let cpus = core_affinity::get_core_ids().expect("this system tells its CPUs");
    [cpus[0], *cpus.get(1).expect("a second CPU")]
}

/// A server of one thread on the first CPU; the thread that calls is where it should be then, with all that it starts.
fn placed(placement: Placement, cpus: [CoreId; 2]) -> Server {
    pin(cpus[0]);
    let server = Server::start(&["-t", "1", "-m", "64"]);
    if placement == Placement::Apart {
        pin(cpus[1]);
    }
    server
}

fn pin(cpu: CoreId) {
    assert!(core_affinity::set_for_current(cpu), "this system lets a thread be pinned to a CPU");
}

/// Puts `value` there as any client would, with no flags.
fn put(server: &Server, key: &str, value: &[u8]) {
    let value = std::str::from_utf8(value).expect("the values are text");
    assert_eq!(server.say(&format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())), "STORED\r\n");
}
