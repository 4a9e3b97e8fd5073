//! One socket that its caller writes to and reads from itself.
//!
//! Invariant: a connection on which anything failed is never used again; so no reply ever reaches another caller.

use std::io::{self, IoSliceMut, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::fd::OwnedFd;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(unix)]
use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::Address;
use crate::batch::{Batch, Pause, Replied, generation};
use crate::budget::Budget;
use crate::counters::Counters;
use crate::inbox::Inbox;
use crate::node::Node;
use crate::proto::Features;
use crate::replies::Replies;
use crate::server::{ANY, Server};
use crate::trouble::Trouble;

/// How far the socket's own timeout may be from what is left until the deadline before it is set anew.
const SLACK: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    inbox: Inbox,
    server: Server,
    /// What the socket's timeouts are set to.
    timeout: Duration,
    pub(crate) made: Instant,
    pub(crate) used: Instant,
    node: Arc<Node>,
}

impl Connection {
    /// Connects within `budget`, asks the server what it is, and tells the node.
    pub(crate) fn open(node: &Arc<Node>, budget: Budget) -> Result<Self, Trouble> {
        let made = budget.started;
        let stream = Stream::connect(node.address(), budget)?;
        let mut inbox = Inbox::new();
        let counters = &node.counters;
        let mut talk = Talk { stream: &stream, inbox: &mut inbox, counters, timeout: Duration::ZERO, budget };
        let replied = talk.exchange(Server::question(), ANY, Instant::now()).map_err(|trouble| match trouble {
            Trouble::Dead(why) | Trouble::Torn(why) => Trouble::Connect(why),
            other => other,
        })?;
        let timeout = talk.timeout;
        let server = Server::introduce(&replied.replies)?;
        node.met(server);
        counters.connected.add(1);
        counters.connections.add(1);
        Ok(Connection { stream, inbox, server, timeout, made, used: made, node: node.clone() })
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Sends the batch at `now`, and reads its replies.
    pub(crate) fn exchange(&mut self, batch: Batch<'_>, budget: Budget, now: Instant) -> Result<Replied, Trouble> {
        let Connection { stream, inbox, server, timeout, node, .. } = self;
        let mut talk = Talk { stream, inbox, counters: &node.counters, timeout: *timeout, budget };
        let replied = talk.exchange(batch, server.features, now)?;
        *timeout = talk.timeout;
        Ok(replied)
    }

    /// Whether nothing came that nobody asked for.
    pub(crate) fn is_clean(&self) -> bool {
        self.inbox.is_empty()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.node.counters.connections.take(1);
    }
}

/// One exchange under way.
struct Talk<'a> {
    stream: &'a Stream,
    inbox: &'a mut Inbox,
    counters: &'a Counters,
    timeout: Duration,
    budget: Budget,
}

