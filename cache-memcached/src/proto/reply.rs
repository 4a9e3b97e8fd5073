//! Replies: parsed from bytes that may end anywhere, and checked against the request.

use std::fmt;

use memchr::memchr;
use twox_hash::XxHash3_64;

use super::{Expected, Features, Opaque, Verb, Version};

/// The longest line that is waited for, in bytes. The longest true one holds a key of 250 bytes and a few flags.
const LONGEST_LINE: usize = 2048;
/// The largest value that is believed, in bytes: the largest item that memcached can be told to take (`-I 1g`).
const LARGEST_VALUE: usize = 1 << 30;

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// `VA`, or `VALUE` of the classic `get`: here is the value.
    Value,
    /// `HD`: done; or, for `mg` without `v`, there is an item.
    Done,
    /// `EN`: there is nothing.
    Missing,
    /// `NS`: not stored, the mode forbids it.
    NotStored,
    /// `EX`: the CAS is another.
    Changed,
    /// `NF`: no item to compare with, to delete or to change.
    NotFound,
    /// `MN`: everything before this is answered.
    Barrier,
    /// `ME`: what is known of the item stands in the value, as text.
    Inspected,
    /// `END`: the list is over.
    End,
    /// `VERSION`
    Version(Version),
    /// `STAT`: one line of a list, name and value.
    Stat(Box<(String, String)>),
    /// `SERVER_ERROR` and its text: this request failed, the connection goes on.
    ServerError(Box<str>),
    /// `CLIENT_ERROR` and its text, where the request could deserve it.
    ClientError(Box<str>),
}

/// What is left of an item's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It never expires.
    Forever,
    /// So many seconds, the last one begun.
    Seconds(u32),
}

/// Which key a reply is about, where it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// It does not.
    Not,
    /// `k`: the key again.
    Key(Box<[u8]>),
    /// XXH3-64 of the key that the classic `get` tells with each value: enough to know which of those it is that were
    /// asked for.
    Hash(u64),
    /// Its place among all the keys that were asked for by classic `get`s, once they have been compared.
    Place(u32),
}

/// One reply.
///
/// It is kept small, for it is moved a few times on its way to whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it says.
    pub code: Code,
    /// The value, where one came.
    pub value: Option<Vec<u8>>,
    /// Which key it is about.
    pub named: Named,
    /// `c`
    pub cas: Option<u64>,
    /// `t`
    pub left: Option<Left>,
    /// `s`: the size of the value in bytes.
    pub size: Option<u32>,
    /// `f`
    pub client_flags: Option<u32>,
    /// `h`: whether it was read before.
    pub hit_before: Option<bool>,
    /// `l`: seconds since it was read last.
    pub last_access: Option<u32>,
    /// `W`: the asker was given the token.
    pub won: bool,
    /// `Z`: somebody was given the token before.
    pub token_out: bool,
    /// `X`: the item is marked stale.
    pub stale: bool,
}

impl Reply {
    fn of(code: Code) -> Self {
        Reply {
            code,
            value: None,
            named: Named::Not,
            cas: None,
            left: None,
            size: None,
            client_flags: None,
            hit_before: None,
            last_access: None,
            won: false,
            token_out: false,
            stale: false,
        }
    }
}

/// How far the bytes at hand reach.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The reply is whole, and took so many bytes.
    Whole(Reply, usize),
    /// Its first line is whole and tells of a value that is not.
    Open(Open),
    /// Its first line is cut off.
    Cut,
}

/// A reply whose value has not come as a whole. [`Open::close`] makes it whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Open {
    reply: Reply,
    /// How many bytes its first line took; the value begins behind them.
    pub head: usize,
    /// How long the value is: so many bytes come, and then [`VALUE_END`]. Nothing was allocated for it.
    pub length: usize,
}

impl Open {
    /// The reply with its value.
    pub fn close(self, value: Vec<u8>) -> Reply {
        Reply { value: Some(value), ..self.reply }
    }
}

/// What is wrong with a value that is followed by anything but [`VALUE_END`].
pub(crate) const NO_END: &str = "a value that does not end where it should";

/// What follows each value.
pub const VALUE_END: &[u8] = b"\r\n";

