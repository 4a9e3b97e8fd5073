//! One connection that the tasks of a runtime share.
//!
//! A caller appends its batch under a short lock. The first of a burst writes what all have gathered, after it has
//! yielded once; if nobody else is about, at once. The connection's own task reads, and writes what a full socket
//! did not take. Invariant: a connection on which anything failed ends, and fails all who wait on it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::sync::Notify;

use super::queue::{Outcome, Queue, Role, Waiting};
use super::socket::Socket;
use crate::address::Address;
use crate::batch::{Absorbed, Batch, Inbox, Replies};
use crate::proto::{Broken, Reply};
use crate::server::{ANY, Server};
use crate::trouble::Trouble;

/// A shared connection. It ends when the last of those who hold it is gone.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    io_timeout: Duration,
}

#[derive(Debug)]
struct Shared {
    server: Server,
    socket: Socket,
    queue: Mutex<Queue>,
    /// The task has something to write, or shall end.
    stir: Notify,
}

impl Link {
    /// Connects, asks the server what it is, and starts the connection's task on this runtime. The caller bounds it.
    pub(super) async fn open(address: &Address, io_timeout: Duration, max_in_flight: usize) -> Result<Self, Trouble> {
        let failed = |error: io::Error| Trouble::Connect(error.to_string());
        let socket = Socket::connect(address).await.map_err(failed)?;
        let server = introduced(&socket).await?;
        let queue = Mutex::new(Queue::new(max_in_flight));
        let shared = Arc::new(Shared { server, socket, queue, stir: Notify::new() });
        let task = Task { shared: shared.clone(), inbox: Inbox::new(), current: None, needed: 1, any_byte_came: false };
        drop(tokio::spawn(task.run()));
        Ok(Link { shared, io_timeout })
    }

    pub(super) fn server(&self) -> &Server {
        &self.shared.server
    }

    pub(super) fn is_ended(&self) -> bool {
        self.shared.queue().is_ended()
    }

    /// Sends the batch, and waits for its replies; dropped, it leaves its place in the queue behind.
    pub(super) async fn exchange(&self, batch: Batch, deadline: Instant) -> Result<Vec<Reply>, Trouble> {
        let started = Instant::now();
        let (answer, role) = self.shared.queue().push(batch, started)?;
        match role {
            Role::WriteNow => self.shared.flush(),
            Role::WriteSoon => {
                // Whether it is woken or dropped, what was promised is done.
                let _promise = Promise(&self.shared);
                tokio::task::yield_now().await;
            }
            Role::Wait => {}
        }
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Trouble::closed(false)),
            Err(_) => {
                if self.shared.queue().end_if_overdue(self.io_timeout, Instant::now()) {
                    self.shared.stir.notify_one();
                }
                Err(Trouble::TimedOut(started.elapsed()))
            }
        }
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
            let Some(mut bytes) = self.queue().unsent() else { return true };
            let mut written = 0;
            while written < bytes.len() {
                match self.socket.try_write(&bytes[written..]) {
                    Ok(count) => written += count,
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
    inbox: Inbox,
    current: Option<Waiting>,
    /// How many bytes must be there before it is worth parsing.
    needed: usize,
    /// Whether a reply has begun that is not whole yet.
    any_byte_came: bool,
}

impl Task {
    async fn run(mut self) {
        let shared = self.shared.clone();
        let mut to_write = false;
        loop {
            let interest = if to_write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let (mut ready, mut stirred) = (pin!(shared.socket.ready(interest)), pin!(shared.stir.notified()));
            let event = poll_fn(|cx| match stirred.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => ready.as_mut().poll(cx).map(Some),
            })
            .await;
            match event {
                None if shared.queue().is_ended() => return,
                None => to_write = true,
                Some(Err(error)) => return self.end(Trouble::of_io(&error, self.any_byte_came)),
                Some(Ok(ready)) => {
                    if to_write && ready.is_writable() {
                        to_write = !shared.write();
                    }
                    if (ready.is_readable() || ready.is_read_closed())
                        && let Err(trouble) = self.read()
                    {
                        return self.end(trouble);
                    }
                }
            }
        }
    }

    /// Reads all that has come, and answers those whose replies are whole.
    fn read(&mut self) -> Result<(), Trouble> {
        loop {
            let room = self.inbox.room(self.needed);
            let asked = room.len();
            let count = match self.shared.socket.try_read(room) {
                Ok(0) => return Err(Trouble::closed(self.any_byte_came)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::of_io(&error, self.any_byte_came)),
            };
            self.inbox.came(count);
            self.answer()?;
            if count < asked {
                return Ok(());
            }
        }
    }

    fn answer(&mut self) -> Result<(), Trouble> {
        while !self.inbox.is_empty() {
            if self.current.is_none() {
                self.current = self.shared.queue().next();
            }
            let Some(waiting) = &mut self.current else {
                // A server with too many connections says so, and closes.
                return Err(Trouble::Broken(Broken::new(
                    "the server sent what nobody had asked for",
                    self.inbox.bytes(),
                )));
            };
            match waiting.replies.absorb(&mut self.inbox, self.shared.server.features).map_err(Trouble::Broken)? {
                Absorbed::Needs(needed) => {
                    self.needed = needed;
                    self.any_byte_came = true;
                    return Ok(());
                }
                Absorbed::Complete => {
                    self.needed = 1;
                    self.any_byte_came = false;
                    if let Some(waiting) = self.current.take() {
                        self.shared.queue().answered(&waiting);
                        // One who gave up is gone.
                        let _ = waiting.caller.send(Ok(waiting.replies.into_replies()));
                    }
                }
            }
        }
        Ok(())
    }

    /// The one whose reply had begun is told what happened; of the others' replies no byte came.
    fn end(&mut self, trouble: Trouble) {
        let others = match &trouble {
            Trouble::Torn(why) => Trouble::Dead(why.clone()),
            other => other.clone(),
        };
        if let Some(waiting) = self.current.take() {
            let outcome: Outcome = Err(trouble);
            let _ = waiting.caller.send(outcome);
        }
        self.shared.queue().end(others);
    }
}

impl Drop for Task {
    /// The runtime may end before the connection does.
    fn drop(&mut self) {
        self.end(Trouble::closed(self.any_byte_came));
    }
}

/// The first exchange on a socket that nobody else uses yet.
async fn introduced(socket: &Socket) -> Result<Server, Trouble> {
    let question = Server::question();
    let failed = |error: &io::Error| Trouble::Connect(error.to_string());
    // A new socket has room for so few bytes.
    socket.ready(Interest::WRITABLE).await.map_err(|error| failed(&error))?;
    match socket.try_write(&question.bytes) {
        Ok(count) if count == question.bytes.len() => {}
        Ok(_) => return Err(Trouble::Connect("the socket took only part of the first request".to_owned())),
        Err(error) => return Err(failed(&error)),
    }
    let (mut inbox, mut replies, mut needed) = (Inbox::new(), Replies::to(question.expected), 1);
    loop {
        socket.ready(Interest::READABLE).await.map_err(|error| failed(&error))?;
        match socket.try_read(inbox.room(needed)) {
            Ok(0) => return Err(Trouble::Connect("the node closed the connection".to_owned())),
            Ok(count) => inbox.came(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(failed(&error)),
        }
        match replies.absorb(&mut inbox, ANY).map_err(Trouble::Broken)? {
            Absorbed::Complete => return Server::introduce(&replies.into_replies()),
            Absorbed::Needs(more) => needed = more,
        }
    }
}
