//! One socket that its caller writes to and reads from itself.
//!
//! Invariant: a connection on which anything failed is never used again; so no reply ever reaches another caller.

use std::io::{self, IoSliceMut, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::fd::OwnedFd;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(unix)]
use socket2::{Domain, SockAddr, Socket, Type};

use super::resolve::resolve;
use crate::address::Address;
use crate::age::Age;
use crate::batch::{Batch, Pause, Replied};
use crate::budget::Budget;
use crate::counters::Counters;
use crate::inbox::{Inbox, OF_ONE};
use crate::node::Node;
use crate::proto::Features;
use crate::replies::Replies;
use crate::server::{ANY, Server};
use crate::trouble::Trouble;
use crate::work::Message;

/// How far the socket's own timeout may be from how long it is to wait before it is set anew.
const SLACK: Duration = Duration::from_millis(10);
/// How long one of several nodes is waited for before the next one is looked at: one that stands still must not keep
/// the answers of the others from being read.
const TURN: Duration = Duration::from_millis(3);

#[derive(Debug)]
pub(crate) struct Connection {
    channel: Channel,
    replied: Replied,
    server: Server,
    pub(crate) age: Age,
    node: Arc<Node>,
}

/// How far an exchange is; several are as far as the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    Whole,
    /// There is more to be sent, or to be read.
    More,
}

impl Connection {
    /// Connects within `budget`, asks the server what it is, and tells the node.
    pub(crate) fn open(node: &Arc<Node>, budget: Budget) -> Result<Self, Trouble> {
        let stream = Stream::connect(node.address(), budget)?;
        let mut channel = Channel {
            stream,
            inbox: Inbox::of(OF_ONE),
            batch: Server::question(),
            replies: Replies::default(),
            features: ANY,
            timeout: Duration::ZERO,
            sent: 0,
            any_byte_went: false,
            any_byte_came: false,
        };
        channel.exchange(budget, &node.counters).map_err(|trouble| match trouble {
            Trouble::Dead(why) | Trouble::Torn(why) => Trouble::Connect(why),
            Trouble::TimedOut(after) => Trouble::Unreached(after),
            other => other,
        })?;
        let mut replied = Replied::default();
        channel.replies.take(&mut replied.replies);
        let server = Server::introduce(&replied.replies)?;
        channel.features = server.features;
        node.met(server);
        node.counters.connected.add(1);
        node.counters.connections.add(1);
        let age = Age::since(budget.started);
        Ok(Connection { channel, replied, server, age, node: node.clone() })
    }

    /// Has one exchange, from its beginning to its end.
    pub(crate) fn exchange(&mut self, message: &mut dyn Message, budget: Budget) -> Result<(), Trouble> {
        let mut progress = self.begin(message, budget, Instant::now())?;
        while progress == Progress::More {
            progress = self.advance(budget, false)?;
        }
        self.end(message)
    }

    /// Begins an exchange at `now`.
    pub(crate) fn begin(
        &mut self,
        message: &mut dyn Message,
        budget: Budget,
        now: Instant,
    ) -> Result<Progress, Trouble> {
        let Connection { channel, server, node, .. } = self;
        channel.batch.clear();
        message.write(node, server, &mut channel.batch);
        channel.batch.push_generation_reads(message.scopes());
        if channel.batch.is_empty() {
            return Ok(Progress::Whole);
        }
        let begun = channel.begin(budget, now, &node.counters);
        if begun.is_err() && !channel.any_byte_went {
            message.take_back();
        }
        begun.map(|()| Progress::More)
    }

    /// Goes on with it. `in_turn`: as far as that goes without waiting for long, for there are others.
    pub(crate) fn advance(&mut self, budget: Budget, in_turn: bool) -> Result<Progress, Trouble> {
        self.channel.advance(budget, in_turn, &self.node.counters)
    }

    /// Hands over what came of the exchange.
    pub(crate) fn end(&mut self, message: &mut dyn Message) -> Result<(), Trouble> {
        let Connection { channel, replied, node, .. } = self;
        replied.clear();
        channel.replies.take(&mut replied.replies);
        replied.split_generations(message.scopes().len());
        message.absorb(node, replied)
    }

    /// Whether nothing came that nobody asked for.
    pub(crate) fn is_clean(&self) -> bool {
        self.channel.inbox.is_empty()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.node.counters.connections.take(1);
    }
}

/// The socket, and the exchange under way.
#[derive(Debug)]
struct Channel {
    stream: Stream,
    inbox: Inbox,
    batch: Batch,
    replies: Replies,
    features: Features,
    /// What the socket's timeouts are set to.
    timeout: Duration,
    /// How many pieces of the batch were sent.
    sent: usize,
    /// Whether any of it has gone to the node, and whether that has begun to answer.
    any_byte_went: bool,
    any_byte_came: bool,
}

impl Channel {
    /// The whole of the exchange that the batch is.
    fn exchange(&mut self, budget: Budget, counters: &Counters) -> Result<(), Trouble> {
        self.begin(budget, Instant::now(), counters)?;
        while self.advance(budget, false, counters)? == Progress::More {}
        Ok(())
    }

