//! A write that is carried out after its client has given up, behind an invalidation that came after it: an unfenced one
//! brings the old value back, a fenced one does not (rule R3).

use std::thread;
use std::time::Duration;

use cache_core::backend::{BytesBackend, Fill, Invalidated, Lease, Read, Recall, Strength};
use cache_core::clock::Clock;
use cache_core::error::Result;
use cache_core::key::FarKey;

use memcached_server::Server;

use super::{IO_TIMEOUT, brisk, config, region};
use crate::{Client, Config, Expiry, Memcached};

const RUNS: usize = 12;
const OLD: &[u8] = b"a value that was loaded before the invalidation";

/// A client that gives up soon, and one that waits.
fn clients(server: &Server) -> [Memcached; 2] {
    let hasty = Config { pool_size: 1, ..brisk(&[server.port()]) };
    let patient = Config { io_timeout: Duration::from_secs(20), ..config(&[server.port()]) };
    [hasty, patient].map(|config| Memcached::of_another_process(config, Clock::System).unwrap())
}

/// The answer of a client that gives up soon, while the server runs: what makes it late is this machine, so it is asked again.
fn in_time<T>(ask: impl Fn() -> Result<T>) -> T {
    (0..20).find_map(|_| ask().ok()).expect("a server that runs answers once in twenty times")
}

/// While the server stands still, `write` is sent and given up, and `invalidate` is sent behind it. What `is_back` tells
/// once the invalidation has its answer.
fn raced(
    server: &Server,
    write: impl FnOnce(),
    invalidate: impl FnOnce() + Send,
    is_back: impl FnOnce() -> bool,
) -> bool {
    server.pause();
    write();
    thread::scope(|scope| {
        let invalidating = scope.spawn(invalidate);
        // Until its bytes are in the server's socket.
        thread::sleep(IO_TIMEOUT / 4);
        server.resume();
        invalidating.join().unwrap();
    });
    // The late write has been carried out by then, if it ever is.
    thread::sleep(IO_TIMEOUT / 4);
    is_back()
}

#[test]
fn a_late_write_without_a_fence_undoes_an_invalidation() {
    let server = Server::start(&[]);
    let mut undone = 0;
    // Which of its threads is the first to go on is the server's luck: in research and here more than half the time.
    for run in 0..RUNS * 4 {
        let [hasty, patient] = clients(&server).map(Client::over);
        let key = format!("plain:{run}");
        assert!(
            in_time(|| hasty.get(&key).wait()).is_none() && patient.get(&key).wait().unwrap().is_none(),
            "connected"
        );
        let is_back = raced(
            &server,
            || assert!(hasty.set(&key, OLD, Expiry::Never).wait().is_err(), "it gives up"),
            || assert!(patient.delete(&key).wait().is_ok()),
            || patient.get(&key).wait().unwrap().is_some(),
        );
        undone += usize::from(is_back);
        if undone > 0 {
            return;
        }
    }
    panic!("an unfenced write came first in all of {} runs: this test shows nothing", RUNS * 4);
}

#[test]
fn a_late_fill_undoes_no_invalidation() {
    let server = Server::start(&[]);
    for run in 0..RUNS {
        let [hasty, patient] = clients(&server);
        let key = FarKey::new(format!("fenced:{run}")).unwrap();
        let keys = std::slice::from_ref(&key);
        let lookup = |lease| Read { keys, scopes: &[], lease, grace: Duration::ZERO, recall: Recall::Never };
        let read = |client: &Memcached, lease| BytesBackend::read(client, &lookup(lease)).remove(0);
        let token = in_time(|| read(&hasty, Lease::Claim(Duration::from_secs(30)))).token.unwrap();
        assert!(read(&patient, Lease::None).unwrap().record.is_none(), "connected");
        let fill = Fill { key: &key, record: OLD, token, keep: None, grace: Duration::ZERO };
        let is_back = raced(
            &server,
            || assert!(BytesBackend::fill(&hasty, &[fill], &[]).remove(0).is_err(), "it gives up"),
            || {
                let told = BytesBackend::invalidate(&patient, keys, Strength::Hard, &region()).remove(0);
                assert!(matches!(told, Invalidated::Done));
            },
            || read(&patient, Lease::None).unwrap().record.is_some(),
        );
        assert!(!is_back, "run {run}");
    }
}
