//! Real memcached servers for tests: started on free ports of this host, and ended with the value that holds them.
//!
//! Where the binary is missing, a test that needs it fails and says how to get it; none passes without its server.

#![allow(clippy::expect_used, clippy::panic)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to answer its first request.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running memcached.
#[derive(Debug)]
pub struct Server {
    port: u16,
    arguments: Vec<String>,
    child: Mutex<Child>,
}

/// When a server counts as started.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// It answers in text.
    Answer,
    /// It can be connected to.
    Connection,
}

impl Server {
    /// Starts a server with these arguments beside its port.
    ///
    /// # Panics
    ///
    /// If there is no memcached, or it does not start.
    pub fn start(arguments: &[&str]) -> Self {
        Self::started(arguments, Sign::Answer)
    }

    /// Starts one that answers no text, such as with `-B binary`.
    ///
    /// # Panics
    ///
    /// As [`start`](Server::start) does.
    pub fn start_mute(arguments: &[&str]) -> Self {
        Self::started(arguments, Sign::Connection)
    }

    fn started(arguments: &[&str], sign: Sign) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        // Another process may take the port between the look and the start.
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("this host has free ports");
            let port = listener.local_addr().expect("a bound listener has an address").port();
            drop(listener);
            if let Some(child) = spawned(port, &arguments, sign) {
                return Server { port, arguments, child: Mutex::new(child) };
            }
        }
        panic!("memcached {arguments:?} does not start on this host");
    }

    /// The port that it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a region that keeps its records there alone.
    pub fn url(&self) -> String {
        format!("memcached://127.0.0.1:{}", self.port)
    }

    /// Has it stand still: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Ends it at once.
    pub fn kill(&self) {
        let mut child = self.child();
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Ends it and starts it again on the same port, empty.
    ///
    /// # Panics
    ///
    /// If it does not start again.
    pub fn restart(&self) {
        self.kill();
        let child = (0..50).find_map(|_| spawned(self.port, &self.arguments, Sign::Answer));
        *self.child() = child.expect("memcached starts again on its port");
    }

    /// Sends these bytes on a connection of their own, and tells what comes back at first.
    ///
    /// # Panics
    ///
    /// If it cannot be reached.
    pub fn say(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server can be connected to");
        stream.write_all(bytes.as_bytes()).expect("the server takes requests");
        let mut reply = vec![0; 64 << 10];
        let count = stream.read(&mut reply).expect("the server answers");
        String::from_utf8_lossy(&reply[..count]).into_owned()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child().id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().expect("`kill` is there");
        assert!(status.success(), "kill {signal} {pid} failed");
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server, once it gives the sign; `None` if it ends first, as it does when the port is taken.
fn spawned(port: u16, arguments: &[String], sign: Sign) -> Option<Child> {
    let binary = std::env::var_os("MEMCACHED").unwrap_or_else(|| "memcached".into());
    let mut command = Command::new(binary);
    // `-u` counts for root alone, which memcached does not run as.
    command.args(["-l", "127.0.0.1", "-u", "nobody", "-p"]).arg(port.to_string()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => panic!(
            "these tests need memcached, 1.6.18 or newer, in the PATH or where MEMCACHED says: \
             `apt-get install memcached` on Debian and Ubuntu, `brew install memcached` on macOS"
        ),
        _ => panic!("memcached cannot be started: {error}"),
    });
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return None;
        }
        if gives(port, sign) {
            return Some(child);
        }
        // There is nothing to wait for but the process itself.
        thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn gives(port: u16, sign: Sign) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    match sign {
        Sign::Connection => true,
        Sign::Answer => {
            let mut reply = [0; 64];
            stream.write_all(b"version\r\n").is_ok() && stream.read(&mut reply).is_ok_and(|count| count > 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_keeps_and_after_a_restart_has_forgotten() {
        let server = Server::start(&["-m", "16"]);
        assert!(server.url().ends_with(&server.port().to_string()));
        assert_eq!(server.say("set k 0 0 1\r\nx\r\n"), "STORED\r\n");
        assert_eq!(server.say("get k\r\n"), "VALUE k 0 1\r\nx\r\nEND\r\n");
        server.restart();
        assert_eq!(server.say("get k\r\n"), "END\r\n");
        server.kill();
        assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    }
}
