//! The fingerprint of a type: what its `Deserialize` asks for, in 32 bits.
//!
//! The type is read from a deserializer that writes down names and kinds and answers with dummies, once for each variant
//! of each enum. It is a net and not a proof: what follows a field that refuses every dummy, and what lies inside
//! `flatten` or `untagged`, does not show. `T` and `Arc<T>` are one, as their bytes are. `type_name` and `TypeId` have no
//! part in it: both may change with the compiler, and every record would be lost with it.

mod asked;
#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, PoisonError, RwLock};

use serde::de::{self, DeserializeOwned};
use twox_hash::XxHash3_64;

use self::asked::Asked;

/// What a record knows its type by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u32);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The fingerprint of `T`, made once and remembered.
pub fn fingerprint<T: DeserializeOwned + 'static>() -> Fingerprint {
    static KNOWN: OnceLock<RwLock<HashMap<TypeId, Fingerprint>>> = OnceLock::new();
    let known = KNOWN.get_or_init(RwLock::default);
    let id = TypeId::of::<T>();
    if let Some(fingerprint) = known.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return *fingerprint;
    }
    let fingerprint = trace::<T>();
    known.write().unwrap_or_else(PoisonError::into_inner).insert(id, fingerprint);
    fingerprint
}

/// How often a type is read: once per variant of the enum with most, and once per dummy that was refused.
const PASSES: usize = 256;
/// How many questions a pass answers.
const QUESTIONS: usize = 10_000;
/// How deep a pass goes.
const DEEPEST: usize = 64;

fn trace<T: DeserializeOwned>() -> Fingerprint {
    let mut known = Known::default();
    let mut hash = XxHash3_64::new();
    for _ in 0..PASSES {
        let mut pass = Pass::new(&mut known);
        let read =
            catch_unwind(AssertUnwindSafe(|| T::deserialize(Asked { pass: &mut pass, path: 0, depth: 0 }).is_ok()));
        let Pass { written, last_dummy, enums, .. } = pass;
        let outcome = if read.unwrap_or(false) { Outcome::Read } else { Outcome::Opaque };
        if outcome == Outcome::Opaque
            && let Some(dummy) = last_dummy.and_then(|path| known.dummies.get_mut(&path))
            && dummy.take_next()
        {
            continue;
        }
        hash.write(&written);
        hash.write(&[outcome as u8]);
        if known.advance(&enums, outcome) == Progress::Complete {
            break;
        }
    }
    Fingerprint(hash.finish() as u32)
}

/// How a pass ended, as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Outcome {
    Read = 0xf0,
    Opaque = 0xf1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Complete,
}

/// What was learned in the passes before, by the path to a place in the type.
#[derive(Debug, Default)]
struct Known {
    choices: HashMap<u64, Choice>,
    dummies: HashMap<u64, Dummy>,
}

impl Known {
    /// Chooses the next variants: of an enum only when those that its present variant holds have all been read.
    fn advance(&mut self, enums: &[Taken], outcome: Outcome) -> Progress {
        let mut progress = vec![Progress::More; enums.len()];
        for (i, taken) in enums.iter().enumerate().rev() {
            let Some(choice) = self.choices.get_mut(&taken.path) else { continue };
            let end = taken.end.unwrap_or(enums.len());
            if progress[i + 1..end].contains(&Progress::More) {
                continue;
            }
            choice.next = choice.next.max(taken.variant + 1);
            if outcome == Outcome::Read {
                choice.readable.get_or_insert(taken.variant);
            }
            if choice.next >= choice.variants {
                progress[i] = Progress::Complete;
            }
        }
        if progress.contains(&Progress::More) { Progress::More } else { Progress::Complete }
    }
}

/// A variant that was taken in a pass.
#[derive(Debug)]
struct Taken {
    path: u64,
    variant: usize,
    /// Those from here on stand behind this enum and not inside it; `None` while it is being read.
    end: Option<usize>,
}

/// Which variant of an enum is read next.
#[derive(Debug, Default)]
struct Choice {
    variants: usize,
    next: usize,
    /// The first that could be read: taken again once all have been.
    readable: Option<usize>,
}

/// Which dummy a place is given, of how many.
#[derive(Debug)]
struct Dummy {
    now: usize,
    of: usize,
    spent: Spent,
}

#[derive(Debug, PartialEq, Eq)]
enum Spent {
    No,
    Yes,
}

impl Dummy {
    /// Whether there is another one to try. Once none is left, the first stands, and it is not tried again.
    fn take_next(&mut self) -> bool {
        if self.spent == Spent::Yes {
            return false;
        }
        self.now += 1;
        if self.now == self.of {
            (self.now, self.spent) = (0, Spent::Yes);
            return false;
        }
        true
    }
}

