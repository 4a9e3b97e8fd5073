//! The fingerprint of a type: what its `Deserialize` asks for, in 32 bits.
//!
//! The type is read from a deserializer that writes down names and kinds and answers with dummies, once for each variant
//! of each enum. It is a net and not a proof: what follows a field that refuses every dummy, and what lies inside
//! `flatten` or `untagged`, does not show. `T` and `Arc<T>` are one, as their bytes are. `type_name` and `TypeId` have no
//! part in it: both may change with the compiler, and every record would be lost with it.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, PoisonError, RwLock};

use serde::de::value::U64Deserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// What a record knows its type by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u32);

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
    let mut hash = Xxh3::new();
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
        hash.update(&written);
        hash.update(&[outcome as u8]);
        if known.advance(&enums, outcome) == Progress::Complete {
            break;
        }
    }
    Fingerprint(hash.digest() as u32)
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
        xxh3_64(&self.written[at..])
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

/// One place in the type, asking for a value.
struct Asked<'p, 'k> {
    pass: &'p mut Pass<'k>,
    path: u64,
    depth: usize,
}

impl<'k> Asked<'_, 'k> {
    fn inside(&mut self, part: u64) -> Asked<'_, 'k> {
        Asked { path: step(self.path, part), depth: self.depth + 1, pass: &mut *self.pass }
    }

    fn ask(&mut self, note: u8) -> Result<(), Refused> {
        self.pass.ask(note, self.depth)
    }

    fn dummy(&mut self, of: usize) -> usize {
        self.pass.dummy(self.path, of)
    }
}

fn step(path: u64, part: u64) -> u64 {
    xxh3_64(&(u128::from(path) << 64 | u128::from(part)).to_le_bytes())
}

macro_rules! numbers {
    ($($method:ident: $visit:ident $note:literal),*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
            self.ask($note)?;
            let number = NUMBERS[self.dummy(NUMBERS.len())];
            visitor.$visit(number.into())
        }
    )*};
}

impl<'de> Deserializer<'de> for Asked<'_, '_> {
    type Error = Refused;

    numbers! {
        deserialize_u8: visit_u8 0x01, deserialize_u16: visit_u16 0x02,
        deserialize_u32: visit_u32 0x04, deserialize_u64: visit_u64 0x08, deserialize_u128: visit_u128 0x10,
        deserialize_i16: visit_i16 0x22, deserialize_i32: visit_i32 0x24, deserialize_i64: visit_i64 0x28,
        deserialize_i128: visit_i128 0x30, deserialize_f32: visit_f32 0x44, deserialize_f64: visit_f64 0x48,
        deserialize_char: visit_char 0x54
    }

    fn deserialize_i8<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(0x21)?;
        let number = NUMBERS[self.dummy(NUMBERS.len())];
        visitor.visit_i8(number as i8)
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(0x51)?;
        let truth = self.dummy(2) == 1;
        visitor.visit_bool(truth)
    }

    /// Nothing can be learned about a type that takes anything.
    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::ANY)?;
        match self.dummy(4) {
            0 => visitor.visit_unit(),
            1 => visitor.visit_str(""),
            2 => visitor.visit_u64(0),
            _ => visitor.visit_map(Parts { of: self, left: 0, at: 0 }),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::IGNORED)?;
        visitor.visit_unit()
    }

    fn deserialize_identifier<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::IDENTIFIER)?;
        visitor.visit_u64(0)
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::TEXT)?;
        let text = TEXTS[self.dummy(TEXTS.len())];
        visitor.visit_str(text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::BYTES)?;
        let bytes = BYTES[self.dummy(BYTES.len())];
        visitor.visit_bytes(bytes)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::UNIT)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(mut self, name: &'static str, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::UNIT)?;
        self.pass.write_name(name);
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::OPTION)?;
        if self.pass.again > 0 { visitor.visit_none() } else { visitor.visit_some(self.inside(0)) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask(note::NEWTYPE)?;
        self.pass.write_name(name);
        visitor.visit_newtype_struct(self.inside(0))
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::LIST)?;
        let left = usize::from(self.pass.again == 0);
        visitor.visit_seq(Parts { of: self, left, at: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::TUPLE)?;
        self.pass.written.extend_from_slice(&(len as u64).to_le_bytes());
        visitor.visit_seq(Parts { of: self, left: len, at: 0 })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask(note::NEWTYPE)?;
        self.pass.write_name(name);
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(note::MAP)?;
        let left = usize::from(self.pass.again == 0);
        visitor.visit_map(Parts { of: self, left, at: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask(note::STRUCT)?;
        let id = self.pass.write_named(note::STRUCT, name, fields);
        let again = self.pass.open(id);
        let Asked { pass, path, depth } = self;
        let value =
            visitor.visit_seq(Parts { of: Asked { pass: &mut *pass, path, depth }, left: fields.len(), at: 0 })?;
        pass.close(again);
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask(note::ENUM)?;
        if variants.is_empty() {
            return Err(Refused);
        }
        let id = self.pass.write_named(note::ENUM, name, variants);
        let again = self.pass.open(id);
        let Asked { pass, path, depth } = self;
        let taken = pass.enums.len();
        let variant = pass.variant(path, variants.len(), again);
        let place = Asked { path: step(path, variant as u64), pass: &mut *pass, depth };
        let value = visitor.visit_enum(Variant { of: place, variant })?;
        let end = pass.enums.len();
        if again == Again::No
            && let Some(taken) = pass.enums.get_mut(taken)
        {
            taken.end = Some(end);
        }
        pass.close(again);
        Ok(value)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a list, a tuple, a struct or a map.
struct Parts<'p, 'k> {
    of: Asked<'p, 'k>,
    left: usize,
    at: u64,
}

impl<'k> Parts<'_, 'k> {
    fn next(&mut self) -> Asked<'_, 'k> {
        self.at += 1;
        self.of.inside(self.at)
    }
}

impl<'de> SeqAccess<'de> for Parts<'_, '_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                seed.deserialize(self.next()).map(Some)
            }
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Parts<'_, '_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self.next())
    }
}

/// The variant of an enum that this pass reads.
struct Variant<'p, 'k> {
    of: Asked<'p, 'k>,
    variant: usize,
}

impl<'de, 'p, 'k> EnumAccess<'de> for Variant<'p, 'k> {
    type Error = Refused;
    type Variant = Asked<'p, 'k>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Asked<'p, 'k>), Refused> {
        let number: U64Deserializer<Refused> = (self.variant as u64).into_deserializer();
        self.of.pass.written.push(note::VARIANT);
        self.of.pass.written.extend_from_slice(&(self.variant as u64).to_le_bytes());
        Ok((seed.deserialize(number)?, self.of))
    }
}

impl<'de> VariantAccess<'de> for Asked<'_, '_> {
    type Error = Refused;

    fn unit_variant(mut self) -> Result<(), Refused> {
        self.ask(note::UNIT)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value, Refused> {
        self.ask(note::NEWTYPE)?;
        seed.deserialize(self.inside(0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask(note::STRUCT)?;
        fields.iter().for_each(|field| self.pass.write_name(field));
        visitor.visit_seq(Parts { of: self, left: fields.len(), at: 0 })
    }
}

#[cfg(test)]
mod tests;
