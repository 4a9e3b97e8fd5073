//! Real memcached servers for tests: started on free ports or sockets of this host, and ended with the value that holds
//! them.
//!
//! Where the binary is missing, a test that needs it fails and says how to get it; none passes without its server.

#![allow(clippy::expect_used, clippy::panic)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to answer its first request.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running memcached.
#[derive(Debug)]
pub struct Server {
    place: Place,
    arguments: Vec<String>,
    child: Mutex<Child>,
}

/// Where a server listens.
#[derive(Debug, Clone)]
enum Place {
    /// On 127.0.0.1.
    Port(u16),
    #[cfg(unix)]
    Socket(PathBuf),
}

/// Both directions of a connection.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

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

    /// Starts one on a Unix socket in the directory for temporary files.
    ///
    /// # Panics
    ///
    /// As [`start`](Server::start) does.
    #[cfg(unix)]
    pub fn start_on_socket() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("memcached-{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let place = Place::Socket(std::env::temp_dir().join(name));
        let child = spawned(&place, &[], Sign::Answer).expect("memcached starts on a socket of its own");
        Server { place, arguments: Vec::new(), child: Mutex::new(child) }
    }

    fn started(arguments: &[&str], sign: Sign) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        // Another process may take the port between the look and the start.
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("this host has free ports");
            let port = listener.local_addr().expect("a bound listener has an address").port();
            drop(listener);
            let place = Place::Port(port);
            if let Some(child) = spawned(&place, &arguments, sign) {
                return Server { place, arguments, child: Mutex::new(child) };
            }
        }
        panic!("memcached {arguments:?} does not start on this host");
    }

    /// The port that it listens on, on 127.0.0.1.
    ///
    /// # Panics
    ///
    /// If it listens on a socket of the file system.
    pub fn port(&self) -> u16 {
        match &self.place {
            Place::Port(port) => *port,
            #[cfg(unix)]
            Place::Socket(path) => panic!("this server listens on {}", path.display()),
        }
    }

    /// The URL of a region that keeps its records there alone.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Port(port) => format!("memcached://127.0.0.1:{port}"),
            #[cfg(unix)]
            Place::Socket(path) => format!("memcached+unix://{}", path.display()),
        }
    }

    /// Has it stand still: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
        // The signal is sent when `kill` returns; each thread stops a little later.
        let until = Instant::now() + PATIENCE;
        while !stands_still(self.child().id()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
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

    /// Ends it and starts it again in the same place, empty.
    ///
    /// # Panics
    ///
    /// If it does not start again.
    pub fn restart(&self) {
        self.kill();
        let child = (0..50).find_map(|_| spawned(&self.place, &self.arguments, Sign::Answer));
        *self.child() = child.expect("memcached starts again where it was");
    }

    /// Sends these bytes on a connection of their own, and tells what comes back at first.
    ///
    /// # Panics
    ///
    /// If it cannot be reached.
    pub fn say(&self, bytes: &str) -> String {
        let mut stream = self.place.connect().expect("the server can be connected to");
        stream.write_all(bytes.as_bytes()).expect("the server takes requests");
        let mut reply = vec![0; 64 << 10];
        let count = stream.read(&mut reply).expect("the server answers");
        String::from_utf8_lossy(&reply[..count]).into_owned()
    }

    /// The keys of all items that it has. They come piece by piece, however few they are.
    ///
    /// # Panics
    ///
    /// If it cannot be reached, or does not tell them.
    pub fn keys(&self) -> Vec<String> {
        let mut stream = self.place.connect().expect("the server can be connected to");
        stream.write_all(b"lru_crawler metadump all\r\n").expect("the server takes requests");
        let (mut dump, mut piece) = (Vec::new(), [0; 4096]);
        while !dump.ends_with(b"END\r\n") {
            let count = stream.read(&mut piece).expect("the server answers");
            dump.extend_from_slice(&piece[..count]);
            assert!(count > 0 && !dump.starts_with(b"BUSY"), "{}", String::from_utf8_lossy(&dump));
        }
        let dump = String::from_utf8_lossy(&dump);
        let keys = dump.lines().filter_map(|line| line.strip_prefix("key=")?.split(' ').next());
        keys.map(|key| key.replace("%3A", ":")).collect()
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
        #[cfg(unix)]
        if let Place::Socket(path) = &self.place {
            // What the server left.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Place {
    /// A server told to listen there. `-u` counts for root alone, which memcached does not run as.
    fn command(&self) -> Command {
        let mut command = Command::new(std::env::var_os("MEMCACHED").unwrap_or_else(|| "memcached".into()));
        command.args(["-u", "nobody"]);
        match self {
            Place::Port(port) => command.args(["-l", "127.0.0.1", "-p", &port.to_string()]),
            #[cfg(unix)]
            Place::Socket(path) => command.arg("-s").arg(path),
        };
        command
    }

    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Place::Port(port) => Box::new(TcpStream::connect(("127.0.0.1", *port))?),
            #[cfg(unix)]
            Place::Socket(path) => Box::new(UnixStream::connect(path)?),
        })
    }
}

/// Whether every thread of a process is stopped, as far as this system tells by files.
fn stands_still(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state stands behind the name, which is in parentheses.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

/// The server, once it gives the sign; `None` if it ends first, as it does when the port is taken.
fn spawned(place: &Place, arguments: &[String], sign: Sign) -> Option<Child> {
    let mut command = place.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
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
        if gives(place, sign) {
            return Some(child);
        }
        // There is nothing to wait for but the process itself.
        thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn gives(place: &Place, sign: Sign) -> bool {
    let Ok(mut stream) = place.connect() else { return false };
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

    #[cfg(unix)]
    #[test]
    fn a_server_can_listen_on_a_socket_and_leaves_none_behind() {
        let server = Server::start_on_socket();
        let path = server.url().strip_prefix("memcached+unix://").map(PathBuf::from).expect("a path");
        assert_eq!(server.say("get k\r\n"), "END\r\n");
        assert!(path.exists());
        drop(server);
        assert!(!path.exists());
    }
}
