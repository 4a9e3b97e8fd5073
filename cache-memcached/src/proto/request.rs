//! Requests: what is written, and what may answer it.

use super::{Code, Key};

/// A number that a reply must repeat. Each request of a connection has another than those still unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Opaque(pub u32);

/// One request.
#[derive(Debug, Clone, Copy)]
pub enum Request<'a> {
    /// `mg`: reads an item.
    Get(Get<'a>),
    /// `ms`: stores one.
    Set(Set<'a>),
    /// `md`: deletes one, or marks it stale.
    Delete(Delete<'a>),
    /// `ma`: adds to a number.
    Arithmetic(Arithmetic<'a>),
    /// `mn`: is answered when everything before it is.
    Noop,
    /// `me`: what the server knows of an item.
    Inspect(Key<'a>),
    /// The classic `get` of many plain values: on hits it costs the server less than as many `mg`.
    ClassicGet(&'a [Key<'a>]),
    /// `version`
    Version,
    /// `stats`, and of what.
    Stats(Option<Key<'a>>),
}

/// `mg`. What it tells is switched on field by field.
#[derive(Debug, Clone, Copy)]
pub struct Get<'a> {
    /// The key.
    pub key: Key<'a>,
    /// `v`: the value.
    pub value: bool,
    /// `c`, `t`, `s`, `f`: CAS, time left, size, client flags.
    pub meta: bool,
    /// `c`, `f`: CAS and client flags, without the rest.
    pub tags: bool,
    /// `k`: the key again.
    pub echo: bool,
    /// `h`, `l`: whether it was hit before, and how long ago.
    pub access: bool,
    /// `N`: on a miss, make a stub that lives for so many seconds, and win it.
    pub vivify: Option<u32>,
    /// `R`: win an item that has fewer seconds than this left.
    pub recache: Option<u32>,
    /// `T`: give the item this many seconds.
    pub touch: Option<u32>,
}

impl<'a> Get<'a> {
    /// Whether there is an item; switch on what it shall tell.
    pub fn new(key: Key<'a>) -> Self {
        Get {
            key,
            value: false,
            meta: false,
            tags: false,
            echo: false,
            access: false,
            vivify: None,
            recache: None,
            touch: None,
        }
    }
}

/// How `ms` treats what is there (`M`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Store in any case.
    #[default]
    Set,
    /// Store only where there is nothing.
    Add,
    /// Store only where there is something.
    Replace,
    /// Behind what is there.
    Append,
    /// Before what is there.
    Prepend,
}

/// `ms`, which always tells the new CAS.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The value.
    pub value: &'a [u8],
    /// `M`.
    pub mode: Mode,
    /// `C`: only where the item still has this CAS.
    pub cas: Option<u64>,
    /// `T`: seconds to live; `None` and 0 are for ever, above 30 days is a date.
    pub ttl: Option<u32>,
    /// `F`: kept beside the value.
    pub client_flags: u32,
    /// `I`: with `C`, let a lower CAS in; the item stays stale.
    pub accept_older: bool,
}

impl<'a> Set<'a> {
    /// This value, in any case, for ever.
    pub fn new(key: Key<'a>, value: &'a [u8]) -> Self {
        Set { key, value, mode: Mode::Set, cas: None, ttl: None, client_flags: 0, accept_older: false }
    }
}

/// `md`
#[derive(Debug, Clone, Copy)]
pub struct Delete<'a> {
    /// The key.
    pub key: Key<'a>,
    /// `C`: only if the item still has this CAS. Broken before 1.6.13.
    pub cas: Option<u64>,
    /// `I`: keep the item, mark it stale and free its token.
    pub mark_stale: bool,
    /// `T`: with `I`, the seconds to live from now on; `None` keeps what it has. Never 0: it would live for ever.
    pub ttl: Option<u32>,
}

impl<'a> Delete<'a> {
    /// Deletes whatever is there.
    pub fn new(key: Key<'a>) -> Self {
        Delete { key, cas: None, mark_stale: false, ttl: None }
    }
}