    /// Many requests go in pieces, and no more than two of them are unanswered: a server that is not read from stops
    /// reading, and then both would wait for ever.
    fn begin(&mut self, budget: Budget, now: Instant, counters: &Counters) -> Result<(), Trouble> {
        (self.sent, self.any_byte_went, self.any_byte_came) = (0, false, false);
        self.send_piece(budget, now, counters)?;
        self.send_piece(budget, now, counters)
    }

    /// Reads the replies to the first piece that is unanswered, and sends one more.
    fn advance(&mut self, budget: Budget, in_turn: bool, counters: &Counters) -> Result<Progress, Trouble> {
        if in_turn {
            self.wait_at_most(TURN, budget, Instant::now())?;
        }
        let end = self.batch.end();
        let unanswered = |pause: &&Pause| pause.requests > self.replies.answered();
        let requests = self.batch.pauses.iter().find(unanswered).unwrap_or(&end).requests;
        if !self.receive(requests, budget, in_turn, counters)? {
            return Ok(Progress::More);
        }
        if self.replies.answered() == end.requests {
            return Ok(Progress::Whole);
        }
        self.send_piece(budget, Instant::now(), counters)?;
        Ok(Progress::More)
    }

    /// Sends the next piece, if there is one.
    fn send_piece(&mut self, budget: Budget, now: Instant, counters: &Counters) -> Result<(), Trouble> {
        let ends = |piece: usize| self.batch.pauses.get(piece).copied().unwrap_or(self.batch.end()).bytes;
        let (from, to) = (if self.sent == 0 { 0 } else { ends(self.sent - 1) }, ends(self.sent));
        self.sent += 1;
        self.send(from, to, budget, now, counters)
    }

    /// Reads until so many requests have their replies. Not, if others are to have their turn before.
    fn receive(
        &mut self,
        requests: usize,
        budget: Budget,
        in_turn: bool,
        counters: &Counters,
    ) -> Result<bool, Trouble> {
        let most = if in_turn { TURN } else { Duration::MAX };
        let mut is_first = true;
        while self.replies.answered() < requests {
            if !is_first {
                self.wait_at_most(most, budget, Instant::now())?;
            }
            is_first = false;
            let count = match self.stream.read(self.replies.room(&mut self.inbox)) {
                Ok(0) => return Err(Trouble::closed(self.any_byte_came)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) && in_turn => return Ok(false),
                Err(error) if is_timeout(&error) => return Err(timed_out(budget)),
                Err(error) => return Err(Trouble::of_io(&error, self.any_byte_came)),
            };
            self.any_byte_came = true;
            counters.received_bytes.add(count);
            self.replies.came(&mut self.inbox, count);
            self.replies.absorb(&self.batch.awaited, &mut self.inbox, self.features).map_err(Trouble::Broken)?;
        }
        Ok(true)
    }

    fn send(
        &mut self,
        mut from: usize,
        to: usize,
        budget: Budget,
        mut now: Instant,
        counters: &Counters,
    ) -> Result<(), Trouble> {
        while from < to {
            self.keep_to_the_deadline(budget, now)?;
            match self.stream.write(&self.batch.bytes[from..to]) {
                Ok(0) => return Err(Trouble::closed(false)),
                Ok(count) => {
                    self.any_byte_went = true;
                    counters.sent_bytes.add(count);
                    from += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(timed_out(budget)),
                Err(error) => return Err(Trouble::of_io(&error, self.any_byte_came)),
            }
            if from < to {
                now = Instant::now();
            }
        }
        Ok(())
    }

    /// Sees to it that the next read or write ends about when the deadline comes. In the usual case, with all of the
    /// time left and one write and one read, no system call is needed.
    fn keep_to_the_deadline(&mut self, budget: Budget, now: Instant) -> Result<(), Trouble> {
        self.wait_at_most(Duration::MAX, budget, now)
    }

    /// The same, and that it ends after so long, if that is sooner.
    fn wait_at_most(&mut self, most: Duration, budget: Budget, now: Instant) -> Result<(), Trouble> {
        let left = budget.left(now);
        if left.is_zero() {
            return Err(timed_out(budget));
        }
        let wait = left.min(most);
        if wait.abs_diff(self.timeout) > SLACK {
            self.stream.set_timeout(wait).map_err(|error| Trouble::of_io(&error, false))?;
            self.timeout = wait;
        }
        Ok(())
    }
}

fn timed_out(budget: Budget) -> Trouble {
    Trouble::TimedOut(budget.started.elapsed())
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
                let unreached = || Trouble::Unreached(budget.started.elapsed());
                let mut last = None;
                let left = budget.left(Instant::now());
                let addresses = resolve(host, *port, left).map_err(|error| match error.kind() {
                    io::ErrorKind::TimedOut => unreached(),
                    _ => refused(error),
                })?;
                for address in addresses {
                    let started = Instant::now();
                    let left = budget.left(started);
                    if left.is_zero() {
                        last.get_or_insert_with(unreached);
                        break;
                    }
                    match TcpStream::connect_timeout(&address, left) {
                        Ok(stream) => {
                            stream.set_nodelay(true).map_err(refused)?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) if is_timeout(&error) => last = Some(Trouble::Unreached(started.elapsed())),
                        Err(error) => last = Some(refused(error)),
                    }
                }
                Err(last.unwrap_or_else(|| Trouble::Connect(format!("`{host}` has no address"))))
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
