//! The exchanges that leases, fences and invalidations rest on, each to be answered alike by every memcached.
//!
//! Invariant: a row names no CAS number and no exact TTL, only which are equal and which are not, so that it can be
//! asked of a server that is in use. Each row takes keys of its own.

mod items;
mod leases;

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use super::{Code, Command, Left, MetaArithmetic, MetaDelete, MetaGet, MetaServer, MetaSet, Mode, Reply, md, mg, ms};
use crate::key::FarKey;

/// One exchange with a server.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What it shows, as a sentence.
    pub name: &'static str,
    /// How the server must have been started.
    pub setup: Setup,
    run: fn(&Talk<'_>) -> Result<(), String>,
}

/// How the server that a [`Row`] is asked of must have been started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// As it comes: 1 MiB for the largest item, CAS on, room to spare.
    Plain,
    /// Without CAS (`-C`).
    WithoutCas,
}

/// A server that answered otherwise than memcached does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// The row's name.
    pub row: &'static str,
    /// What was expected, and what came.
    pub what: String,
}

impl fmt::Display for RowFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.row, self.what)
    }
}

impl std::error::Error for RowFailure {}

impl Row {
    /// Has the exchange with `server`, under keys that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// The first answer that is not memcached's.
    pub fn run(&self, server: &dyn MetaServer, prefix: &str) -> Result<(), RowFailure> {
        let talk = Talk { server, prefix, row: self.name, said: Cell::new(0) };
        (self.run)(&talk).map_err(|what| RowFailure { row: self.name, what })
    }
}

/// All rows.
pub fn rows() -> Vec<Row> {
    let plain = |name, run| Row { name, setup: Setup::Plain, run };
    let mut rows = vec![
        plain("a miss makes a stub, and one of all who ask wins it", leases::miss_and_win as Run),
        plain("the winner's store clears the token", leases::fenced_store),
        plain("R hands out one token while the old value flows", leases::early_refresh),
        plain("R is strict, and never fires on what lives for ever", leases::recache_is_strict),
        plain("a soft invalidation has one winner and refuses older writers", leases::soft_invalidation),
        plain("with I an older writer is let in, and the item stays stale", leases::stale_store),
        plain("a delete during a computation refuses its store", leases::hard_delete),
        plain("a dead winner's stub expires", leases::dead_winner_on_a_stub),
        plain("a dead winner's token comes back with the end of the value", leases::dead_winner_on_a_value),
        plain("of all who take over by CAS one succeeds", leases::takeover),
        plain("a takeover and its read in one pipeline have one winner", leases::takeover_in_one_pipeline),
        plain("a token that is handed back is won again", leases::hand_back),
        plain("any read of a stale item takes the token", leases::plain_read_takes_the_token),
        plain("classic get shows no bit and takes no token", items::classic_get),
        plain("a store without CAS clears both bits, and without TTL lives for ever", items::plain_store),
        plain("append and prepend clear both bits and keep the TTL", items::concatenation),
        plain("append works on a stub", items::append_to_a_stub),
        plain("arithmetic of the same width keeps both bits", items::arithmetic_in_place),
        plain("arithmetic that needs a wider item clears both bits", items::arithmetic_moves),
        plain("arithmetic on what is no number is refused", items::arithmetic_refused),
        plain("add is refused on a stub and on a stale item", items::add_refused),
        plain("replace needs an item", items::replace),
        plain("touch keeps CAS and bits; a touching read still takes the token", items::touch),
        plain("md I keeps value and TTL, gives a new CAS and frees the token", items::mark_stale),
        plain("md I with T gives a new TTL", items::mark_stale_with_ttl),
        plain("md I T0 makes a stale item that lives for ever", items::mark_stale_for_ever),
        plain("delete compares the CAS, and says when there is nothing", items::delete),
        plain("a store that is too large removes the old value, in every mode", items::too_large),
        plain("an append that becomes too large keeps the old value", items::append_too_large),
        plain("an item of n seconds lives more than n-1 and at most n", items::seconds),
        plain("a TTL above thirty days is taken for a time long past", items::long_ttl),
        plain("a flag that is unknown or stands twice is an error", items::bad_flags),
        plain("k echoes the key, mn answers MN", items::echo),
    ];
    rows.push(Row { name: "without CAS nothing can be fenced", setup: Setup::WithoutCas, run: items::without_cas });
    rows
}