/// `ma`, which always tells the new number.
#[derive(Debug, Clone, Copy)]
pub struct Arithmetic<'a> {
    /// The key.
    pub key: Key<'a>,
    /// What is added, or subtracted; then the number stops at 0.
    pub delta: u64,
    /// `MD`: subtract.
    pub is_negative: bool,
    /// `N` and `J`: on a miss, begin with this number for so many seconds.
    pub initial: Option<(u64, u32)>,
}

/// What kind of request a reply belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `mg`
    Get,
    /// `ms`
    Set,
    /// `md`
    Delete,
    /// `ma`
    Arithmetic,
    /// `mn`
    Noop,
    /// `me`
    Inspect,
    /// `get`
    ClassicGet,
    /// `version`
    Version,
    /// `stats`
    Stats,
}

/// What may answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Its kind.
    pub verb: Verb,
    /// Its number, which the reply repeats where the protocol lets it.
    pub opaque: Opaque,
}

impl Expected {
    /// Whether a reply with this code can answer the request.
    pub(super) fn admits(&self, code: &Code) -> bool {
        match self.verb {
            Verb::Get => matches!(code, Code::Value | Code::Done | Code::Missing),
            Verb::Set => matches!(code, Code::Done | Code::NotStored | Code::Changed | Code::NotFound),
            Verb::Delete => matches!(code, Code::Done | Code::Changed | Code::NotFound),
            Verb::Arithmetic => {
                matches!(code, Code::Value | Code::Done | Code::NotStored | Code::Changed | Code::NotFound)
            }
            Verb::Noop => matches!(code, Code::Barrier),
            Verb::Inspect => matches!(code, Code::Inspected | Code::Missing),
            Verb::ClassicGet => matches!(code, Code::Value | Code::End),
            Verb::Version => matches!(code, Code::Version(_)),
            Verb::Stats => matches!(code, Code::Stat(_) | Code::End),
        }
    }

    /// Whether the request has no further reply after one with this code.
    pub fn ends_with(&self, code: &Code) -> bool {
        !matches!((self.verb, code), (Verb::ClassicGet, Code::Value) | (Verb::Stats, Code::Stat(_)))
    }

    /// Whether the reply carries the opaque; on a miss of `mg` only from 1.6.18 on.
    pub(super) fn carries_opaque(&self) -> bool {
        matches!(self.verb, Verb::Get | Verb::Set | Verb::Delete | Verb::Arithmetic)
    }
}

impl Request<'_> {
    /// How many bytes its keys and its value have.
    pub(crate) fn size(&self) -> usize {
        match self {
            Request::Get(Get { key, .. }) | Request::Delete(Delete { key, .. }) => key.bytes().len(),
            Request::Arithmetic(Arithmetic { key, .. }) | Request::Inspect(key) => key.bytes().len(),
            Request::Set(set) => set.key.bytes().len() + set.value.len(),
            Request::ClassicGet(keys) => keys.iter().map(|key| key.bytes().len() + 1).sum(),
            Request::Stats(of) => of.map_or(0, |of| of.bytes().len()),
            Request::Noop | Request::Version => 0,
        }
    }

    /// Appends the request's bytes, and tells what may answer it.
    pub fn write(&self, opaque: Opaque, out: &mut Vec<u8>) -> Expected {
        let verb = match self {
            Request::Get(get) => get.write(opaque, out),
            Request::Set(set) => set.write(opaque, out),
            Request::Delete(delete) => delete.write(opaque, out),
            Request::Arithmetic(arithmetic) => arithmetic.write(opaque, out),
            Request::Noop => plain(Verb::Noop, b"mn\r\n", out),
            Request::Inspect(key) => {
                out.extend_from_slice(b"me ");
                out.extend_from_slice(key.bytes());
                plain(Verb::Inspect, b"\r\n", out)
            }
            Request::ClassicGet(keys) => {
                out.extend_from_slice(b"get");
                for key in *keys {
                    out.push(b' ');
                    out.extend_from_slice(key.bytes());
                }
                plain(Verb::ClassicGet, b"\r\n", out)
            }
            Request::Version => plain(Verb::Version, b"version\r\n", out),
            Request::Stats(of) => {
                out.extend_from_slice(b"stats");
                if let Some(of) = of {
                    out.push(b' ');
                    out.extend_from_slice(of.bytes());
                }
                plain(Verb::Stats, b"\r\n", out)
            }
        };
        Expected { verb, opaque }
    }
}

