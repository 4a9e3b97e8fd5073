//! One connection that the tasks of a runtime share.
//!
//! A caller appends its batch under a short lock. The first of a burst writes what all have gathered, after it has
//! yielded once; if nobody else is about, at once. The connection's own task reads, writes what a full socket did not
//! take, and tells those whose time is over. Invariant: a connection on which anything failed ends, and fails all who
//! wait on it.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::Sleep;

use super::caller::Caller;
use super::queue::{Asker, Bounds, Load, Place, Queue, Role, Waiting};
use super::slot::Slot;
use super::socket::{Reader, Writer, connect};
use crate::batch::Replied;
use crate::budget::Budget;
use crate::inbox::{Inbox, OF_MANY};
use crate::node::Node;
use crate::proto::Broken;
use crate::replies::{Absorbed, Replies};
use crate::server::{ANY, Server};
use crate::trouble::Trouble;
use crate::work::Message;

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
    /// Whether it ends, or has ended: read without the queue's lock.
    is_ended: AtomicBool,
}

impl Link {
    /// Connects, asks the server what it is, tells the node, and starts the connection's task on this runtime. The
    /// caller bounds it.
    pub(super) async fn open(node: &Arc<Node>, io_timeout: Duration, bounds: Bounds) -> Result<Self, Trouble> {
        let failed = |error: io::Error| Trouble::Connect(error.to_string());
        let (mut reader, writer) = connect(node.address()).await.map_err(failed)?;
        let mut inbox = Inbox::of(OF_MANY);
        let server = introduced(&mut reader, &writer, &mut inbox).await?;
        node.met(server);
        node.counters.connected.add(1);
        node.counters.connections.add(1);
        let queue = Mutex::new(Queue::new(bounds));
        let (stir, is_ended) = (Notify::new(), AtomicBool::new(false));
        let shared = Arc::new(Shared { node: node.clone(), server, writer, queue, stir, is_ended });
        let reading = Reading::of(reader, inbox);
        drop(tokio::spawn(Task { shared: shared.clone(), io_timeout, reading }.run()));
        Ok(Link { shared })
    }

    pub(super) fn is_ended(&self) -> bool {
        self.shared.is_ended.load(Ordering::Acquire)
    }

    /// How many requests wait on it.
    pub(super) fn load(&self) -> usize {
        self.shared.queue().load()
    }

    pub(super) fn node(&self) -> &Node {
        &self.shared.node
    }

    /// Queues the message at `now`, and writes it if that is the caller's part and nobody else is about; no place if
    /// nothing has to be asked. The connection's task sees to it that the wait ends with the budget.
    pub(super) fn queue(
        &self,
        message: &mut dyn Message,
        budget: Budget,
        now: Instant,
    ) -> Result<Option<Place>, Trouble> {
        let Shared { node, server, .. } = &*self.shared;
        let pushed = self.shared.queue().push(message, (node, server), budget, now);
        let place = pushed.inspect_err(|trouble| {
            if trouble.is_dead() {
                // It timed out, and its task has yet to see to that.
                self.shared.close();
            }
        })?;
        if let Some(place) = &place {
            if place.is_first_to_end {
                self.shared.stir.notify_one();
            }
            if place.role == Role::WriteNow {
                self.shared.flush();
            }
        }
        Ok(place)
    }

