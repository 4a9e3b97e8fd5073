//! The connections of one node for blocking callers: the one used last is used next.
//!
//! Invariant: at most `pool_size` connections are open, and one that is lent has one user. No thread of its own keeps
//! the pool in shape, and none is probed: a caller that finds a dead connection replaces it.
//!
//! A process that was forked has the sockets of the other one, and would read its replies: what a pool has from before a
//! fork is closed unused. To ask for the process at each check-out is a system call beside those that write and read.
//! Tasks have no such check: no runtime survives a fork, and another one has connections of its own.

use std::mem;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::{Connection, Progress};
use crate::age::Life;
use crate::budget::Budget;
use crate::drain;
use crate::node::Node;
use crate::trouble::Trouble;
use crate::work::Message;

/// How a pool is run; see [`Config`](crate::config::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolSettings {
    pub(crate) size: usize,
    pub(crate) max_idle: usize,
    pub(crate) life: Life,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct Pool {
    node: Arc<Node>,
    settings: PoolSettings,
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The process that made them.
    process: u32,
    /// Those not in use, the one used last at the end.
    #[allow(clippy::vec_box, reason = "each exchange moves one out and in")]
    idle: Vec<Box<Connection>>,
    /// How many there are, lent ones included.
    open: usize,
    /// How many callers wait for one: to wake up nobody is a system call too.
    waiting: usize,
}

/// A place in the pool, with its connection once there is one. Dropped with a connection, it gives that back; a
/// connection that failed is taken out before.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Box<Connection>>,
    /// When it was lent, and in which process.
    since: Instant,
    process: u32,
}

impl Pool {
    pub(crate) fn new(node: Arc<Node>, settings: PoolSettings) -> Self {
        Pool { node, settings, state: Mutex::default(), given_back: Condvar::new() }
    }

    /// Begins to say this to the node.
    pub(crate) fn begin(&self, message: &mut dyn Message, budget: Budget) -> Result<Exchange<'_>, Trouble> {
        let lent = self.lend(budget)?;
        let since = lent.since;
        let mut exchange = Exchange { lent, budget, progress: Progress::More, is_repeated: false };
        match &mut exchange.lent.connection {
            Some(connection) => {
                let begun = connection.begin(message, budget, since);
                exchange.settle(begun, message)?;
            }
            None => exchange.begin_anew(message)?,
        }
        Ok(exchange)
    }

    /// A place in the pool, waiting for one if need be.
    fn lend(&self, budget: Budget) -> Result<Lent<'_>, Trouble> {
        // Declared before the lock, so that they are closed after it is let go of.
        let mut retired = Vec::new();
        // A clock is not read before something had to be waited for.
        let mut since = budget.started;
        let process = process::id();
        let mut state = self.state();
        if state.process != process {
            retired = state.inherited_by(process).idle;
            self.look_after_the_owed();
        }
        loop {
            if let Some(connection) = state.idle.pop() {
                if self.settings.life.has(connection.age, since) {
                    return Ok(Lent { pool: self, connection: Some(connection), since, process });
                }
                retired.push(connection);
                state.open -= 1;
                continue;
            }
            if state.open < self.settings.size {
                state.open += 1;
                return Ok(Lent { pool: self, connection: None, since, process });
            }
            let waited = budget.started.elapsed();
            let left = self.settings.timeout.min(budget.left(budget.started)).saturating_sub(waited);
            if left.is_zero() {
                return Err(Trouble::Busy(waited));
            }
            state.waiting += 1;
            state = self.given_back.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
            since = Instant::now();
        }
    }

    /// It was used at `now`, and lent in this process.
    fn give_back(&self, connection: Option<Box<Connection>>, now: Instant, process: u32) {
        let mut state = self.state();
        if state.process != process {
            // It was lent before a fork, and is not among those that are counted.
            return;
        }
        let superfluous = match connection {
            Some(mut connection) if connection.is_clean() && state.idle.len() < self.settings.max_idle => {
                connection.age.used = now;
                state.idle.push(connection);
                // The first is the one unused for longest.
                let first_is_old = !self.settings.life.has(state.idle[0].age, now);
                if first_is_old {
                    state.open -= 1;
                    Some(state.idle.remove(0))
                } else {
                    None
                }
            }
            connection => {
                state.open -= 1;
                connection
            }
        };
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.given_back.notify_one();
        }
        drop(superfluous);
    }

    /// The thread that repeats what is owed has not survived a fork.
    fn look_after_the_owed(&self) {
        if self.node.any_left() {
            drain::stir(&self.node);
        }
    }

    fn drop_idle(&self) {
        let mut state = self.state();
        let dead = mem::take(&mut state.idle);
        state.open -= dead.len();
        drop(state);
        self.given_back.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// From now on it is this process's, which has no connection yet and whose threads wait for none. What the other one
    /// had is given back, but for those that were lent: they are with threads that do not exist here.
    fn inherited_by(&mut self, process: u32) -> State {
        mem::replace(self, State { process, ..State::default() })
    }
}

