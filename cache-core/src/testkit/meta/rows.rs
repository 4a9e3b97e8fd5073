//! The exchanges that leases, fences and invalidations rest on, each to be answered alike by every memcached.
//!
//! Invariant: a row names no CAS number and no exact TTL, only which are equal and which are not, so that it can be
//! asked of a server that is in use. Each row takes keys of its own.

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
        plain("a miss makes a stub, and one of all who ask wins it", miss_and_win as Run),
        plain("the winner's store clears the token", fenced_store),
        plain("R hands out one token while the old value flows", early_refresh),
        plain("R is strict, and never fires on what lives for ever", recache_is_strict),
        plain("a soft invalidation has one winner and refuses older writers", soft_invalidation),
        plain("with I an older writer is let in, and the item stays stale", stale_store),
        plain("a delete during a computation refuses its store", hard_delete),
        plain("a dead winner's stub expires", dead_winner_on_a_stub),
        plain("a dead winner's token comes back with the end of the value", dead_winner_on_a_value),
        plain("of all who take over by CAS one succeeds", takeover),
        plain("a takeover and its read in one pipeline have one winner", takeover_in_one_pipeline),
        plain("a token that is handed back is won again", hand_back),
        plain("any read of a stale item takes the token", plain_read_takes_the_token),
        plain("classic get shows no bit and takes no token", classic_get),
        plain("a store without CAS clears both bits, and without TTL lives for ever", plain_store),
        plain("append and prepend clear both bits and keep the TTL", concatenation),
        plain("append works on a stub", append_to_a_stub),
        plain("arithmetic of the same width keeps both bits", arithmetic_in_place),
        plain("arithmetic that needs a wider item clears both bits", arithmetic_moves),
        plain("arithmetic on what is no number is refused", arithmetic_refused),
        plain("add is refused on a stub and on a stale item", add_refused),
        plain("replace needs an item", replace),
        plain("touch keeps CAS and bits; a touching read still takes the token", touch),
        plain("md I keeps value and TTL, gives a new CAS and frees the token", mark_stale),
        plain("md I with T gives a new TTL", mark_stale_with_ttl),
        plain("md I T0 makes a stale item that lives for ever", mark_stale_for_ever),
        plain("delete compares the CAS, and says when there is nothing", delete),
        plain("a store that is too large removes the old value, in every mode", too_large),
        plain("an append that becomes too large keeps the old value", append_too_large),
        plain("an item of n seconds lives more than n-1 and at most n", seconds),
        plain("a TTL above thirty days is taken for a time long past", long_ttl),
        plain("a flag that is unknown or stands twice is an error", bad_flags),
        plain("k echoes the key, mn answers MN", echo),
    ];
    rows.push(Row { name: "without CAS nothing can be fenced", setup: Setup::WithoutCas, run: without_cas });
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

fn miss_and_win(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let ask = MetaGet { recache: Some(10), ..claim(&item, "svtcf", 30) };
    let won = talk.expect(A, ask.clone(), "VA \"\" f0 s0 W")?;
    let lost = talk.expect(B, ask, "VA \"\" f0 s0 Z")?;
    same("CAS of one stub", cas(&won)?, cas(&lost)?)?;
    left_about(&lost, 30)?;
    talk.expect(C, mg(&item, "v"), "VA \"\" Z")?;
    talk.expect(C, Command::ClassicGet(item), "VA \"\" f0").map(drop)
}

fn fenced_store(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let token = cas(&talk.expect(A, claim(&item, "c", 30), "HD W")?)?;
    let stored = talk.expect(A, MetaSet { client_flags: 7, ..fenced(&item, "hello", token) }, "HD")?;
    newer("a store", token, cas(&stored)?)?;
    let ask = MetaGet { recache: Some(10), ..claim(&item, "vtcf", 30) };
    let seen = talk.expect(B, ask, "VA \"hello\" f7")?;
    same("CAS told by the store and by a read", cas(&stored)?, cas(&seen)?)?;
    left_about(&seen, 60)
}

fn early_refresh(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let first = talk.put(&item, "hello", 60)?;
    let ask = MetaGet { recache: Some(100), ..claim(&item, "vtc", 30) };
    let won = talk.expect(A, ask.clone(), "VA \"hello\" W")?;
    same("R changes no CAS", cas(&won)?, first)?;
    left_about(&won, 60)?;
    talk.expect(B, ask.clone(), "VA \"hello\" Z")?;
    talk.expect(A, MetaSet { ttl: Some(200), ..fenced(&item, "hello2", first) }, "HD")?;
    talk.expect(B, ask, "VA \"hello2\"").map(drop)
}