/// Bytes that are no reply to this request. The connection cannot be used any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What is wrong.
    pub why: &'static str,
    /// How the bytes begin, for people.
    pub begins: String,
}

impl Broken {
    /// What is wrong with these bytes, of which only the beginning of the first line is told: that holds no value.
    pub(crate) fn new(why: &'static str, bytes: &[u8]) -> Self {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let begins = line[..line.len().min(60)].trim_ascii_end().escape_ascii().to_string();
        Broken { why, begins }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the reply begins with `{}`", self.why, self.begins)
    }
}

impl std::error::Error for Broken {}

/// Parses the reply at the beginning of `bytes`, which must answer the request that `expected` tells of.
///
/// It allocates for the value only once all of it is there.
///
/// # Errors
///
/// [`Broken`] if no continuation of the bytes could answer the request.
pub fn parse(bytes: &[u8], expected: Expected, features: Features) -> Result<Parsed, Broken> {
    let searched = &bytes[..bytes.len().min(LONGEST_LINE)];
    let (line, after) = match memchr(b'\n', searched) {
        Some(end) => match bytes[..end].strip_suffix(b"\r") {
            Some(line) => (line, end + 1),
            None => return Err(Broken::new("a line that does not end in CR LF", bytes)),
        },
        None if bytes.len() < LONGEST_LINE => return Ok(Parsed::Cut),
        None => return Err(Broken::new("a line without an end", bytes)),
    };
    let mut cursor = Cursor(line);
    let word = cursor.word();
    let rest = || text(line.get(word.len() + 1..).unwrap_or_default());
    let mut reply = Reply::of(match word {
        b"VA" | b"VALUE" => Code::Value,
        b"HD" => Code::Done,
        b"EN" => Code::Missing,
        b"NS" => Code::NotStored,
        b"EX" => Code::Changed,
        b"NF" => Code::NotFound,
        b"MN" => Code::Barrier,
        b"ME" => Code::Inspected,
        b"END" => Code::End,
        b"VERSION" => match Version::parse(&rest()) {
            Some(version) => Code::Version(version),
            None => return Err(Broken::new("a version that cannot be read", bytes)),
        },
        b"STAT" => {
            let rest = rest();
            let (name, value) = rest.split_once(' ').unwrap_or((&rest, ""));
            Code::Stat(Box::new((name.to_owned(), value.to_owned())))
        }
        b"SERVER_ERROR" => return Ok(Parsed::Whole(Reply::of(Code::ServerError(rest().into())), after)),
        // Any other one would mean that the server took something else for a command than we did.
        b"CLIENT_ERROR" if expected.verb == Verb::Arithmetic && rest().starts_with("cannot increment") => {
            return Ok(Parsed::Whole(Reply::of(Code::ClientError(rest().into())), after));
        }
        b"CLIENT_ERROR" | b"ERROR" => return Err(Broken::new("the server did not understand the request", bytes)),
        _ => return Err(Broken::new("this is not memcached's protocol", bytes)),
    });
    if !expected.admits(&reply.code) {
        return Err(Broken::new("the reply to another request", bytes));
    }
    let length = match (&reply.code, expected.verb) {
        (Code::Value, Verb::ClassicGet) => classic_head(&mut reply, &mut cursor),
        (Code::Value, _) => cursor.next_number(),
        (Code::Inspected, _) => {
            reply.value = Some(line[word.len()..].trim_ascii().to_vec());
            return Ok(Parsed::Whole(reply, after));
        }
        (Code::Version(_) | Code::Stat(_), _) => return Ok(Parsed::Whole(reply, after)),
        _ => Some(0),
    };
    let length = match length {
        Some(length) if length <= LARGEST_VALUE => length,
        Some(_) => return Err(Broken::new("a value larger than any item", bytes)),
        None => return Err(Broken::new("a value without a length", bytes)),
    };
    let mut opaque = None;
    while let Some(letter) = cursor.letter() {
        flag(&mut reply, &mut opaque, letter, &mut cursor)
            .ok_or_else(|| Broken::new("a flag that cannot be read", bytes))?;
    }
    check_opaque(&reply, opaque, expected, features).map_err(|why| Broken::new(why, bytes))?;
    if reply.code != Code::Value {
        return Ok(Parsed::Whole(reply, after));
    }
    let whole = after + length + VALUE_END.len();
    if bytes.len() < whole {
        return Ok(Parsed::Open(Open { reply, head: after, length }));
    }
    if &bytes[after + length..whole] != VALUE_END {
        return Err(Broken::new(NO_END, bytes));
    }
    reply.value = Some(bytes[after..after + length].to_vec());
    Ok(Parsed::Whole(reply, whole))
}

