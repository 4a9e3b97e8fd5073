//! memcached's meta protocol as values: commands, replies, and whoever answers them.
//!
//! [`SimServer`] answers in process; [`rows`] lists the exchanges that any server must answer alike, so that a real
//! memcached can be asked the same questions by another [`MetaServer`].

mod rows;
mod server;

use std::fmt;
use std::time::Duration;

use crate::key::FarKey;

pub use rows::{Row, RowFailure, Setup, rows};
pub(in crate::testkit) use server::largest_value;
pub use server::{Cas, Room, ServerSettings, SimServer};

/// Somebody who answers the commands of the meta protocol: a simulated node, or a connection to a real one.
pub trait MetaServer {
    /// Sends `command` on the connection with this number and waits for its reply.
    fn execute(&self, connection: usize, command: &Command) -> Reply;

    /// Lets this much of the server's time pass: a simulation turns its clock, a real server is waited for.
    fn pass(&self, time: Duration);
}

/// One command. Single-letter flags without a value stand in `flags` as they go over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `mg`
    Get(MetaGet),
    /// `ms`
    Set(MetaSet),
    /// `md`
    Delete(MetaDelete),
    /// `ma`
    Arithmetic(MetaArithmetic),
    /// `mn`
    Noop,
    /// The classic `get`.
    ClassicGet(FarKey),
    /// The classic `touch`, with the new TTL in seconds.
    ClassicTouch(FarKey, u32),
}

/// `mg K <flags> [N] [R] [T]`, written in this order but with `N` first of all, so that `t` tells the new TTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaGet {
    /// The key.
    pub key: FarKey,
    /// Of `v c t f s k`.
    pub flags: &'static str,
    /// `N`: on a miss, make a stub that lives for so many seconds.
    pub vivify: Option<u32>,
    /// `R`: claim an item that has fewer seconds than this left.
    pub recache: Option<u32>,
    /// `T`: give the item this many seconds.
    pub touch: Option<u32>,
}

/// How `ms` treats what is there (`M`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `MS`: store in any case.
    #[default]
    Set,
    /// `ME`: store only where there is nothing.
    Add,
    /// `MR`: store only where there is something.
    Replace,
    /// `MA`: behind what is there.
    Append,
    /// `MP`: before what is there.
    Prepend,
}

/// `ms K <n> [M] [C] [T] [F] <flags>` and the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaSet {
    /// The key.
    pub key: FarKey,
    /// The value.
    pub value: Vec<u8>,
    /// `M`.
    pub mode: Mode,
    /// `C`: store only where the item still has this CAS.
    pub cas: Option<u64>,
    /// `T`: seconds to live; `None` and 0 are for ever.
    pub ttl: Option<u32>,
    /// `F`: client flags.
    pub client_flags: u32,
    /// Of `c k I`.
    pub flags: &'static str,
}

/// `md K [T] [C] <flags>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaDelete {
    /// The key.
    pub key: FarKey,
    /// `C`: only if the item still has this CAS.
    pub cas: Option<u64>,
    /// `T`: with `I`, the seconds to live from now on; `None` keeps what it has.
    pub ttl: Option<u32>,
    /// Of `I k`.
    pub flags: &'static str,
}

/// `ma K [MD] D<delta> <flags>`: adds, or with `MD` subtracts down to 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaArithmetic {
    /// The key.
    pub key: FarKey,
    /// What is added (above 0) or subtracted (below 0).
    pub delta: i64,
    /// Of `v c`.
    pub flags: &'static str,
}

/// `mg` of this key with these flags.
pub fn mg(key: &FarKey, flags: &'static str) -> MetaGet {
    MetaGet { key: key.clone(), flags, vivify: None, recache: None, touch: None }
}

/// `ms` of this key and value, asking for the new CAS.
pub fn ms(key: &FarKey, value: impl Into<Vec<u8>>) -> MetaSet {
    let value = value.into();
    MetaSet { key: key.clone(), value, mode: Mode::Set, cas: None, ttl: None, client_flags: 0, flags: "c" }
}

/// `md` of this key.
pub fn md(key: &FarKey) -> MetaDelete {
    MetaDelete { key: key.clone(), cas: None, ttl: None, flags: "" }
}

/// The first word of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// `VA`: here is the value.
    Va,
    /// `HD`: done; or, for `mg` without `v`, there is an item.
    Hd,
    /// `EN`: nothing there.
    En,
    /// `NS`: not stored, the mode forbids it.
    Ns,
    /// `EX`: the CAS is another.
    Ex,
    /// `NF`: no item to compare with, to delete or to change.
    Nf,
    /// `MN`: everything before this is answered.
    Mn,
    /// `CLIENT_ERROR` and this text.
    ClientError(&'static str),
    /// `SERVER_ERROR` and this text.
    ServerError(&'static str),
}

/// What is left of an item's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It never expires (`t-1`).
    Forever,
    /// So many seconds, the last one begun.
    Seconds(u32),
}

/// A reply: the code, the value, and the flags that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The first word.
    pub code: Code,
    /// The value, with `VA`.
    pub value: Option<Vec<u8>>,
    /// `k`
    pub key: Option<FarKey>,
    /// `c`
    pub cas: Option<u64>,
    /// `t`
    pub left: Option<Left>,
    /// `f`
    pub client_flags: Option<u32>,
    /// `s`
    pub size: Option<u32>,
    /// `W`: the asker was given the token.
    pub won: bool,
    /// `Z`: somebody was given the token before.
    pub token_out: bool,
    /// `X`: the item is marked stale.
    pub stale: bool,
}

impl Reply {
    /// A reply that is nothing but this word.
    pub fn of(code: Code) -> Self {
        Reply {
            code,
            value: None,
            key: None,
            cas: None,
            left: None,
            client_flags: None,
            size: None,
            won: false,
            token_out: false,
            stale: false,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Code::Va => f.write_str("VA"),
            Code::Hd => f.write_str("HD"),
            Code::En => f.write_str("EN"),
            Code::Ns => f.write_str("NS"),
            Code::Ex => f.write_str("EX"),
            Code::Nf => f.write_str("NF"),
            Code::Mn => f.write_str("MN"),
            Code::ClientError(text) => write!(f, "CLIENT_ERROR {text}"),
            Code::ServerError(text) => write!(f, "SERVER_ERROR {text}"),
        }
    }
}

impl fmt::Display for Reply {
    /// Everything but what differs from server to server (CAS and TTL): `VA "hello" f7 W X`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(value) = &self.value {
            write!(f, " \"{}\"", value.escape_ascii())?;
        }
        if let Some(flags) = self.client_flags {
            write!(f, " f{flags}")?;
        }
        if let Some(size) = self.size {
            write!(f, " s{size}")?;
        }
        for (flag, name) in [(self.won, " W"), (self.token_out, " Z"), (self.stale, " X")] {
            f.write_str(if flag { name } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