/// Text that types ask for which refuse most text.
const TEXTS: [&str; 14] = [
    "",
    "0",
    "a",
    "00000000-0000-0000-0000-000000000000",
    "2000-01-01T00:00:00Z",
    "2000-01-01T00:00:00",
    "2000-01-01",
    "00:00:00",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "http://a.b/",
    "1.0.0",
    "UTC",
];
const BYTES: [&[u8]; 4] = [&[0; 16], &[], &[0; 32], b"a"];
/// The second is for types that refuse zero, the third for variants by number.
const NUMBERS: [u8; 3] = [0, 1, 2];

/// What is written down.
mod note {
    pub(super) const END: u8 = 0xf2;
    pub(super) const AGAIN: u8 = 0xf3;
    pub(super) const ANY: u8 = b'a';
    pub(super) const IGNORED: u8 = b'_';
    pub(super) const IDENTIFIER: u8 = b'i';
    pub(super) const TEXT: u8 = b's';
    pub(super) const BYTES: u8 = b'b';
    pub(super) const UNIT: u8 = b'u';
    pub(super) const OPTION: u8 = b'o';
    pub(super) const NEWTYPE: u8 = b'n';
    pub(super) const LIST: u8 = b'l';
    pub(super) const TUPLE: u8 = b't';
    pub(super) const MAP: u8 = b'm';
    pub(super) const STRUCT: u8 = b'S';
    pub(super) const ENUM: u8 = b'E';
    pub(super) const VARIANT: u8 = b'V';
}

/// One reading of the type.
struct Pass<'k> {
    known: &'k mut Known,
    written: Vec<u8>,
    questions: usize,
    last_dummy: Option<u64>,
    enums: Vec<Taken>,
    /// Names and fields of the structs and enums that are being read, from the outside in.
    open: Vec<u64>,
    /// How many of them are inside themselves: as long as there are any, nothing is read that need not be.
    again: usize,
}

impl<'k> Pass<'k> {
    fn new(known: &'k mut Known) -> Self {
        Pass {
            known,
            written: Vec::new(),
            questions: 0,
            last_dummy: None,
            enums: Vec::new(),
            open: Vec::new(),
            again: 0,
        }
    }

    fn write_name(&mut self, name: &str) {
        self.written.extend_from_slice(&(name.len() as u32).to_le_bytes());
        self.written.extend_from_slice(name.as_bytes());
    }

    fn write_named(&mut self, note: u8, name: &str, parts: &[&str]) -> u64 {
        let at = self.written.len();
        self.written.push(note);
        self.write_name(name);
        self.written.extend_from_slice(&(parts.len() as u32).to_le_bytes());
        parts.iter().for_each(|part| self.write_name(part));
        XxHash3_64::oneshot(&self.written[at..])
    }

    /// Writes down what was asked, and refuses to go on for ever.
    fn ask(&mut self, note: u8, depth: usize) -> Result<(), Refused> {
        self.questions += 1;
        if self.questions > QUESTIONS || depth > DEEPEST {
            // A dummy is not to blame.
            self.last_dummy = None;
            return Err(Refused);
        }
        self.written.push(note);
        Ok(())
    }

    /// Which of `of` dummies to answer with at `path`.
    fn dummy(&mut self, path: u64, of: usize) -> usize {
        self.last_dummy = Some(path);
        self.known.dummies.entry(path).or_insert(Dummy { now: 0, of, spent: Spent::No }).now
    }

    /// Enters a struct or an enum, and tells whether it is inside itself.
    fn open(&mut self, id: u64) -> Again {
        // Not at the first time: `Page<Page<u8>>` has one name and one list of fields twice.
        let is_again = self.open.iter().filter(|open| **open == id).count() >= 2;
        let again = if is_again { Again::Yes } else { Again::No };
        if again == Again::Yes {
            self.again += 1;
            self.written.push(note::AGAIN);
        }
        self.open.push(id);
        again
    }

    fn close(&mut self, again: Again) {
        self.open.pop();
        if again == Again::Yes {
            self.again -= 1;
        }
        self.written.push(note::END);
    }

    fn variant(&mut self, path: u64, variants: usize, again: Again) -> usize {
        if again == Again::Yes {
            // Another one at each level, so that one comes up that does not go deeper.
            return (variants - 1 + self.again) % variants;
        }
        let choice = self.known.choices.entry(path).or_default();
        choice.variants = variants;
        let variant = if choice.next < variants { choice.next } else { choice.readable.unwrap_or(0) };
        self.enums.push(Taken { path, variant, end: None });
        variant
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Yes,
}

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dummy was refused")
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Refused
    }
}
