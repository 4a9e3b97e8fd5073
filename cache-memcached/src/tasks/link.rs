//! One connection that the tasks of a runtime share.
//!
//! A caller appends its batch under a short lock. The first of a burst writes what all have gathered, after it has
//! yielded once; if nobody else is about, at once. The connection's own task reads, writes what a full socket did not
//! take, and tells those whose time is over. Invariant: a connection on which anything failed ends, and fails all who
//! wait on it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::queue::{Asker, Bounds, Caller, Outcome, Queue, Role, Waiting};
use super::socket::{Reader, Writer, connect};
use crate::batch::{Batch, generation};
use crate::budget::Budget;
use crate::inbox::Inbox;
use crate::node::Node;
use crate::proto::{Broken, Reply};
use crate::replies::{Absorbed, Replies};
use crate::server::{ANY, Server};
use crate::trouble::Trouble;

/// A shared connection. It ends when the last of those who hold it is gone.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: Arc<Node>,
    server: Server,
    writer: Writer,
    queue: Mutex<Queue>,
    /// The task shall look at the queue: it has something to write, an earlier time to look at it, or ended.
    stir: Notify,
}

impl Link {
    /// Connects, asks the server what it is, tells the node, and starts the connection's task on this runtime. The
    /// caller bounds it.
    pub(super) async fn open(node: &Arc<Node>, io_timeout: Duration, bounds: Bounds) -> Result<Self, Trouble> {
        let failed = |error: io::Error| Trouble::Connect(error.to_string());
        let (mut reader, writer) = connect(node.address()).await.map_err(failed)?;
        let mut inbox = Inbox::new();
        let server = introduced(&mut reader, &writer, &mut inbox).await?;
        node.met(server);
        node.counters.connected.add(1);
        node.counters.connections.add(1);
        let queue = Mutex::new(Queue::new(bounds));
        let shared = Arc::new(Shared { node: node.clone(), server, writer, queue, stir: Notify::new() });
        let reading = Reading { reader, inbox, current: None, parked: Vec::new(), any_byte_came: false };
        drop(tokio::spawn(Task { shared: shared.clone(), io_timeout, reading }.run()));
        Ok(Link { shared })
    }

    pub(super) fn server(&self) -> &Server {
        &self.shared.server
    }

    pub(super) fn is_ended(&self) -> bool {
        self.shared.queue().ended().is_some()
    }

    /// How many requests wait on it.
    pub(super) fn load(&self) -> usize {
        self.shared.queue().load()
    }

    /// Sends the batch, and waits for its replies; dropped, it leaves its place in the queue behind. The connection's
    /// task sees to it that the wait ends with the budget.
    pub(super) async fn exchange(&self, batch: Batch<'_>, budget: Budget) -> Outcome {
        let place = self.shared.queue().push(batch, budget, Instant::now())?;
        if place.is_first_to_end {
            self.shared.stir.notify_one();
        }
        match place.role {
            Role::WriteNow => self.shared.flush(),
            Role::WriteSoon => {
                // Whether it is woken or dropped, what was promised is done.
                let _promise = Promise(&self.shared);
                tokio::task::yield_now().await;
            }
            Role::Wait => {}
        }
        place.answer.await.unwrap_or_else(|_| Err(Trouble::closed(false)))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.queue().end(Trouble::closed(false));
        self.shared.stir.notify_one();
    }
}

/// Writes when it is dropped.
struct Promise<'a>(&'a Shared);

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.0.flush();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.node.counters.connections.take(1);
    }
}

impl Shared {
    /// Writes what is unsent, as far as the socket takes it; the rest is the task's.
    fn flush(&self) {
        if !self.write() {
            self.stir.notify_one();
        }
    }