type Run = fn(&Talk<'_>) -> Result<(), String>;
type Done = Result<(), String>;

/// The three connections of a row.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

struct Talk<'a> {
    server: &'a dyn MetaServer,
    prefix: &'a str,
    row: &'static str,
    said: Cell<u32>,
}

impl Talk<'_> {
    fn key(&self, name: &str) -> Result<FarKey, String> {
        // The row's own number keeps the keys of two rows apart; its name has blanks.
        let row = self.row.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        FarKey::new(format!("{}{row:08x}:{name}", self.prefix)).map_err(|error| error.to_string())
    }

    fn say(&self, connection: usize, command: Command) -> Reply {
        self.said.set(self.said.get() + 1);
        self.server.execute(connection, &command)
    }

    fn expect(&self, connection: usize, command: impl Into<Command>, expected: &str) -> Result<Reply, String> {
        let command = command.into();
        let reply = self.say(connection, command.clone());
        if reply.to_string() == expected {
            return Ok(reply);
        }
        Err(format!("command {} ({command:?}) should be answered `{expected}`, not `{reply}`", self.said.get()))
    }

    /// Stores `value` whatever is there, and tells its CAS.
    fn put(&self, key: &FarKey, value: &str, ttl: u32) -> Result<u64, String> {
        cas(&self.expect(A, MetaSet { ttl: Some(ttl), ..ms(key, value) }, "HD")?)
    }

    fn pass(&self, milliseconds: u64) {
        self.server.pass(Duration::from_millis(milliseconds));
    }
}

impl From<MetaGet> for Command {
    fn from(get: MetaGet) -> Self {
        Command::Get(get)
    }
}

impl From<MetaSet> for Command {
    fn from(set: MetaSet) -> Self {
        Command::Set(set)
    }
}

impl From<MetaDelete> for Command {
    fn from(delete: MetaDelete) -> Self {
        Command::Delete(delete)
    }
}

impl From<MetaArithmetic> for Command {
    fn from(arithmetic: MetaArithmetic) -> Self {
        Command::Arithmetic(arithmetic)
    }
}

fn claim(key: &FarKey, flags: &'static str, ttl: u32) -> MetaGet {
    MetaGet { vivify: Some(ttl), ..mg(key, flags) }
}

fn fenced(key: &FarKey, value: &str, cas: u64) -> MetaSet {
    MetaSet { cas: Some(cas), ttl: Some(60), ..ms(key, value) }
}

fn soften(key: &FarKey) -> MetaDelete {
    MetaDelete { flags: "I", ..md(key) }
}

fn cas(reply: &Reply) -> Result<u64, String> {
    reply.cas.ok_or_else(|| format!("`{reply}` should carry a CAS"))
}

fn same(what: &str, one: u64, other: u64) -> Done {
    if one == other { Ok(()) } else { Err(format!("{what}: {one} should be {other}")) }
}

fn newer(what: &str, old: u64, new: u64) -> Done {
    if new > old { Ok(()) } else { Err(format!("{what}: CAS {new} should be above {old}")) }
}

/// The server's second may have turned between two commands.
fn left_about(reply: &Reply, seconds: u32) -> Done {
    match reply.left {
        Some(Left::Seconds(left)) if (seconds - 1..=seconds).contains(&left) => Ok(()),
        other => Err(format!("about {seconds} seconds should be left, not {other:?}")),
    }
}

fn left_for_ever(reply: &Reply) -> Done {
    if reply.left == Some(Left::Forever) { Ok(()) } else { Err(format!("`t-1` expected, not {:?}", reply.left)) }
}
