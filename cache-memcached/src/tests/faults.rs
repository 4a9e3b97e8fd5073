//! What networks do to replies: the right value or an error, in time, and the next call finds its way.

use std::time::{Duration, Instant};

use cache_core::backend::{BytesBackend, Claim, FillOutcome, Seen};
use cache_core::clock::Clock;
use cache_core::error::Result;
use cache_core::key::FarKey;
use cache_core::testkit::{Fault, Proxy};

use memcached_server::Server;

use super::face::Face;
use super::{BESIDE, BLACKLIST, IO_TIMEOUT, brisk};
use crate::{Config, Memcached};

const RECORD: &[u8] = b"a record that holds EN, HD and\r\nMN\r\n as values may";

pub(super) fn client(proxy: &Proxy, io_timeout: Duration) -> Memcached {
    let config = Config { blacklist: BLACKLIST, io_timeout, ..brisk(&[proxy.port()]) };
    Memcached::of_another_process(config, Clock::System).unwrap()
}

pub(super) fn key(name: &str) -> FarKey {
    FarKey::new(format!("faults:{name}")).unwrap()
}

/// What comes of it; notes how long that took, if nothing took longer.
fn timed<T>(longest: &mut Duration, ask: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let outcome = ask();
    *longest = began.elapsed().max(*longest);
    outcome
}

/// Reads until the node, which works again, is asked again.
pub(super) fn healed(face: &Face, key: &FarKey, what: &str) -> Seen {
    until_answered(what, || face.read(key))
}

/// Asks until the node, which works again, is asked again and this machine is in time.
pub(super) fn until_answered<T>(what: &str, mut ask: impl FnMut() -> Result<T>) -> T {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(10), "{what}: {error}"),
        }
        std::thread::sleep(BLACKLIST / 4);
    }
}

fn faults() -> Vec<Fault> {
    let mut faults: Vec<Fault> = (0..200).map(Fault::Cut).collect();
    faults.extend((0..200).step_by(7).map(Fault::Reset));
    faults.extend([
        Fault::Delay(IO_TIMEOUT / 5),
        Fault::Delay(IO_TIMEOUT * 2),
        Fault::BlackHole,
        Fault::Dribble,
        Fault::Late,
        Fault::Unasked(b"ERROR Too many open connections\r\n".to_vec()),
        Fault::Unasked(b"EN\r\n".to_vec()),
        Fault::Unasked(b"VA 3 O1 c1\r\nabc\r\n".to_vec()),
    ]);
    faults
}

fn withstands(face: &Face, proxy: &Proxy) {
    let kept = key("kept");
    let token = face.read(&kept).unwrap().token.unwrap();
    assert!(matches!(face.fill(&kept, token, RECORD).unwrap().outcome, FillOutcome::Stored(_)));
    for (n, fault) in faults().into_iter().enumerate() {
        // Tried again where it is this machine that was late.
        let meets = |attempt| meets(face, proxy, &fault, &kept, &key(&format!("filled:{n}:{attempt}")));
        let took: Vec<Duration> = (0..3).map(meets).take_while(|took| *took >= IO_TIMEOUT + BESIDE).collect();
        assert!(took.len() < 3, "{fault:?}: {took:?}");
    }
}

/// Reads one key and fills another under this fault: how long it took at most.
fn meets(face: &Face, proxy: &Proxy, fault: &Fault, kept: &FarKey, filled: &FarKey) -> Duration {
    let (what, mut longest) = (format!("{fault:?}"), Duration::ZERO);
    proxy.set(fault.clone());
    for _ in 0..2 {
        if let Ok(seen) = timed(&mut longest, || face.read(kept)) {
            assert_eq!(seen.record.as_deref(), Some(RECORD), "{what}");
        }
    }
    proxy.set(Fault::None);
    assert_eq!(healed(face, kept, &what).record.as_deref(), Some(RECORD), "{what}, and after it");

    // A fill of which nobody knows what became: it is there as a whole, or it is not there.
    let token = healed(face, filled, &what).token.unwrap();
    proxy.set(fault.clone());
    let outcome = timed(&mut longest, || face.fill(filled, token, RECORD));
    proxy.set(Fault::None);
    proxy.cut_all();
    let seen = healed(face, filled, &what);
    assert!(seen.record.is_none() || seen.record.as_deref() == Some(RECORD), "{what}");
    if outcome.is_ok_and(|filled| matches!(filled.outcome, FillOutcome::Stored(_))) {
        assert_eq!((seen.record.as_deref(), seen.claim), (Some(RECORD), Claim::Nobody), "{what}");
    }
    longest
}

#[test]
fn a_blocking_caller_gets_the_right_value_or_an_error_whatever_comes() {
    let server = Server::start(&[]);
    let proxy = Proxy::before(("127.0.0.1", server.port())).unwrap();
    let client = client(&proxy, IO_TIMEOUT);
    withstands(&Face::Waiting(client.clone()), &proxy);
    let stats = BytesBackend::nodes(&client).remove(0);
    assert!(stats.count("failures") > Some(100) && stats.count("timeouts") > Some(2), "{stats:?}");
}

#[test]
fn a_connection_that_is_reset_is_told_as_one() {
    let server = Server::start(&[]);
    let proxy = Proxy::before(("127.0.0.1", server.port())).unwrap();
    let face = Face::Waiting(client(&proxy, IO_TIMEOUT));
    proxy.set(Fault::Reset(3));
    let error = face.read(&key("reset")).unwrap_err().to_string();
    assert!(error.contains("reset") || error.contains("middle of a reply"), "{error}");
    proxy.set(Fault::Reset(0));
    let error = face.read(&key("reset")).unwrap_err().to_string();
    assert!(error.contains("reset by peer"), "{error}");
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_gets_the_right_value_or_an_error_whatever_comes() {
    let server = Server::start(&[]);
    let proxy = Proxy::before(("127.0.0.1", server.port())).unwrap();
    let client = client(&proxy, IO_TIMEOUT);
    withstands(&Face::awaiting(client.clone()), &proxy);
    let stats = BytesBackend::nodes(&client).remove(0);
    assert!(stats.count("failures") > Some(100) && stats.count("timeouts") > Some(2), "{stats:?}");
}
