//! A proxy between clients and a server that does to replies, and to requests, what networks and servers do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// How much of a reply is handled at once.
const PIECE: usize = 64 << 10;

/// What becomes of replies. The answer to the first two requests of a connection, by which clients get to know a server,
/// comes through.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A proxy. It ends with the process; its connections end when [`cut_all`](Proxy::cut_all) is called.
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
    /// Starts one on a free port, before the server on this one.
    ///
    /// # Panics
    ///
    /// If this host has no free port.
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("this host has free ports");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let shared = Arc::new(Shared {
            set: Mutex::new(Set { fault: Fault::None, number: 0, held: 0 }),
            changed: Condvar::new(),
            clients: Mutex::default(),
        });
        let all = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = all.clone();
                thread::spawn(move || drop(serve(client, server, &shared)));
            }
        });
        Proxy { port, shared }
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

fn serve(mut client: TcpStream, server: u16, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
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
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared) -> std::io::Result<()> {
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
fn reset(client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    let peer = client.peer_addr()?;
    let mut clients = shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain(|one| one.peer_addr().is_ok_and(|other| other != peer));
    // It is reset when the last who has it lets go: that is who waits for requests.
    client.shutdown(Shutdown::Read)
}

/// Lets the server's description of itself through: it ends the list of its settings.
fn introduce(server: &mut TcpStream, client: &mut TcpStream) -> std::io::Result<()> {
    let mut told = Vec::new();
    let mut bytes = [0; 4096];
    while !told.ends_with(b"\r\nEND\r\n") {
        let count = server.read(&mut bytes)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        client.write_all(&bytes[..count])?;
        told.extend_from_slice(&bytes[..count]);
    }
    Ok(())
}
