//! The deserializer that a type is read from: it asks the pass what to answer, and gives dummies.

use serde::de::value::U64Deserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use twox_hash::XxHash3_64;

use super::{Again, BYTES, NUMBERS, Pass, Refused, TEXTS, note};

/// One place in the type, asking for a value.
pub(super) struct Asked<'p, 'k> {
    pub(super) pass: &'p mut Pass<'k>,
    pub(super) path: u64,
    pub(super) depth: usize,
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
    XxHash3_64::oneshot(&(u128::from(path) << 64 | u128::from(part)).to_le_bytes())
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
