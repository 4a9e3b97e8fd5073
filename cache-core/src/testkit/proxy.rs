//! A proxy before a memcached that does to replies, and to requests, what networks and servers do.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// How much of a reply is handled at once.
const PIECE: usize = 64 << 10;

/// What becomes of replies.
///
/// The answer to the first two requests of a connection, by which this library's clients get to know a memcached
/// (`version` and `stats settings`), comes through whatever is set: up to its last line, `END`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: they come through.
    None,
    /// They come so much later.
    Delay(Duration),
    /// The connection ends after so many bytes of them.
    Cut(usize),
    /// The connection is reset after so many bytes of them.
    Reset(usize),
    /// They vanish; the connection stays.
    BlackHole,
    /// The requests vanish on their way; the connection stays.
    Unheard,
    /// They wait, until [`set`](Proxy::set) is called again: those that wait then come, whatever is set.
    Hold,
    /// They come byte by byte.
    Dribble,
    /// These bytes come first, unasked.
    Unasked(Vec<u8>),
    /// Each is the one that came before it, whenever that was: the answer to another request.
    Late,
}

/// A proxy before one memcached, to try a service against a far tier that is slow, silent, or broken.
///
/// It knows how connections of this library to memcached begin, and nothing else of the protocol: other far tiers cannot
/// be behind it. It ends with the process; its connections end when [`cut_all`](Proxy::cut_all) is called.
///
/// ```no_run
/// use cache_core::testkit::{Fault, Proxy};
///
/// # fn main() -> std::io::Result<()> {
/// let proxy = Proxy::before("127.0.0.1:11211")?;
/// let far = format!("memcached://127.0.0.1:{}?io_timeout=100ms", proxy.port());
/// // A region whose `far` this is, and calls that fill it. Then:
/// proxy.set(Fault::BlackHole);
/// // Each call loads for itself, a tenth of a second later at most; after three of them the node is set aside.
/// proxy.set(Fault::None);
/// # drop(far);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    set: Mutex<Set>,
    /// Who holds a reply waits here until another fault is set.
    changed: Condvar,
    clients: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Starts one on a free port of this host, before the server at this address, which may come later.
    ///
    /// # Errors
    ///
    /// If the address is none, or this host has no free port.
    pub fn before(server: impl ToSocketAddrs) -> io::Result<Self> {
        let server: Arc<[SocketAddr]> = server.to_socket_addrs()?.collect();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            set: Mutex::new(Set { fault: Fault::None, number: 0, held: 0 }),
            changed: Condvar::new(),
            clients: Mutex::default(),
        });
        let all = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, server) = (all.clone(), server.clone());
                thread::spawn(move || drop(serve(client, &server, &shared)));
            }
        });
        Ok(Proxy { port, shared })
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on replies meet this, on all connections: the bytes that came before do not count.
    pub fn set(&self, fault: Fault) {
        let mut set = self.shared.set();
        *set = Set { fault, number: set.number + 1, held: 0 };
        self.shared.changed.notify_all();
    }

    /// How many replies are being held, of as many connections.
    pub fn held(&self) -> usize {
        self.shared.set().held
    }

    /// Ends all connections.
    pub fn cut_all(&self) {
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        for client in clients.drain(..) {
            // It may have ended by itself.
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

/// What is set.
#[derive(Debug)]
struct Set {
    fault: Fault,
    /// How many there were before it.
    number: u64,
    /// How many replies it holds.
    held: usize,
}

impl Shared {
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as the fault of this number is set.
    fn hold(&self, number: u64) {
        let mut set = self.set();
        if set.number == number {
            set.held += 1;
            drop(self.changed.wait_while(set, |set| set.number == number));
        }
    }
}

fn serve(mut client: TcpStream, server: &[SocketAddr], shared: &Arc<Shared>) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.clients.lock().unwrap_or_else(PoisonError::into_inner).push(client.try_clone()?);
    let (from, to, of_requests) = (client.try_clone()?, server.try_clone()?, shared.clone());
    thread::spawn(move || {
        let _ = pass_on(&from, &to, &of_requests);
        let _ = to.shutdown(Shutdown::Both);
    });
    introduce(&mut server, &mut client)?;
    let (mut sent, mut before, mut known) = (0, Vec::new(), 0);
    let mut reply = vec![0; PIECE];
    loop {
        let count = server.read(&mut reply)?;
        if count == 0 {
            return client.shutdown(Shutdown::Both);
        }
        let bytes = &reply[..count];
        let (number, fault) = {
            let set = shared.set();
            (set.number, set.fault.clone())
        };
        if std::mem::replace(&mut known, number) != number {
            sent = 0;
        }
        match fault {
            Fault::None | Fault::Unheard => client.write_all(bytes)?,
            Fault::Delay(time) => {
                thread::sleep(time);
                client.write_all(bytes)?;
            }
            Fault::Cut(after) | Fault::Reset(after) => {
                let left = after.saturating_sub(sent).min(count);
                client.write_all(&bytes[..left])?;
                match fault {
                    _ if left == count => {}
                    Fault::Reset(_) => return reset(client, shared),
                    _ => return client.shutdown(Shutdown::Both),
                }
            }
            Fault::BlackHole => {}
            Fault::Hold => {
                shared.hold(number);
                client.write_all(bytes)?;
            }
            Fault::Dribble => {
                for byte in bytes {
                    client.write_all(std::slice::from_ref(byte))?;
                    thread::yield_now();
                }
            }
            Fault::Unasked(unasked) => {
                client.write_all(&unasked)?;
                client.write_all(bytes)?;
            }
            Fault::Late => client.write_all(&before)?,
        }
        before = bytes.to_vec();
        sent += count;
    }
}

/// Lets the requests through, until there are no more.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut requests = vec![0; PIECE];
    loop {
        let count = from.read(&mut requests)?;
        if count == 0 {
            return Ok(());
        }
        let is_heard = shared.set().fault != Fault::Unheard;
        if is_heard {
            to.write_all(&requests[..count])?;
        }
    }
}