    /// Writes what has gathered: the promise of [`Role::WriteSoon`].
    pub(super) fn flush(&self) {
        self.shared.flush();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.end(Trouble::closed(false));
        self.shared.stir.notify_one();
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
        if !self.queue().begin_to_write() {
            return true;
        }
        let mut bytes = Vec::new();
        loop {
            let unsent = self.queue().unsent(mem::take(&mut bytes), Instant::now);
            let Some(unsent) = unsent else { return true };
            bytes = unsent;
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

    fn end(&self, trouble: Trouble) {
        self.close();
        self.queue().end(trouble);
    }

    /// Nobody goes here any more. It comes before anybody is told why: who is told looks for a connection at once.
    fn close(&self) {
        self.is_ended.store(true, Ordering::Release);
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
        let mut overdue = Overdue::new();
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
                overdue.poll(cx, &shared);
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
                    let beside = (self.reading.since(), self.reading.look(self.io_timeout, now));
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
        self.shared.close();
        self.reading.end(trouble, &others);
        self.shared.end(others);
    }
}

impl Drop for Task {
    /// The runtime may end before the connection does.
    fn drop(&mut self) {
        self.end(Trouble::closed(self.reading.any_byte_came));
    }
}

/// Whether a caller who has promised to write is long in coming: in a busy runtime many others may be polled before him.
/// It is looked at when replies come, and some time later: a promise is made while replies are due.
struct Overdue {
    sleep: Pin<Box<Sleep>>,
    /// Whether `sleep` is waited for.
    is_armed: bool,
}

impl Overdue {
    fn new() -> Self {
        Overdue { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), is_armed: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) {
        loop {
            if self.is_armed && self.sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            self.is_armed = false;
            let Some(at) = shared.queue().overdue_at() else { return };
            if at <= Instant::now() {
                shared.flush();
            } else {
                self.sleep.as_mut().reset(at.into());
                self.is_armed = true;
            }
        }
    }
}

/// The replies that come, and whose they are.
struct Reading {
    reader: Reader,
    inbox: Inbox,
    /// Those whose replies come next, taken from the queue together. What has come for the first is in `replies`.
    next: VecDeque<Waiting>,
    replies: Replies,
    /// Callers whose replies have come, and who wait for the generations that come behind.
    parked: Vec<Caller>,
    /// What is answered, and the slots of those who were: the queue has yet to know.
    answered: Load,
    slots: Vec<Arc<Slot>>,
    /// Whether a reply has begun that is not whole yet.
    any_byte_came: bool,
}

impl Reading {
    fn of(reader: Reader, inbox: Inbox) -> Self {
        Reading {
            reader,
            inbox,
            next: VecDeque::new(),
            replies: Replies::default(),
            parked: Vec::new(),
            answered: Load::default(),
            slots: Vec::new(),
            any_byte_came: false,
        }
    }

    /// Reads all that has come, and answers those whose replies are whole. It is ready when the connection must end.
    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Trouble> {
        loop {
            let [mut value, mut behind] = self.replies.room(&mut self.inbox);
            let room = if value.is_empty() { &mut behind } else { &mut value };
            match ready!(self.reader.poll_read(cx, room)) {
                Ok(0) => return Poll::Ready(Trouble::closed(self.any_byte_came)),
                Ok(count) => {
                    shared.node.counters.received_bytes.add(count);
                    self.replies.came(&mut self.inbox, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Poll::Ready(Trouble::of_io(&error, self.any_byte_came)),
            }
            if let Err(trouble) = self.absorb(shared) {
                return Poll::Ready(trouble);
            }
            self.settle(shared);
        }
    }

    /// Takes in what has come, and answers those whose replies are whole.
    fn absorb(&mut self, shared: &Shared) -> Result<(), Trouble> {
        while !self.inbox.is_empty() || self.any_byte_came {
            if self.next.is_empty() {
                shared.queue().take(&mut self.next);
            }
            let Some(waiting) = self.next.front() else {
                // A server with too many connections says so, and closes.
                let why = "the server sent what nobody had asked for";
                return Err(Trouble::Broken(Broken::new(why, self.inbox.bytes())));
            };
            self.any_byte_came = true;
            let absorbed = self.replies.absorb(&waiting.awaited, &mut self.inbox, shared.server.features);
            match absorbed.map_err(Trouble::Broken)? {
                Absorbed::Incomplete => return Ok(()),
                Absorbed::Complete => {
                    self.any_byte_came = false;
                    self.answer(shared);
                }
            }
        }
        Ok(())
    }

    /// The replies to the next one are whole.
    fn answer(&mut self, shared: &Shared) {
        let Some(Waiting { asker, load, .. }) = self.next.pop_front() else { return };
        self.answered.add(load);
        if self.inbox.is_empty() {
            // Who asks again at once finds nobody in front of it.
            self.settle(shared);
        }
        match asker {
            Asker::Caller(mut caller) => match caller.put(&mut self.replies) {
                false => shared.node.counters.tombstones.add(1),
                true if caller.scopes.is_empty() => {
                    caller.answer(&[]);
                    self.slots.push(caller.slot);
                }
                true => self.parked.push(caller),
            },
            Asker::Generations => {
                let mut replied = Replied::default();
                self.replies.take(&mut replied.replies);
                replied.split_generations(replied.replies.len());
                for mut caller in self.parked.drain(..) {
                    caller.answer(&replied.generations);
                    self.slots.push(caller.slot);
                }
            }
        }
    }

    /// Tells the queue what is answered.
    fn settle(&mut self, shared: &Shared) {
        if !self.answered.is_none() {
            shared.queue().answered(&mut self.answered, self.slots.drain(..));
        }
    }

    /// Since when the one has waited whose replies are due.
    fn since(&self) -> Option<Instant> {
        self.next.front().map(|waiting| waiting.since)
    }

    /// The callers who are no longer in the queue.
    fn callers(&mut self) -> impl Iterator<Item = &mut Caller> {
        self.next.iter_mut().filter_map(Waiting::caller).chain(&mut self.parked)
    }

    /// Tells those whose time is over, and when that of the next one will be.
    fn look(&mut self, timeout: Duration, now: Instant) -> Option<Instant> {
        self.callers().filter_map(|caller| caller.look(timeout, now)).min()
    }

    /// Of those whose replies have begun, nothing may be asked again; of `others` no byte has come.
    fn end(&mut self, trouble: Trouble, others: &Trouble) {
        let trouble = match trouble {
            Trouble::Dead(why) => Trouble::Torn(why),
            other => other,
        };
        let begun = usize::from(self.any_byte_came);
        let begun_and_parked = self.next.iter_mut().take(begun).filter_map(Waiting::caller).chain(&mut self.parked);
        begun_and_parked.for_each(|caller| caller.fail(trouble.clone()));
        self.callers().for_each(|caller| caller.fail(others.clone()));
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
    let mut replies = Replies::default();
    loop {
        match poll_fn(|cx| reader.poll_read(cx, inbox.room())).await {
            Ok(0) => return Err(Trouble::Connect("the node closed the connection".to_owned())),
            Ok(count) => inbox.came(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        }
        if replies.absorb(&question.awaited, inbox, ANY).map_err(Trouble::Broken)? == Absorbed::Complete {
            let mut whole = Vec::new();
            replies.take(&mut whole);
            return Server::introduce(&whole);
        }
    }
}