impl Talk<'_> {
    /// Many requests go in pieces, and no more than two of them are unanswered: a server that is not read from stops
    /// reading, and then both would wait for ever.
    fn exchange(&mut self, mut batch: Batch<'_>, features: Features, mut now: Instant) -> Result<Replied, Trouble> {
        batch.scopes.iter().for_each(|scope| batch.push_generation_read(scope));
        let end = Pause { bytes: batch.bytes.len(), requests: batch.expected.len() };
        let mut replies = Replies::to(batch.expected);
        let (mut sent, mut answered) = (0, 0);
        for pause in batch.pauses.into_iter().chain([end]) {
            self.send(&batch.bytes[sent..pause.bytes], now)?;
            sent = pause.bytes;
            if pause != end {
                self.receive(&mut replies, answered, features)?;
                answered = pause.requests;
                now = Instant::now();
            }
        }
        self.receive(&mut replies, end.requests, features)?;
        let mut replies = replies.into_replies();
        let generations = replies.split_off(replies.len() - batch.scopes.len());
        Ok(Replied { replies, generations: generations.iter().map(generation).collect() })
    }

    /// Reads until so many requests have their replies.
    fn receive(&mut self, replies: &mut Replies, requests: usize, features: Features) -> Result<(), Trouble> {
        let mut any_byte_came = replies.answered() > 0;
        let mut is_first = true;
        while replies.answered() < requests {
            if !is_first {
                self.keep_to_the_deadline(Instant::now())?;
            }
            is_first = false;
            let count = match self.stream.read(replies.room(self.inbox)) {
                Ok(0) => return Err(Trouble::closed(any_byte_came)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => return Err(self.timed_out()),
                Err(error) => return Err(Trouble::of_io(&error, any_byte_came)),
            };
            any_byte_came = true;
            self.counters.received_bytes.add(count);
            replies.came(self.inbox, count);
            replies.absorb(self.inbox, features).map_err(Trouble::Broken)?;
        }
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8], mut now: Instant) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            self.keep_to_the_deadline(now)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(Trouble::closed(false)),
                Ok(count) => {
                    self.counters.sent_bytes.add(count);
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(self.timed_out()),
                Err(error) => return Err(Trouble::of_io(&error, false)),
            }
            if !bytes.is_empty() {
                now = Instant::now();
            }
        }
        Ok(())
    }

    /// Sees to it that the next read or write ends about when the deadline comes. In the usual case, with all of the
    /// time left and one write and one read, no system call is needed.
    fn keep_to_the_deadline(&mut self, now: Instant) -> Result<(), Trouble> {
        let left = self.budget.left(now);
        if left.is_zero() {
            return Err(self.timed_out());
        }
        if left.abs_diff(self.timeout) > SLACK {
            self.stream.set_timeout(left).map_err(|error| Trouble::of_io(&error, false))?;
            self.timeout = left;
        }
        Ok(())
    }

    fn timed_out(&self) -> Trouble {
        Trouble::TimedOut(self.budget.started.elapsed())
    }
}

/// How a socket reports that its timeout has passed: one or the other, by platform.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Names are resolved each time; of several addresses, each is tried until the deadline.
    fn connect(address: &Address, budget: Budget) -> Result<Self, Trouble> {
        let refused = |error: io::Error| Trouble::Connect(error.to_string());
        match address {
            Address::Tcp { host, port } => {
                let mut last = Trouble::Connect(format!("`{host}` has no address"));
                for address in (host.as_str(), *port).to_socket_addrs().map_err(refused)? {
                    let started = Instant::now();
                    let left = budget.left(started);
                    if left.is_zero() {
                        break;
                    }
                    match TcpStream::connect_timeout(&address, left) {
                        Ok(stream) => {
                            stream.set_nodelay(true).map_err(refused)?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) if is_timeout(&error) => last = Trouble::TimedOut(started.elapsed()),
                        Err(error) => last = refused(error),
                    }
                }
                Err(last)
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                // The standard library's own `connect` waits for as long as the server's backlog is full.
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(refused)?;
                let left = budget.left(Instant::now());
                let connected = SockAddr::unix(path).and_then(|path| socket.connect_timeout(&path, left));
                connected.map_err(refused)?;
                Ok(Stream::Unix(UnixStream::from(OwnedFd::from(socket))))
            }
            #[cfg(not(unix))]
            Address::Unix(_) => Err(Trouble::Connect("this system has no Unix sockets".to_owned())),
        }
    }

    /// Reads into the first, and when that is full into the second.
    fn read(&self, mut room: [IoSliceMut<'_>; 2]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => read(stream, &mut room),
            #[cfg(unix)]
            Stream::Unix(stream) => read(stream, &mut room),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write(bytes),
            #[cfg(unix)]
            Stream::Unix(stream) => (&*stream).write(bytes),
        }
    }

    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
            #[cfg(unix)]
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
        }
    }
}

fn read(mut stream: impl Read, room: &mut [IoSliceMut<'_>; 2]) -> io::Result<usize> {
    // The usual case has a cheaper system call.
    if room[0].is_empty() { stream.read(&mut room[1]) } else { stream.read_vectored(room) }
}