/// Ends the connection as a host does that knows nothing of it.
fn reset(client: TcpStream, shared: &Shared) -> io::Result<()> {
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    let peer = client.peer_addr()?;
    let mut clients = shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain(|one| one.peer_addr().is_ok_and(|other| other != peer));
    // It is reset when the last who has it lets go: that is who waits for requests.
    client.shutdown(Shutdown::Read)
}

/// Lets the server's description of itself through: it ends the list of its settings.
fn introduce(server: &mut TcpStream, client: &mut TcpStream) -> io::Result<()> {
    let mut told = Vec::new();
    let mut bytes = [0; 4096];
    while !told.ends_with(b"\r\nEND\r\n") {
        let count = server.read(&mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        client.write_all(&bytes[..count])?;
        told.extend_from_slice(&bytes[..count]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const INTRODUCTION: &[u8] = b"VERSION 1.6.18\r\nSTAT cas_enabled yes\r\nEND\r\n";

    /// A server that introduces itself, and then says what it is told.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = stream.write_all(INTRODUCTION);
                    io::copy(&mut stream.try_clone()?, &mut stream)
                });
            }
        });
        port
    }

    /// A connection through the proxy that knows its server.
    fn connected(proxy: &Proxy) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(hear(&mut stream, INTRODUCTION.len()), INTRODUCTION);
        stream
    }

    /// The next bytes, up to so many; fewer if the connection ends.
    fn hear(stream: &mut TcpStream, count: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        let _ = stream.take(count as u64).read_to_end(&mut heard);
        heard
    }

    /// What comes back of `hello`.
    fn say(proxy: &Proxy, fault: Fault, count: usize) -> Vec<u8> {
        let mut stream = connected(proxy);
        proxy.set(fault);
        stream.write_all(b"hello").unwrap();
        hear(&mut stream, count)
    }

    #[test]
    fn what_is_set_is_done_to_what_comes_after_the_introduction() {
        let proxy = Proxy::before(("127.0.0.1", echo())).unwrap();
        assert_eq!(say(&proxy, Fault::None, 5), b"hello");
        assert_eq!(say(&proxy, Fault::Delay(Duration::from_millis(1)), 5), b"hello");
        assert_eq!(say(&proxy, Fault::Dribble, 5), b"hello");
        assert_eq!(say(&proxy, Fault::Cut(3), 5), b"hel");
        assert!(say(&proxy, Fault::Reset(0), 5).is_empty());
        assert_eq!(say(&proxy, Fault::Unasked(b"END".to_vec()), 8), b"ENDhello");
    }

    #[test]
    fn what_vanishes_does_not_come_and_what_is_held_or_late_does() {
        let proxy = Proxy::before(("127.0.0.1", echo())).unwrap();
        for fault in [Fault::BlackHole, Fault::Unheard] {
            let mut stream = connected(&proxy);
            proxy.set(fault);
            stream.write_all(b"lost").unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(stream.read(&mut [0; 4]).is_err(), "nothing comes, and the connection stays");
        }
        let mut stream = connected(&proxy);
        proxy.set(Fault::Hold);
        stream.write_all(b"first").unwrap();
        while proxy.held() == 0 {
            thread::yield_now();
        }
        proxy.set(Fault::Late);
        assert_eq!((hear(&mut stream, 5).as_slice(), proxy.held()), (b"first".as_slice(), 0));
        stream.write_all(b"other").unwrap();
        assert_eq!(hear(&mut stream, 5), b"first");
        proxy.cut_all();
        assert!(hear(&mut stream, 1).is_empty());
    }
}
