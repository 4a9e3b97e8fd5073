//! A proxy between clients and a server that does to replies, and to requests, what networks and servers do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// And how many there were before it.
    fault: Mutex<(u64, Fault)>,
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
        let shared = Arc::new(Shared { fault: Mutex::new((0, Fault::None)), clients: Mutex::default() });
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
        let mut set = self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner);
        *set = (set.0 + 1, fault);
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
        let (number, fault) = shared.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
        let is_heard = shared.fault.lock().unwrap_or_else(PoisonError::into_inner).1 != Fault::Unheard;
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