fn recache_is_strict(talk: &Talk<'_>) -> Done {
    let (bounded, immortal) = (talk.key("bounded")?, talk.key("immortal")?);
    talk.put(&bounded, "x", 100)?;
    talk.expect(A, MetaGet { recache: Some(90), ..mg(&bounded, "v") }, "VA \"x\"")?;
    talk.expect(A, MetaGet { recache: Some(101), ..mg(&bounded, "v") }, "VA \"x\" W")?;
    talk.put(&immortal, "x", 0)?;
    let seen = talk.expect(A, MetaGet { recache: Some(1_000_000), ..mg(&immortal, "vt") }, "VA \"x\"")?;
    left_for_ever(&seen)
}

fn soft_invalidation(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let before = talk.put(&item, "hello2", 60)?;
    talk.expect(A, MetaDelete { ttl: Some(30), ..soften(&item) }, "HD")?;
    let ask = MetaGet { recache: Some(10), ..claim(&item, "vtc", 30) };
    let won = talk.expect(B, ask.clone(), "VA \"hello2\" W X")?;
    newer("md I", before, cas(&won)?)?;
    left_about(&won, 30)?;
    let lost = talk.expect(C, ask, "VA \"hello2\" Z X")?;
    same("one stale item", cas(&won)?, cas(&lost)?)?;
    let refused = talk.expect(C, fenced(&item, "old", before), "EX")?;
    same("the CAS of a refused store", cas(&refused)?, 0)?;
    talk.expect(B, fenced(&item, "new", cas(&won)?), "HD")?;
    talk.expect(C, mg(&item, "v"), "VA \"new\"").map(drop)
}

fn stale_store(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let before = talk.put(&item, "hello", 60)?;
    talk.expect(A, MetaDelete { ttl: Some(30), ..soften(&item) }, "HD")?;
    let won = cas(&talk.expect(B, claim(&item, "c", 30), "HD W X")?)?;
    let late = talk.expect(C, MetaSet { flags: "cI", ..fenced(&item, "old", before) }, "HD")?;
    newer("a late store with I", won, cas(&late)?)?;
    let seen = talk.expect(C, mg(&item, "vtc"), "VA \"old\" Z X")?;
    same("the late store's CAS", cas(&seen)?, cas(&late)?)?;
    left_about(&seen, 30)?;
    talk.expect(B, fenced(&item, "new", won), "EX")?;
    talk.expect(B, MetaSet { flags: "cI", ..fenced(&item, "later", cas(&late)? + 1000) }, "EX").map(drop)
}

fn hard_delete(talk: &Talk<'_>) -> Done {
    let k2 = talk.key("k2")?;
    let first = cas(&talk.expect(A, claim(&k2, "vc", 30), "VA \"\" W")?)?;
    talk.expect(B, md(&k2), "HD")?;
    let refused = talk.expect(A, fenced(&k2, "x", first), "NF")?;
    same("the CAS of a refused store", cas(&refused)?, 0)?;
    let second = cas(&talk.expect(B, claim(&k2, "vc", 30), "VA \"\" W")?)?;
    newer("a new stub", first, second)?;
    talk.expect(A, fenced(&k2, "x", first), "EX")?;
    talk.expect(B, fenced(&k2, "y", second), "HD").map(drop)
}

fn dead_winner_on_a_stub(talk: &Talk<'_>) -> Done {
    let key = talk.key("stub")?;
    let first = cas(&talk.expect(A, claim(&key, "c", 2), "HD W")?)?;
    talk.expect(B, claim(&key, "c", 2), "HD Z")?;
    talk.pass(3100);
    let next = talk.expect(B, claim(&key, "vtc", 2), "VA \"\" W")?;
    left_about(&next, 2)?;
    newer("the next stub", first, cas(&next)?)
}

fn dead_winner_on_a_value(talk: &Talk<'_>) -> Done {
    let r1 = talk.key("r1")?;
    talk.put(&r1, "x", 4)?;
    let ask = MetaGet { recache: Some(30), ..claim(&r1, "vt", 30) };
    talk.expect(A, ask.clone(), "VA \"x\" W")?;
    talk.pass(2100);
    talk.expect(B, ask.clone(), "VA \"x\" Z")?;
    talk.pass(3000);
    let next = talk.expect(B, ask, "VA \"\" W")?;
    left_about(&next, 30)
}