/// An exchange under way, on a connection that is lent for it.
pub(crate) struct Exchange<'a> {
    lent: Lent<'a>,
    budget: Budget,
    progress: Progress,
    /// A dead connection was replaced: there is no third one.
    is_repeated: bool,
}

impl Exchange<'_> {
    /// Goes on with it: the same is written again should the connection turn out to have been dead. `in_turn`: as far as
    /// that goes without waiting for long.
    pub(crate) fn advance(&mut self, message: &mut dyn Message, in_turn: bool) -> Result<Progress, Trouble> {
        if let Some(connection) = &mut self.lent.connection
            && self.progress == Progress::More
        {
            let advanced = connection.advance(self.budget, in_turn);
            self.settle(advanced, message)?;
        }
        Ok(self.progress)
    }

    /// Hands over what came of it, once it is whole.
    pub(crate) fn end(mut self, message: &mut dyn Message) -> Result<(), Trouble> {
        self.lent.connection.as_mut().map_or(Ok(()), |connection| connection.end(message))
    }

    fn settle(&mut self, outcome: Result<Progress, Trouble>, message: &mut dyn Message) -> Result<(), Trouble> {
        match outcome {
            Ok(progress) => {
                self.progress = progress;
                Ok(())
            }
            Err(trouble) => {
                self.lent.connection = None;
                if !trouble.is_dead() || self.is_repeated {
                    return Err(trouble);
                }
                // The others have most likely died with it.
                self.lent.pool.drop_idle();
                self.lent.pool.node.counters.reconnects.add(1);
                self.begin_anew(message)
            }
        }
    }

    /// Begins on a new connection.
    fn begin_anew(&mut self, message: &mut dyn Message) -> Result<(), Trouble> {
        self.is_repeated = true;
        let pool = self.lent.pool;
        let is_late = self.budget.is_mostly_spent(Instant::now());
        let opened = Connection::open(&pool.node, self.budget.at_most(pool.settings.connect_timeout));
        let mut connection = Box::new(opened.map_err(|trouble| match trouble {
            Trouble::Unreached(_) if is_late => Trouble::Late,
            trouble => trouble,
        })?);
        self.progress = connection.begin(message, self.budget, Instant::now())?;
        self.lent.connection = Some(connection);
        Ok(())
    }
}