/// What is left of a line. It is read byte by byte, each once: its words are short.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn skip_blanks(&mut self) {
        while let [b' ', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// The next word, or what is left of the one that was begun; empty at the end.
    fn word(&mut self) -> &'a [u8] {
        self.skip_blanks();
        self.rest_of_word()
    }

    fn rest_of_word(&mut self) -> &'a [u8] {
        let (word, rest) = self.0.split_at(memchr(b' ', self.0).unwrap_or(self.0.len()));
        self.0 = rest;
        word
    }

    /// The first byte of the next word.
    fn letter(&mut self) -> Option<u8> {
        self.skip_blanks();
        let (letter, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*letter)
    }

    /// The next word, if it is a number in decimal.
    fn next_number<N: TryFrom<u64>>(&mut self) -> Option<N> {
        self.skip_blanks();
        self.number()
    }

    /// What is left of the word that was begun, if it is a number in decimal.
    fn number<N: TryFrom<u64>>(&mut self) -> Option<N> {
        let (mut number, before) = (0u64, self.0.len());
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.0 = rest;
        }
        let is_some = self.0.len() < before && self.is_between_words();
        if is_some { N::try_from(number).ok() } else { None }
    }

    /// True, if nothing is left of the word that was begun.
    fn bare(&self) -> Option<bool> {
        self.is_between_words().then_some(true)
    }

    fn is_between_words(&self) -> bool {
        matches!(self.0, [] | [b' ', ..])
    }
}

/// `VALUE <key> <flags> <length> [<cas>]`
fn classic_head(reply: &mut Reply, cursor: &mut Cursor<'_>) -> Option<usize> {
    reply.named = Named::Hash(XxHash3_64::oneshot(cursor.word()));
    reply.client_flags = Some(cursor.next_number()?);
    let length = cursor.next_number()?;
    cursor.skip_blanks();
    if !cursor.0.is_empty() {
        reply.cas = Some(cursor.number()?);
    }
    Some(length)
}

fn flag(reply: &mut Reply, opaque: &mut Option<Opaque>, letter: u8, cursor: &mut Cursor<'_>) -> Option<()> {
    match letter {
        b'c' => reply.cas = Some(cursor.number()?),
        b't' if cursor.0.starts_with(b"-") => {
            reply.left = Some((cursor.rest_of_word() == b"-1").then_some(Left::Forever)?);
        }
        b't' => reply.left = Some(Left::Seconds(cursor.number()?)),
        b's' => reply.size = Some(cursor.number()?),
        b'f' => reply.client_flags = Some(cursor.number()?),
        b'k' => reply.named = Named::Key(cursor.rest_of_word().into()),
        b'h' => reply.hit_before = Some(cursor.number::<u64>()? != 0),
        b'l' => reply.last_access = Some(cursor.number()?),
        b'O' => *opaque = Some(Opaque(cursor.number()?)),
        b'W' => reply.won = cursor.bare()?,
        b'Z' => reply.token_out = cursor.bare()?,
        b'X' => reply.stale = cursor.bare()?,
        // Told by newer servers only where it was asked for, which it never is.
        _ => return None,
    }
    Some(())
}

fn check_opaque(
    reply: &Reply,
    opaque: Option<Opaque>,
    expected: Expected,
    features: Features,
) -> Result<(), &'static str> {
    match opaque {
        Some(opaque) if expected.carries_opaque() && opaque == expected.opaque => Ok(()),
        Some(_) => Err("the reply to another request"),
        None if !expected.carries_opaque() => Ok(()),
        None if reply.code == Code::Missing && !features.opaque_on_miss => Ok(()),
        None => Err("a reply without the number of its request"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
