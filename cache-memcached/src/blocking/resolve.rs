//! Names to addresses, in the time that a caller has.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The addresses of `host`, asked of the system. Its resolver cannot be told when to end, and may take half a minute where
/// no name server answers: a thread asks it, and is left to itself when the time is over.
///
/// # Errors
///
/// What the resolver said; of kind [`TimedOut`](io::ErrorKind::TimedOut) if it said nothing within that time.
pub(super) fn resolve(host: &str, port: u16, within: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    answer_of(within, move || Ok((name.as_str(), port).to_socket_addrs()?.collect()))
}

/// What another thread makes of this, if it takes no longer.
fn answer_of<T: Send + 'static>(
    within: Duration,
    ask: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = mpsc::sync_channel(1);
    let asked = move || {
        // Whoever asked may have gone.
        let _ = tell.send(ask());
    };
    thread::Builder::new().name("cache-resolve".to_owned()).spawn(asked)?;
    told.recv_timeout(within).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn numbers_are_addresses_and_names_are_asked_for() {
        assert_eq!(resolve("127.0.0.1", 1, Duration::ZERO).unwrap(), ["127.0.0.1:1".parse().unwrap()]);
        assert_eq!(resolve("::1", 1, Duration::ZERO).unwrap(), ["[::1]:1".parse().unwrap()]);
        assert!(resolve("localhost", 1, LONG).unwrap().iter().all(|address| address.ip().is_loopback()));
        assert!(resolve("no such host", 1, LONG).is_err());
    }

    #[test]
    fn a_resolver_that_says_nothing_is_left_in_time() {
        let (end, ended) = mpsc::channel::<()>();
        let error = answer_of(Duration::from_millis(1), move || {
            // For as long as the test lasts.
            let _ = ended.recv();
            Ok(())
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(end);
    }
}
