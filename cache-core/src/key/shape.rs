//! The shape of a call: how many arguments, and of what kinds. Two calls that differ in it cannot have one key.

use std::fmt;

use super::decode::{Arguments, Values};

/// The kind of an argument: what two calls must agree on to reach the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An integer of any width.
    Integer = 1,
    /// A float.
    Float = 2,
    /// Text, a `char`, or what shows itself as text.
    Text = 3,
    /// A truth value.
    Bool = 4,
    /// An `Option`, with a value or without.
    Option = 5,
    /// A tuple, array, slice, list, or bytes.
    List = 6,
    /// A struct or a map.
    Map = 7,
    /// A variant of an enum.
    Variant = 8,
}

impl Kind {
    const ALL: [Kind; 8] =
        [Kind::Integer, Kind::Float, Kind::Text, Kind::Bool, Kind::Option, Kind::List, Kind::Map, Kind::Variant];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Integer => "integer",
            Kind::Float => "float",
            Kind::Text => "text",
            Kind::Bool => "bool",
            Kind::Option => "option",
            Kind::List => "list",
            Kind::Map => "map",
            Kind::Variant => "variant",
        })
    }
}

/// How many arguments a call has, and of what kinds; shown as `(text, integer)`.
///
/// The kinds of the first 16 are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    arity: usize,
    /// Four bits for each, the first argument lowest.
    kinds: u64,
}

impl Shape {
    const KEPT: usize = 16;

    pub(super) fn of(values: Values<'_>) -> Self {
        let mut shape = Shape { arity: 0, kinds: 0 };
        for argument in values {
            if shape.arity < Self::KEPT {
                shape.kinds |= (argument.kind() as u64) << (4 * shape.arity);
            }
            shape.arity += 1;
        }
        shape
    }

    /// How many arguments there are.
    pub fn arity(self) -> usize {
        self.arity
    }

    /// The kinds of the first 16 arguments.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        let nibbles = (0..self.arity.min(Self::KEPT)).map(move |i| (self.kinds >> (4 * i) & 0xf) as usize);
        nibbles.filter_map(|nibble| Kind::ALL.get(nibble.checked_sub(1)?).copied())
    }

    /// Whether calls of this shape can have the key of a call with these arguments.
    pub fn admits(self, arguments: Arguments<'_>) -> bool {
        self == arguments.shape() || self == arguments.shape_of_call(1)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, kind) in self.kinds().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            kind.fmt(f)?;
        }
        f.write_str(if self.arity > Self::KEPT { ", ..)" } else { ")" })
    }
}