fn takeover(talk: &Talk<'_>) -> Done {
    let k3 = talk.key("k3")?;
    let dead = cas(&talk.expect(A, claim(&k3, "c", 30), "HD W")?)?;
    let take = MetaDelete { ttl: Some(30), cas: Some(dead), ..soften(&k3) };
    talk.expect(B, take.clone(), "HD")?;
    talk.expect(C, take, "EX")?;
    let won = cas(&talk.expect(B, claim(&k3, "vct", 30), "VA \"\" W X")?)?;
    talk.expect(A, fenced(&k3, "x", dead), "EX")?;
    talk.expect(B, fenced(&k3, "y", won), "HD").map(drop)
}

fn takeover_in_one_pipeline(talk: &Talk<'_>) -> Done {
    let k4 = talk.key("k4")?;
    let dead = talk.put(&k4, "dead", 60)?;
    talk.expect(B, claim(&k4, "vc", 30), "VA \"dead\"")?;
    let take = MetaDelete { ttl: Some(30), cas: Some(dead), ..soften(&k4) };
    talk.expect(B, take.clone(), "HD")?;
    let first = talk.expect(B, claim(&k4, "vct", 30), "VA \"dead\" W X")?;
    talk.expect(B, Command::Noop, "MN")?;
    talk.expect(C, take, "EX")?;
    let second = talk.expect(C, claim(&k4, "vct", 30), "VA \"dead\" Z X")?;
    talk.expect(C, Command::Noop, "MN")?;
    same("both see one CAS", cas(&first)?, cas(&second)?)?;
    left_about(&first, 30)
}

fn hand_back(talk: &Talk<'_>) -> Done {
    let h1 = talk.key("h1")?;
    talk.put(&h1, "x", 30)?;
    let ask = MetaGet { recache: Some(100), ..mg(&h1, "vc") };
    let token = cas(&talk.expect(A, ask.clone(), "VA \"x\" W")?)?;
    talk.expect(B, ask.clone(), "VA \"x\" Z")?;
    talk.expect(A, MetaDelete { cas: Some(token), ttl: Some(30), ..soften(&h1) }, "HD")?;
    talk.expect(B, ask, "VA \"x\" W X").map(drop)
}

fn plain_read_takes_the_token(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    talk.expect(B, mg(&key, ""), "HD W X")?;
    talk.expect(C, mg(&key, "v"), "VA \"x\" Z X").map(drop)
}

fn classic_get(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    talk.expect(B, Command::ClassicGet(key.clone()), "VA \"x\" f0")?;
    talk.expect(C, mg(&key, "v"), "VA \"x\" W X").map(drop)
}

fn plain_store(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let old = talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    talk.expect(B, mg(&key, ""), "HD W X")?;
    let new = cas(&talk.expect(C, ms(&key, "y"), "HD")?)?;
    newer("a store", old, new)?;
    let seen = talk.expect(B, mg(&key, "vtc"), "VA \"y\"")?;
    same("its CAS", cas(&seen)?, new)?;
    left_for_ever(&seen)
}

fn concatenation(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "b", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let won = cas(&talk.expect(A, mg(&key, "c"), "HD W X")?)?;
    let appended = cas(&talk.expect(B, MetaSet { mode: Mode::Append, ttl: Some(500), ..ms(&key, "c") }, "HD")?)?;
    newer("append", won, appended)?;
    let seen = talk.expect(C, mg(&key, "vt"), "VA \"bc\"")?;
    left_about(&seen, 60)?;
    talk.expect(B, MetaSet { mode: Mode::Prepend, ..ms(&key, "a") }, "HD")?;
    talk.expect(C, mg(&key, "v"), "VA \"abc\"")?;
    talk.expect(B, MetaSet { mode: Mode::Append, cas: Some(won), ..ms(&key, "d") }, "EX").map(drop)
}

fn append_to_a_stub(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.expect(B, MetaSet { mode: Mode::Append, ..ms(&key, "x") }, "NS")?;
    let stub = cas(&talk.expect(A, claim(&key, "c", 30), "HD W")?)?;
    talk.expect(B, MetaSet { mode: Mode::Append, ..ms(&key, "x") }, "HD")?;
    let seen = talk.expect(C, mg(&key, "vt"), "VA \"x\"")?;
    left_about(&seen, 30)?;
    talk.expect(A, fenced(&key, "y", stub), "EX").map(drop)
}