    /// Whether all was written. The lock is not held while the socket is written to.
    fn write(&self) -> bool {
        loop {
            let Some(mut bytes) = self.queue().unsent(Instant::now()) else { return true };
            let mut written = 0;
            while written < bytes.len() {
                match self.writer.try_write(&bytes[written..]) {
                    Ok(count) => {
                        self.node.counters.sent_bytes.add(count);
                        written += count;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // What is wrong with the socket, its reader finds out.
                    Err(_) => {
                        bytes.drain(..written);
                        self.queue().put_back(bytes);
                        return false;
                    }
                }
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection's own task.
struct Task {
    shared: Arc<Shared>,
    io_timeout: Duration,
    reading: Reading,
}

/// What wakes the task up, but for replies.
enum Event {
    Stirred,
    Writable,
    Time,
}

impl Task {
    async fn run(mut self) {
        let shared = self.shared.clone();
        let mut sleep = pin!(tokio::time::sleep(self.io_timeout));
        loop {
            let (ended, is_full, look_at) = {
                let queue = shared.queue();
                (queue.ended().cloned(), queue.is_full(), queue.look_at())
            };
            if let Some(trouble) = ended {
                return self.end(trouble);
            }
            if let Some(at) = look_at.map(tokio::time::Instant::from)
                && at != sleep.deadline()
            {
                sleep.as_mut().reset(at);
            }
            let (mut stirred, mut writable) = (pin!(shared.stir.notified()), pin!(shared.writer.writable()));
            let event = poll_fn(|cx| {
                if let Poll::Ready(trouble) = self.reading.poll(cx, &shared) {
                    return Poll::Ready(Err(trouble));
                }
                Poll::Ready(Ok(match () {
                    () if stirred.as_mut().poll(cx).is_ready() => Event::Stirred,
                    () if is_full && writable.as_mut().poll(cx).is_ready() => Event::Writable,
                    () if look_at.is_some() && sleep.as_mut().poll(cx).is_ready() => Event::Time,
                    () => return Poll::Pending,
                }))
            });
            match event.await {
                Ok(Event::Stirred) => {}
                Ok(Event::Writable) => drop(shared.write()),
                Ok(Event::Time) => {
                    let now = Instant::now();
                    let beside = self.reading.look(self.io_timeout, now);
                    shared.queue().look(self.io_timeout, now, beside);
                }
                Err(trouble) => return self.end(trouble),
            }
        }
    }

    /// Those whose replies had begun are told what happened; of the others' replies no byte came.
    fn end(&mut self, trouble: Trouble) {
        let others = match &trouble {
            Trouble::Torn(why) => Trouble::Dead(why.clone()),
            other => other.clone(),
        };
        self.reading.end(trouble);
        self.shared.queue().end(others);
    }
}

impl Drop for Task {
    /// The runtime may end before the connection does.
    fn drop(&mut self) {
        self.end(Trouble::closed(self.reading.any_byte_came));
    }
}

/// The replies that come, and whose they are.
struct Reading {
    reader: Reader,
    inbox: Inbox,
    current: Option<Waiting>,
    /// Callers whose replies have come, and who wait for the generations that come behind.
    parked: Vec<(Caller, Vec<Reply>)>,
    /// Whether a reply has begun that is not whole yet.
    any_byte_came: bool,
}

impl Reading {
    /// Reads all that has come, and answers those whose replies are whole. It is ready when the connection must end.
    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Trouble> {
        loop {
            let of_one = self.current.as_mut().map(|current| current.replies.room(&mut self.inbox));
            let count = match of_one {
                Some([mut value, _]) if !value.is_empty() => self.reader.poll_read(cx, &mut value),
                Some([_, mut room]) => self.reader.poll_read(cx, &mut room),
                None => self.reader.poll_read(cx, self.inbox.room()),
            };
            match ready!(count) {
                Ok(0) => return Poll::Ready(Trouble::closed(self.any_byte_came)),
                Ok(count) => {
                    shared.node.counters.received_bytes.add(count);
                    match &mut self.current {
                        Some(current) => current.replies.came(&mut self.inbox, count),
                        None => self.inbox.came(count),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Poll::Ready(Trouble::of_io(&error, self.any_byte_came)),
            }
            if let Err(trouble) = self.answer(shared) {
                return Poll::Ready(trouble);
            }
        }
    }

    fn answer(&mut self, shared: &Shared) -> Result<(), Trouble> {
        loop {
            if self.current.is_none() {
                if self.inbox.is_empty() {
                    return Ok(());
                }
                self.current = shared.queue().next();
            }
            let Some(current) = &mut self.current else {
                // A server with too many connections says so, and closes.
                let why = "the server sent what nobody had asked for";
                return Err(Trouble::Broken(Broken::new(why, self.inbox.bytes())));
            };
            self.any_byte_came = true;
            match current.replies.absorb(&mut self.inbox, shared.server.features).map_err(Trouble::Broken)? {
                Absorbed::Incomplete => return Ok(()),
                Absorbed::Complete => {
                    self.any_byte_came = false;
                    if let Some(current) = self.current.take() {
                        shared.queue().answered(&current);
                        self.deliver(current, &shared.node);
                    }
                }
            }
        }
    }

    fn deliver(&mut self, whole: Waiting, node: &Node) {
        let replies = whole.replies.into_replies();
        match whole.asker {
            Asker::Caller(caller) if caller.has_given_up() => node.counters.tombstones.add(1),
            Asker::Caller(mut caller) if caller.scopes.is_empty() => caller.answer(replies, &[]),
            Asker::Caller(caller) => self.parked.push((caller, replies)),
            Asker::Generations => {
                let generations: Vec<_> = replies.iter().map(generation).collect();
                self.parked.drain(..).for_each(|(mut caller, replies)| caller.answer(replies, &generations));
            }
        }
    }

    /// The callers who are no longer in the queue.
    fn callers(&mut self) -> impl Iterator<Item = &mut Caller> {
        let current = self.current.iter_mut().filter_map(|current| match &mut current.asker {
            Asker::Caller(caller) => Some(caller),
            Asker::Generations => None,
        });
        current.chain(self.parked.iter_mut().map(|(caller, _)| caller))
    }

    /// Tells those whose time is over, and when that of the next one will be.
    fn look(&mut self, timeout: Duration, now: Instant) -> Option<Instant> {
        self.callers().filter_map(|caller| caller.look(timeout, now)).min()
    }

    /// Part of their replies has come: nothing may be asked again for them.
    fn end(&mut self, trouble: Trouble) {
        let trouble = match trouble {
            Trouble::Dead(why) => Trouble::Torn(why),
            other => other,
        };
        self.callers().for_each(|caller| caller.tell(Err(trouble.clone())));
    }
}

/// The first exchange on a socket that nobody else uses yet.
async fn introduced(reader: &mut Reader, writer: &Writer, inbox: &mut Inbox) -> Result<Server, Trouble> {
    let question = Server::question();
    let failed = |error: io::Error| Trouble::Connect(error.to_string());
    // A new socket has room for so few bytes.
    writer.writable().await.map_err(failed)?;
    match writer.try_write(&question.bytes) {
        Ok(count) if count == question.bytes.len() => {}
        Ok(_) => return Err(Trouble::Connect("the socket took only part of the first request".to_owned())),
        Err(error) => return Err(failed(error)),
    }
    let mut replies = Replies::to(question.expected);
    loop {
        match poll_fn(|cx| reader.poll_read(cx, inbox.room())).await {
            Ok(0) => return Err(Trouble::Connect("the node closed the connection".to_owned())),
            Ok(count) => inbox.came(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        }
        if replies.absorb(inbox, ANY).map_err(Trouble::Broken)? == Absorbed::Complete {
            return Server::introduce(&replies.into_replies());
        }
    }
}