impl Drop for Exchange<'_> {
    /// What is still to come on a connection would reach whoever gets it next.
    fn drop(&mut self) {
        if self.progress == Progress::More {
            self.lent.connection = None;
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.connection.take(), self.since, self.process);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cache_core::key::FarKey;
    use memcached_server::Server as Memcached;

    use super::*;
    use crate::address::Address;
    use crate::batch::{Batch, Replied};
    use crate::node::NodeSettings;
    use crate::pending::Due;
    use crate::proto::Request;
    use crate::server::Server;

    const MINUTE: Duration = Duration::from_secs(60);

    fn pool(server: &Memcached) -> Pool {
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: server.port() };
        let settings = PoolSettings {
            size: 4,
            max_idle: 2,
            life: Life { idle_timeout: MINUTE, max_lifetime: Some(60 * MINUTE) },
            timeout: MINUTE,
            connect_timeout: MINUTE,
        };
        let node_settings = NodeSettings { connect_timeout: MINUTE, io_timeout: MINUTE, blacklist: MINUTE };
        Pool::new(Arc::new(Node::new(address, node_settings)), settings)
    }

    struct Noop;

    impl Message for Noop {
        fn write(&mut self, _: &Node, _: &Server, batch: &mut Batch) {
            batch.push(&Request::Noop);
        }

        fn absorb(&mut self, _: &Node, replied: &mut Replied) -> Result<(), Trouble> {
            assert_eq!(replied.replies.len(), 1);
            Ok(())
        }
    }

    fn exchange(pool: &Pool) {
        let mut exchange = pool.begin(&mut Noop, Budget::of(MINUTE)).unwrap();
        assert_eq!(exchange.advance(&mut Noop, false).unwrap(), Progress::Whole);
        assert_eq!(exchange.end(&mut Noop), Ok(()));
    }

    /// How many connections are open, unused, and were ever made.
    fn connections(pool: &Pool, server: &Memcached) -> (usize, usize, u64) {
        let stats = server.say("stats\r\n");
        let made = stats.lines().find_map(|line| line.strip_prefix("STAT total_connections ")).unwrap();
        let state = pool.state();
        (state.open, state.idle.len(), made.trim().parse().unwrap())
    }

    #[test]
    fn no_more_than_max_idle_are_kept_and_the_last_one_used_is_used_next() {
        let server = Memcached::start(&[]);
        let pool = pool(&server);
        let connect = || Some(Connection::open(&pool.node, Budget::of(MINUTE)).unwrap());
        let mut lent: Vec<Lent<'_>> = (0..4).map(|_| pool.lend(Budget::of(MINUTE)).unwrap()).collect();
        lent.iter_mut().for_each(|lent| lent.connection = connect().map(Box::new));
        assert_eq!(pool.state().open, 4);
        drop(lent);
        let (open, idle, made) = connections(&pool, &server);
        assert_eq!((open, idle), (2, 2));
        let last = pool.state().idle[1].age.made;
        assert_eq!(pool.lend(Budget::of(MINUTE)).unwrap().connection.as_ref().unwrap().age.made, last);
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (2, 2, made + 1), "the one that asks for the figures, and no other");
    }

    #[test]
    fn one_unused_for_long_and_one_that_is_old_are_replaced() {
        let server = Memcached::start(&[]);
        let pool = pool(&server);
        exchange(&pool);
        let (open, idle, made) = connections(&pool, &server);
        assert_eq!((open, idle), (1, 1));
        pool.state().idle[0].age.used -= MINUTE;
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (1, 1, made + 2), "unused for `idle_timeout`");
        pool.state().idle[0].age.made -= 60 * MINUTE;
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (1, 1, made + 4), "as old as `max_lifetime`");
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (1, 1, made + 5), "young and in use");
    }

    #[test]
    fn what_another_process_made_is_closed_unused_and_not_counted() {
        let server = Memcached::start(&[]);
        let pool = pool(&server);
        let connect = || Some(Connection::open(&pool.node, Budget::of(MINUTE)).unwrap());
        let mut lent: Vec<Lent<'_>> = (0..2).map(|_| pool.lend(Budget::of(MINUTE)).unwrap()).collect();
        lent.iter_mut().for_each(|lent| lent.connection = connect().map(Box::new));
        drop(lent.pop());
        let (open, idle, made) = connections(&pool, &server);
        assert_eq!((open, idle), (2, 1));
        // As a fork has them.
        lent[0].process += 1;
        pool.state().process += 1;
        pool.state().waiting = 3;
        let (key, region) = (FarKey::new("pool:k").unwrap(), FarKey::new("pool:@region").unwrap());
        pool.node.owe(&key, Due::Hard, &region);
        assert!(pool.node.leave(&key));
        exchange(&pool);
        let began = Instant::now();
        while pool.node.any_left() {
            assert!(began.elapsed() < MINUTE / 6, "what is owed is not repeated");
            std::thread::yield_now();
        }
        assert_eq!(
            connections(&pool, &server),
            (1, 1, made + 3),
            "a new one, the one for what was owed, and the one that asks"
        );
        assert_eq!(pool.state().waiting, 0);
        drop(lent);
        assert_eq!(connections(&pool, &server), (1, 1, made + 4), "it is not given back");
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (1, 1, made + 5));
        let began = Instant::now();
        while pool.node.counters.connections.get() != 1 {
            assert!(began.elapsed() < MINUTE / 6, "both of the other process are closed, and that of the thread");
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_has_no_time_left_for_a_connection_says_nothing_about_the_node() {
        let server = Memcached::start(&[]);
        let pool = pool(&server);
        let now = Instant::now();
        let spent = Budget { started: now - MINUTE, deadline: now };
        assert_eq!(pool.begin(&mut Noop, spent).err(), Some(Trouble::Late));
        exchange(&pool);
    }

    #[test]
    fn one_that_nobody_needs_any_more_is_closed_while_another_is_used() {
        let server = Memcached::start(&[]);
        let pool = pool(&server);
        let connect = || Some(Connection::open(&pool.node, Budget::of(MINUTE)).unwrap());
        let mut lent: Vec<Lent<'_>> = (0..2).map(|_| pool.lend(Budget::of(MINUTE)).unwrap()).collect();
        lent.iter_mut().for_each(|lent| lent.connection = connect().map(Box::new));
        drop(lent);
        pool.state().idle[0].age.used -= MINUTE;
        exchange(&pool);
        let state = pool.state();
        assert_eq!((state.open, state.idle.len()), (1, 1));
    }
}