fn arithmetic_in_place(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "7", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let won = cas(&talk.expect(A, mg(&key, "c"), "HD W X")?)?;
    let added = talk.expect(B, MetaArithmetic { key: key.clone(), delta: 2, flags: "vc" }, "VA \"9\"")?;
    newer("ma", won, cas(&added)?)?;
    let seen = talk.expect(C, mg(&key, "vt"), "VA \"9\" Z X")?;
    left_about(&seen, 60)?;
    talk.expect(B, MetaArithmetic { key, delta: -20, flags: "v" }, "VA \"0\"").map(drop)
}

fn arithmetic_moves(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "9", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let won = cas(&talk.expect(A, mg(&key, "c"), "HD W X")?)?;
    talk.expect(B, MetaArithmetic { key: key.clone(), delta: 1, flags: "v" }, "VA \"10\"")?;
    let seen = talk.expect(C, mg(&key, "vtc"), "VA \"10\"")?;
    newer("ma", won, cas(&seen)?)?;
    left_about(&seen, 60)
}

fn arithmetic_refused(talk: &Talk<'_>) -> Done {
    let (text, nothing) = (talk.key("text")?, talk.key("nothing")?);
    talk.put(&text, "x", 60)?;
    let error = "CLIENT_ERROR cannot increment or decrement non-numeric value";
    talk.expect(A, MetaArithmetic { key: text, delta: 1, flags: "" }, error)?;
    talk.expect(A, MetaArithmetic { key: nothing, delta: 1, flags: "" }, "NF").map(drop)
}

fn add_refused(talk: &Talk<'_>) -> Done {
    let (stub, stale, free) = (talk.key("stub")?, talk.key("stale")?, talk.key("free")?);
    let add = |key: &FarKey| MetaSet { mode: Mode::Add, ttl: Some(60), ..ms(key, "added") };
    let token = cas(&talk.expect(A, claim(&stub, "c", 30), "HD W")?)?;
    talk.expect(B, add(&stub), "NS")?;
    let seen = talk.expect(C, mg(&stub, "vc"), "VA \"\" Z")?;
    same("a refused add changes no CAS", cas(&seen)?, token)?;
    talk.put(&stale, "x", 60)?;
    talk.expect(A, soften(&stale), "HD")?;
    talk.expect(B, add(&stale), "NS")?;
    talk.expect(C, mg(&stale, "v"), "VA \"x\" W X")?;
    talk.expect(B, add(&free), "HD")?;
    talk.expect(C, mg(&free, "v"), "VA \"added\"").map(drop)
}

fn replace(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let replace = |value: &str| MetaSet { mode: Mode::Replace, ttl: Some(60), ..ms(&key, value) };
    talk.expect(A, replace("x"), "NS")?;
    let stored = talk.put(&key, "x", 60)?;
    talk.expect(A, MetaSet { cas: Some(stored), ..replace("y") }, "HD")?;
    talk.expect(A, MetaSet { cas: Some(stored), ..replace("z") }, "EX")?;
    talk.expect(B, mg(&key, "v"), "VA \"y\"").map(drop)
}

fn touch(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    talk.expect(B, Command::ClassicTouch(key.clone(), 300), "HD")?;
    let won = talk.expect(B, MetaGet { touch: Some(200), ..mg(&key, "vc") }, "VA \"x\" W X")?;
    let seen = talk.expect(C, MetaGet { touch: Some(100), ..mg(&key, "vc") }, "VA \"x\" Z X")?;
    same("touch keeps the CAS", cas(&won)?, cas(&seen)?)?;
    left_about(&talk.expect(C, mg(&key, "vt"), "VA \"x\" Z X")?, 100)?;
    talk.expect(B, Command::ClassicTouch(talk.key("nothing")?, 1), "NF").map(drop)
}

fn mark_stale(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let stored = talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let first = talk.expect(B, mg(&key, "vtc"), "VA \"x\" W X")?;
    newer("md I", stored, cas(&first)?)?;
    left_about(&first, 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let second = talk.expect(C, mg(&key, "vtc"), "VA \"x\" W X")?;
    newer("a second md I", cas(&first)?, cas(&second)?)?;
    let compared = MetaDelete { cas: Some(cas(&first)?), ..soften(&key) };
    talk.expect(A, compared.clone(), "EX")?;
    talk.expect(A, MetaDelete { cas: Some(cas(&second)?), ..compared }, "HD")?;
    left_about(&talk.expect(C, mg(&key, "vt"), "VA \"x\" W X")?, 60)
}

fn mark_stale_with_ttl(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, MetaDelete { ttl: Some(300), ..soften(&key) }, "HD")?;
    left_about(&talk.expect(B, mg(&key, "vt"), "VA \"x\" W X")?, 300)
}

