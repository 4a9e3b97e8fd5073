//! The connections of one node for blocking callers: the one used last is used next.
//!
//! Invariant: at most `pool_size` connections are open, and one that is lent has one user. No thread of its own keeps
//! the pool in shape, and none is probed: a caller that finds a dead connection replaces it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::batch::{Batch, Replied};
use crate::budget::Budget;
use crate::node::Node;
use crate::server::Server;
use crate::trouble::Trouble;

/// How a pool is run; see [`Config`](crate::config::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolSettings {
    pub(crate) size: usize,
    pub(crate) max_idle: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_lifetime: Option<Duration>,
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
    /// Those not in use, the one used last at the end.
    idle: Vec<Connection>,
    /// How many there are, lent ones included.
    open: usize,
    /// How many callers wait for one: to wake up nobody is a system call too.
    waiting: usize,
}

/// A place in the pool, with its connection once there is one. Dropped with a connection, it gives that back; a
/// connection that failed is taken out before.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
    /// When it was lent.
    since: Instant,
}

impl Pool {
    pub(crate) fn new(node: Arc<Node>, settings: PoolSettings) -> Self {
        Pool { node, settings, state: Mutex::default(), given_back: Condvar::new() }
    }

    /// Has one exchange: `batch` is written for the server that will get it, and again for another one if the
    /// connection turns out to have been dead.
    pub(crate) fn exchange<'b>(
        &self,
        budget: Budget,
        batch: &mut dyn FnMut(&Server) -> Batch<'b>,
    ) -> Result<Replied, Trouble> {
        let mut lent = self.lend(budget)?;
        if let Some(connection) = &mut lent.connection {
            match attempt(connection, budget, lent.since, batch) {
                Ok(replied) => return Ok(replied),
                Err(trouble) => {
                    lent.connection = None;
                    if !trouble.is_dead() {
                        return Err(trouble);
                    }
                    // The others have most likely died with it.
                    self.drop_idle();
                    self.node.counters.reconnects.add(1);
                }
            }
        }
        let mut connection = Connection::open(&self.node, budget.at_most(self.settings.connect_timeout))?;
        let replied = attempt(&mut connection, budget, Instant::now(), batch)?;
        lent.connection = Some(connection);
        Ok(replied)
    }

    /// A place in the pool, waiting for one if need be.
    fn lend(&self, budget: Budget) -> Result<Lent<'_>, Trouble> {
        // Declared before the lock, so that they are closed after it is let go of.
        let mut retired = Vec::new();
        // A clock is not read before something had to be waited for.
        let mut since = budget.started;
        let mut state = self.state();
        loop {
            if let Some(connection) = state.idle.pop() {
                if self.is_usable(&connection, since) {
                    return Ok(Lent { pool: self, connection: Some(connection), since });
                }
                retired.push(connection);
                state.open -= 1;
                continue;
            }
            if state.open < self.settings.size {
                state.open += 1;
                return Ok(Lent { pool: self, connection: None, since });
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

    /// It was used at `now`.
    fn give_back(&self, connection: Option<Connection>, now: Instant) {
        let mut state = self.state();
        let superfluous = match connection {
            Some(mut connection) if connection.is_clean() && state.idle.len() < self.settings.max_idle => {
                connection.used = now;
                state.idle.push(connection);
                // The first is the one unused for longest.
                let first_is_old = !self.is_usable(&state.idle[0], now);
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

    fn is_usable(&self, connection: &Connection, now: Instant) -> bool {
        let idle = now.saturating_duration_since(connection.used);
        let age = now.saturating_duration_since(connection.made);
        idle < self.settings.idle_timeout && self.settings.max_lifetime.is_none_or(|most| age < most)
    }

    fn drop_idle(&self) {
        let mut state = self.state();
        let dead = std::mem::take(&mut state.idle);
        state.open -= dead.len();
        drop(state);
        self.given_back.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attempt<'b>(
    connection: &mut Connection,
    budget: Budget,
    now: Instant,
    batch: &mut dyn FnMut(&Server) -> Batch<'b>,
) -> Result<Replied, Trouble> {
    let batch = batch(connection.server());
    if batch.is_empty() { Ok(Replied::nothing()) } else { connection.exchange(batch, budget, now) }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.connection.take(), self.since);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use memcached_server::Server;

    use super::*;
    use crate::address::Address;
    use crate::node::NodeSettings;
    use crate::proto::Request;

    const MINUTE: Duration = Duration::from_secs(60);

    fn pool(server: &Server) -> Pool {
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: server.port() };
        let settings = PoolSettings {
            size: 4,
            max_idle: 2,
            idle_timeout: MINUTE,
            timeout: MINUTE,
            max_lifetime: Some(60 * MINUTE),
            connect_timeout: MINUTE,
        };
        let node_settings = NodeSettings { connect_timeout: MINUTE, io_timeout: MINUTE, blacklist: MINUTE };
        Pool::new(Arc::new(Node::new(address, node_settings)), settings)
    }

    fn exchange(pool: &Pool) {
        let mut noop = |_: &_| {
            let mut batch = Batch::default();
            batch.push(&Request::Noop);
            batch
        };
        assert_eq!(pool.exchange(Budget::of(MINUTE), &mut noop).unwrap().replies.len(), 1);
    }

    /// How many connections are open, unused, and were ever made.
    fn connections(pool: &Pool, server: &Server) -> (usize, usize, u64) {
        let stats = server.say("stats\r\n");
        let made = stats.lines().find_map(|line| line.strip_prefix("STAT total_connections ")).unwrap();
        let state = pool.state();
        (state.open, state.idle.len(), made.trim().parse().unwrap())
    }

    #[test]
    fn no_more_than_max_idle_are_kept_and_the_last_one_used_is_used_next() {
        let server = Server::start(&[]);
        let pool = pool(&server);
        let connect = || Some(Connection::open(&pool.node, Budget::of(MINUTE)).unwrap());
        let mut lent: Vec<Lent<'_>> = (0..4).map(|_| pool.lend(Budget::of(MINUTE)).unwrap()).collect();
        lent.iter_mut().for_each(|lent| lent.connection = connect());
        assert_eq!(pool.state().open, 4);
        drop(lent);
        let (open, idle, made) = connections(&pool, &server);
        assert_eq!((open, idle), (2, 2));
        let last = pool.state().idle[1].made;
        assert_eq!(pool.lend(Budget::of(MINUTE)).unwrap().connection.as_ref().unwrap().made, last);
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (2, 2, made + 1), "the one that asks for the figures, and no other");
    }

    #[test]
    fn one_unused_for_long_and_one_that_is_old_are_replaced() {
        let server = Server::start(&[]);
        let pool = pool(&server);
        exchange(&pool);
        let (open, idle, made) = connections(&pool, &server);
        assert_eq!((open, idle), (1, 1));
        pool.state().idle[0].used -= MINUTE;
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (1, 1, made + 2), "unused for `idle_timeout`");
        pool.state().idle[0].made -= 60 * MINUTE;
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (1, 1, made + 4), "as old as `max_lifetime`");
        exchange(&pool);
        assert_eq!(connections(&pool, &server), (1, 1, made + 5), "young and in use");
    }

    #[test]
    fn one_that_nobody_needs_any_more_is_closed_while_another_is_used() {
        let server = Server::start(&[]);
        let pool = pool(&server);
        let connect = || Some(Connection::open(&pool.node, Budget::of(MINUTE)).unwrap());
        let mut lent: Vec<Lent<'_>> = (0..2).map(|_| pool.lend(Budget::of(MINUTE)).unwrap()).collect();
        lent.iter_mut().for_each(|lent| lent.connection = connect());
        drop(lent);
        pool.state().idle[0].used -= MINUTE;
        exchange(&pool);
        let state = pool.state();
        assert_eq!((state.open, state.idle.len()), (1, 1));
    }
}