fn plain(verb: Verb, bytes: &[u8], out: &mut Vec<u8>) -> Verb {
    out.extend_from_slice(bytes);
    verb
}

impl Get<'_> {
    fn write(&self, opaque: Opaque, out: &mut Vec<u8>) -> Verb {
        head(b"mg ", self.key, out);
        // `N` comes before `t`: flags are answered in order, and the winner's `t` shall be the stub's.
        flag(b'N', self.vivify.map(u64::from), out);
        out.extend_from_slice(if self.value { b" v" } else { b"" });
        out.extend_from_slice(if self.meta { b" c t s f" } else { b"" });
        out.extend_from_slice(if self.tags { b" c f" } else { b"" });
        out.extend_from_slice(if self.access { b" h l" } else { b"" });
        out.extend_from_slice(if self.echo { b" k" } else { b"" });
        flag(b'R', self.recache.map(u64::from), out);
        flag(b'T', self.touch.map(u64::from), out);
        tail(opaque, out);
        Verb::Get
    }
}

impl Set<'_> {
    fn write(&self, opaque: Opaque, out: &mut Vec<u8>) -> Verb {
        head(b"ms ", self.key, out);
        out.push(b' ');
        number(self.value.len() as u64, out);
        out.extend_from_slice(match self.mode {
            Mode::Set => b"" as &[u8],
            Mode::Add => b" ME",
            Mode::Replace => b" MR",
            Mode::Append => b" MA",
            Mode::Prepend => b" MP",
        });
        flag(b'C', self.cas, out);
        flag(b'T', self.ttl.map(u64::from), out);
        flag(b'F', (self.client_flags != 0).then_some(self.client_flags.into()), out);
        out.extend_from_slice(if self.accept_older { b" I" } else { b"" });
        out.extend_from_slice(b" c");
        tail(opaque, out);
        out.extend_from_slice(self.value);
        out.extend_from_slice(b"\r\n");
        Verb::Set
    }
}

impl Delete<'_> {
    fn write(&self, opaque: Opaque, out: &mut Vec<u8>) -> Verb {
        head(b"md ", self.key, out);
        out.extend_from_slice(if self.mark_stale { b" I" } else { b"" });
        flag(b'T', self.ttl.map(u64::from), out);
        flag(b'C', self.cas, out);
        tail(opaque, out);
        Verb::Delete
    }
}

impl Arithmetic<'_> {
    fn write(&self, opaque: Opaque, out: &mut Vec<u8>) -> Verb {
        head(b"ma ", self.key, out);
        out.extend_from_slice(if self.is_negative { b" MD" } else { b"" });
        flag(b'D', Some(self.delta), out);
        flag(b'J', self.initial.map(|(number, _)| number), out);
        flag(b'N', self.initial.map(|(_, seconds)| seconds.into()), out);
        out.extend_from_slice(b" v c");
        tail(opaque, out);
        Verb::Arithmetic
    }
}

fn head(verb: &[u8], key: Key<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(verb);
    out.extend_from_slice(key.bytes());
}

fn tail(opaque: Opaque, out: &mut Vec<u8>) {
    flag(b'O', Some(opaque.0.into()), out);
    out.extend_from_slice(b"\r\n");
}

fn flag(letter: u8, value: Option<u64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(&[b' ', letter]);
        number(value, out);
    }
}

/// `value` in decimal.
fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