fn mark_stale_for_ever(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, MetaDelete { ttl: Some(0), ..soften(&key) }, "HD")?;
    left_for_ever(&talk.expect(B, mg(&key, "vt"), "VA \"x\" W X")?)?;
    talk.expect(A, md(&key), "HD").map(drop)
}

fn delete(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.expect(A, md(&key), "NF")?;
    talk.expect(A, soften(&key), "NF")?;
    let stored = talk.put(&key, "x", 60)?;
    talk.expect(A, MetaDelete { cas: Some(stored + 1), ..md(&key) }, "EX")?;
    talk.expect(B, mg(&key, "v"), "VA \"x\"")?;
    talk.expect(A, MetaDelete { cas: Some(stored), ..md(&key) }, "HD")?;
    talk.expect(B, mg(&key, "v"), "EN")?;
    talk.expect(A, MetaDelete { cas: Some(stored), ..md(&key) }, "NF").map(drop)
}

fn too_large(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let huge = "x".repeat(1024 * 1024);
    for mode in [Mode::Set, Mode::Add, Mode::Replace] {
        talk.put(&key, "old", 60)?;
        let store = MetaSet { mode, ..ms(&key, huge.clone()) };
        talk.expect(A, store, "SERVER_ERROR object too large for cache")?;
        talk.expect(B, mg(&key, "v"), "EN")?;
    }
    let other = talk.put(&key, "old", 60)?;
    let store = MetaSet { cas: Some(other + 1), ..ms(&key, huge) };
    talk.expect(A, store, "SERVER_ERROR object too large for cache")?;
    talk.expect(B, mg(&key, "v"), "EN")?;
    // Key, value, 48 of header, 8 of CAS and 3 of separators are one MiB.
    let largest = 1024 * 1024 - 48 - 8 - 3 - key.as_str().len();
    talk.expect(A, ms(&key, vec![b'x'; largest]), "HD")?;
    talk.expect(A, ms(&key, vec![b'x'; largest + 1]), "SERVER_ERROR object too large for cache")?;
    talk.expect(A, MetaSet { client_flags: 1, ..ms(&key, vec![b'x'; largest - 4]) }, "HD")?;
    let flagged = MetaSet { client_flags: 1, ..ms(&key, vec![b'x'; largest - 3]) };
    talk.expect(A, flagged, "SERVER_ERROR object too large for cache").map(drop)
}

fn append_too_large(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let half = "x".repeat(600 * 1024);
    talk.put(&key, &half, 60)?;
    talk.expect(A, MetaSet { mode: Mode::Append, ..ms(&key, half) }, "NS")?;
    talk.expect(B, mg(&key, "s"), &format!("HD s{}", 600 * 1024)).map(drop)
}

fn seconds(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 3)?;
    talk.pass(1900);
    talk.expect(A, mg(&key, "v"), "VA \"x\"")?;
    talk.pass(1200);
    talk.expect(A, mg(&key, "v"), "EN").map(drop)
}

fn long_ttl(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 2_592_000)?;
    talk.expect(A, mg(&key, "v"), "VA \"x\"")?;
    talk.put(&key, "x", 2_592_001)?;
    talk.expect(A, mg(&key, "v"), "EN").map(drop)
}

fn bad_flags(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let stored = talk.put(&key, "x", 60)?;
    for flags in ["vv", "!"] {
        let reply = talk.say(A, mg(&key, flags).into());
        if !matches!(reply.code, Code::ClientError(_)) {
            return Err(format!("flags `{flags}` should be a CLIENT_ERROR, not `{reply}`"));
        }
    }
    same("nothing happened", cas(&talk.expect(A, mg(&key, "c"), "HD")?)?, stored)
}

fn echo(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let missed = talk.expect(A, mg(&key, "vk"), "EN")?;
    talk.put(&key, "x", 60)?;
    let found = talk.expect(A, mg(&key, "vk"), "VA \"x\"")?;
    talk.expect(A, Command::Noop, "MN")?;
    if (missed.key.as_ref(), found.key.as_ref()) == (Some(&key), Some(&key)) {
        return Ok(());
    }
    Err(format!("`k` should echo {key:?}, not {:?} and {:?}", missed.key, found.key))
}

fn without_cas(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    same("a stub", cas(&talk.expect(A, claim(&key, "vc", 30), "VA \"\" W")?)?, 0)?;
    talk.expect(A, fenced(&key, "x", 1), "EX")?;
    talk.expect(A, fenced(&key, "x", 0), "EX")?;
    same("a store", cas(&talk.expect(A, ms(&key, "x"), "HD")?)?, 0)?;
    talk.expect(A, MetaDelete { cas: Some(1), ..md(&key) }, "EX")?;
    talk.expect(A, MetaDelete { cas: Some(0), ..md(&key) }, "HD").map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::{Cas, Room, ServerSettings, SimServer};
    use super::*;
    use crate::clock::ManualClock;

    fn server(settings: ServerSettings) -> SimServer {
        SimServer::new(ManualClock::new(), settings)
    }

    fn key(name: &str) -> FarKey {
        FarKey::new(name).unwrap_or_else(|error| unreachable!("{error}"))
    }

    #[test]
    fn a_simulated_server_answers_every_row_as_memcached_does() {
        for phase in [0, 1, 400, 999].map(Duration::from_millis) {
            for row in rows() {
                let cas = if row.setup == Setup::Plain { Cas::On } else { Cas::Off };
                let server = server(ServerSettings { phase, cas, ..ServerSettings::default() });
                assert_eq!(row.run(&server, "row:"), Ok(()), "phase {phase:?}");
            }
        }
    }

    #[test]
    fn rows_have_keys_of_their_own() {
        let shared = server(ServerSettings::default());
        for row in rows().into_iter().filter(|row| row.setup == Setup::Plain) {
            assert_eq!(row.run(&shared, "row:"), Ok(()));
        }
    }

    #[test]
    fn a_row_notices_a_server_that_answers_otherwise() {
        let server = server(ServerSettings { cas: Cas::Off, ..ServerSettings::default() });
        let failed = rows().into_iter().filter(|row| row.setup == Setup::Plain && row.run(&server, "").is_err());
        assert!(failed.count() > 10, "a server without CAS fails wherever a fence counts");
    }

    #[test]
    fn after_a_restart_everything_is_gone_and_cas_numbers_come_again() {
        let server = server(ServerSettings::default());
        let item = key("item");
        let claim = || server.execute(0, &claim(&item, "c", 30).into());
        assert_eq!((claim().cas, claim().cas), (Some(1), Some(1)));
        server.flush_all();
        assert_eq!(claim().cas, Some(2), "a flush does not reset them");
        server.restart();
        assert_eq!((server.len(), server.incarnation()), (0, 1));
        assert_eq!(claim().cas, Some(1));
    }

    #[test]
    fn a_full_server_gives_no_stub_and_a_failed_store_removes_the_old_value() {
        let server = server(ServerSettings::default());
        let (old, new) = (key("old"), key("new"));
        server.execute(0, &ms(&old, "x").into());
        server.set_room(Room::None);
        assert_eq!(server.execute(0, &claim(&new, "vc", 30).into()).to_string(), "EN");
        assert_eq!(server.execute(0, &mg(&old, "v").into()).to_string(), "VA \"x\"");
        let refused = server.execute(0, &ms(&old, "y").into());
        assert_eq!(refused.to_string(), "SERVER_ERROR out of memory storing object");
        assert_eq!(server.execute(0, &mg(&old, "v").into()).to_string(), "EN");
        server.set_room(Room::Ample);
        assert!(server.execute(0, &claim(&new, "v", 30).into()).won);
    }

    #[test]
    fn what_was_used_longest_ago_makes_room_by_number_and_by_bytes() {
        for settings in [
            ServerSettings { max_items: 2, ..ServerSettings::default() },
            ServerSettings { max_bytes: 2 * 64, ..ServerSettings::default() },
        ] {
            let server = server(settings);
            let [a, b, c] = ["a", "b", "c"].map(key);
            server.execute(0, &ms(&a, "1").into());
            server.execute(0, &ms(&b, "2").into());
            server.execute(0, &mg(&a, "v").into());
            server.execute(0, &ms(&c, "3").into());
            let there = [&a, &b, &c].map(|key| server.execute(0, &mg(key, "").into()).code == Code::Hd);
            assert_eq!(there, [true, false, true], "{settings:?}");
            assert_eq!(server.evicted(), 1);
            assert!(server.evict(&a) && !server.evict(&a));
        }
    }
}
