//! Reads canonical arguments back: their kinds, their values, their text.
//!
//! Any bytes may come: what is not canonical ends the walk, and nothing here panics or recurses without a bound.

use std::fmt::{self, Write as _};

use super::shape::{Kind, Shape};
use super::writer::{significant_bytes, skip, tag};

/// The arguments of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    /// The arguments that these canonical bytes are.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Arguments(bytes)
    }

    /// The canonical bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Each argument in order.
    ///
    /// A call whose only argument is a list cannot be told from a call with the elements as its arguments: the elements
    /// come.
    pub fn iter(self) -> Values<'a> {
        match self.only() {
            Some(Argument::List(elements)) => elements,
            _ => Values(self.0),
        }
    }

    /// How many arguments there are, and of what kinds, counted as [`iter`](Arguments::iter) gives them.
    pub fn shape(self) -> Shape {
        Shape::of(self.iter())
    }

    /// The shape of a call that is known to have `arity` arguments: with one, a list is that argument.
    pub fn shape_of_call(self, arity: usize) -> Shape {
        if arity == 1 { Shape::of(Values(self.0)) } else { self.shape() }
    }

    /// The arguments as text that no other arguments have, such as `"bob",0`.
    ///
    /// Floats have an exponent (`1.5e0`), text stands in quotes with `"` and `\` escaped, a variant behind `#`, and a list that is the only argument and has
    /// one element in brackets. `None` if the bytes are not canonical, or nested more than 64 deep.
    pub fn to_text(self) -> Option<String> {
        let mut text = String::new();
        match self.only()? {
            Argument::List(elements) if elements.clone().count() != 1 => write_list(&mut text, elements, DEEPEST)?,
            only => write_argument(&mut text, &only, DEEPEST)?,
        }
        Some(text)
    }

    /// The bytes as one value.
    fn only(self) -> Option<Argument<'a>> {
        let (argument, rest) = split_argument(self.0)?;
        rest.is_empty().then_some(argument)
    }
}

impl<'a> IntoIterator for Arguments<'a> {
    type Item = Argument<'a>;
    type IntoIter = Values<'a>;

    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

/// One argument, or a value inside it.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument<'a> {
    /// An integer of any width.
    Integer(Integer),
    /// A float; an `f32` as the `f64` of the same value.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// A truth value.
    Bool(bool),
    /// An `Option` without a value.
    None,
    /// An `Option` with this one value.
    Some(Values<'a>),
    /// A tuple, array, slice, list, or bytes.
    List(Values<'a>),
    /// A struct or a map: a key and its value in turn, sorted by the bytes of the keys.
    Map(Values<'a>),
    /// A variant of an enum: its name, and its content if it has any (one value).
    Variant(&'a str, Option<Values<'a>>),
}

impl Argument<'_> {
    /// What kind of value this is.
    pub fn kind(&self) -> Kind {
        match self {
            Argument::Integer(_) => Kind::Integer,
            Argument::Float(_) => Kind::Float,
            Argument::Text(_) => Kind::Text,
            Argument::Bool(_) => Kind::Bool,
            Argument::None | Argument::Some(_) => Kind::Option,
            Argument::List(_) => Kind::List,
            Argument::Map(_) => Kind::Map,
            Argument::Variant(..) => Kind::Variant,
        }
    }
}

/// The value of an integer, whatever its width was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// 0 or more.
    Natural(u128),
    /// Below 0.
    Negative(i128),
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Integer::Natural(value) => value.fmt(f),
            Integer::Negative(value) => value.fmt(f),
        }
    }
}

/// Values one after the other. It ends at its end, or at the first byte that is not canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Argument<'a>;

    fn next(&mut self) -> Option<Argument<'a>> {
        let (argument, rest) = split_argument(self.0)?;
        self.0 = rest;
        Some(argument)
    }
}

/// The first value of `bytes`, and what follows it; `None` if that is not canonical.
fn split_argument(bytes: &[u8]) -> Option<(Argument<'_>, &[u8])> {
    let (&first, after) = bytes.split_first()?;
    let argument = match first {
        tag::NONE => (Argument::None, after),
        tag::FALSE => (Argument::Bool(false), after),
        tag::TRUE => (Argument::Bool(true), after),
        tag::SOME => one(after).map(|(value, rest)| (Argument::Some(value), rest))?,
        tag::FLOAT => {
            let (bits, rest) = after.split_first_chunk()?;
            (Argument::Float(f64::from_bits(u64::from_le_bytes(*bits))), rest)
        }
        tag::STRING => split_text(after).map(|(text, rest)| (Argument::Text(text), rest))?,
        tag::UNIT_VARIANT => split_text(after).map(|(name, rest)| (Argument::Variant(name, None), rest))?,
        tag::VARIANT => {
            let (name, rest) = split_text(after)?;
            let (content, rest) = one(rest)?;
            (Argument::Variant(name, Some(content)), rest)
        }
        tag::LIST | tag::MAP => {
            let rest = skip(bytes)?;
            let values = Values(&after[..after.len() - rest.len() - 1]);
            (if first == tag::LIST { Argument::List(values) } else { Argument::Map(values) }, rest)
        }
        _ => split_integer(first, after).map(|(integer, rest)| (Argument::Integer(integer), rest))?,
    };
    Some(argument)
}

fn one(bytes: &[u8]) -> Option<(Values<'_>, &[u8])> {
    let rest = skip(bytes)?;
    Some((Values(&bytes[..bytes.len() - rest.len()]), rest))
}

fn split_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn split_integer(first: u8, after: &[u8]) -> Option<(Integer, &[u8])> {
    let (significant, rest) = after.split_at_checked(significant_bytes(first)?)?;
    let is_shortest = significant.last() != Some(&0);
    let mut bytes = [0; 16];
    bytes[..significant.len()].copy_from_slice(significant);
    let value = u128::from_le_bytes(bytes);
    let integer =
        if first < tag::NEGATIVE { Integer::Natural(value) } else { Integer::Negative(!i128::try_from(value).ok()?) };
    is_shortest.then_some((integer, rest))
}

/// How deep a value may be nested to be shown as text.
const DEEPEST: usize = 64;

fn write_argument(out: &mut String, argument: &Argument<'_>, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match argument {
        Argument::Integer(integer) => write!(out, "{integer}").ok()?,
        Argument::Float(float) => write!(out, "{float:e}").ok()?,
        Argument::Text(text) => write_quoted(out, text),
        Argument::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Argument::None => out.push_str("none"),
        Argument::Some(value) => {
            out.push_str("some(");
            write_list(out, value.clone(), depth)?;
            out.push(')');
        }
        Argument::List(elements) => {
            out.push('[');
            write_list(out, elements.clone(), depth)?;
            out.push(']');
        }
        Argument::Map(pairs) => {
            out.push('{');
            write_pairs(out, pairs.clone(), depth)?;
            out.push('}');
        }
        Argument::Variant(name, content) => {
            out.push('#');
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if is_plain {
                out.push_str(name)
            } else {
                write_quoted(out, name)
            }
            if let Some(content) = content {
                out.push('(');
                write_list(out, content.clone(), depth)?;
                out.push(')');
            }
        }
    }
    Some(())
}

fn write_list(out: &mut String, mut values: Values<'_>, depth: usize) -> Option<()> {
    let mut separator = "";
    for value in values.by_ref() {
        out.push_str(separator);
        write_argument(out, &value, depth)?;
        separator = ",";
    }
    values.0.is_empty().then_some(())
}

fn write_pairs(out: &mut String, mut pairs: Values<'_>, depth: usize) -> Option<()> {
    let mut separator = "";
    while let Some(key) = pairs.next() {
        out.push_str(separator);
        write_argument(out, &key, depth)?;
        out.push(':');
        write_argument(out, &pairs.next()?, depth)?;
        separator = ",";
    }
    pairs.0.is_empty().then_some(())
}

fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::super::{KeyBuffer, KeyWriter};
    use super::*;

    fn text_of<A: Serialize>(arguments: A) -> String {
        let key = KeyWriter::key_of("n", &arguments).unwrap();
        key.as_ref().arguments().to_text().unwrap()
    }

    fn shape_of<A: Serialize>(arguments: A) -> Shape {
        KeyWriter::key_of("n", &arguments).unwrap().as_ref().arguments().shape()
    }

    #[derive(Serialize)]
    enum Sort {
        ByName,
        By(u8),
        Of(u8, u8),
        #[serde(rename = "a b")]
        Odd,
    }

    #[test]
    fn arguments_read_as_what_they_are() {
        assert_eq!(text_of(("bob", 0)), r#""bob",0"#);
        assert_eq!(text_of(r#"a"b\c é"#), r#""a\"b\\c é""#);
        assert_eq!(text_of((i128::MIN, u128::MAX)), format!("{},{}", i128::MIN, u128::MAX));
        assert_eq!(text_of((1.5, f64::NAN, f64::INFINITY, 1e21)), "1.5e0,NaN,inf,1e21");
        assert_eq!(text_of((None::<u8>, Some(Some("x")), true, false)), r#"none,some(some("x")),true,false"#);
        assert_eq!(text_of(()), "");
        assert_eq!(text_of((vec![5],)), "[5]");
        assert_eq!(text_of(5), "5");
        assert_eq!(text_of((vec![5, 6], "x")), r#"[5,6],"x""#);
        assert_eq!(text_of(BTreeMap::from([("b", 1), ("a", 2)])), r#"{"a":2,"b":1}"#);
        assert_eq!(
            text_of((Sort::ByName, Sort::By(1), Sort::Of(1, 2), Sort::Odd)),
            r##"#ByName,#By(1),#Of([1,2]),#"a b""##
        );
    }

    #[test]
    fn a_shape_tells_arity_and_kinds() {
        assert_eq!(shape_of(("bob", 0)).to_string(), "(text, integer)");
        assert_eq!(shape_of(("bob", 0)), shape_of((String::from("eve"), u64::MAX)));
        assert_ne!(shape_of(("bob", 0)), shape_of((0, "bob")));
        assert_ne!(shape_of(("bob", 0)), shape_of(("bob", 0, 0)));
        assert_eq!(shape_of(()).to_string(), "()");
        let all = (-1, 1.0, 'c', true, Some(1), [1, 2], BTreeMap::from([(1, 1)]), Sort::Odd);
        assert_eq!(shape_of(all).to_string(), "(integer, float, text, bool, option, list, map, variant)");
        assert_eq!(shape_of((None::<u8>, Sort::By(1))).to_string(), "(option, variant)");
        assert_eq!(shape_of(("bob", 0)).arity(), 2);
    }

    #[test]
    fn a_shape_keeps_the_kinds_of_sixteen_arguments() {
        let sixteen = vec![1; 16];
        assert_eq!(shape_of(&sixteen).kinds().count(), 16);
        assert!(!shape_of(&sixteen).to_string().contains(".."));
        let mut more = vec![Some(1); 17];
        let shape = shape_of(&more);
        assert_eq!((shape.arity(), shape.kinds().count()), (17, 16));
        assert!(shape.to_string().ends_with("option, ..)"), "{shape}");
        more.push(None);
        assert_ne!(shape, shape_of(&more));
    }

    #[test]
    fn a_call_with_one_list_admits_every_list() {
        let mut buffer = KeyBuffer::new();
        let mut call = buffer.begin("n", 1);
        call.arg(&vec![1, 2, 3]);
        let shape = call.finish().unwrap().arguments().shape_of_call(1);
        assert_eq!(shape.to_string(), "(list)");
        let admits = |key: super::super::Key| shape.admits(key.as_ref().arguments());
        assert!(admits(KeyWriter::key_of("n", &[1, 2]).unwrap()));
        assert!(admits(KeyWriter::key_of("n", &(vec![1],)).unwrap()));
        assert!(!admits(KeyWriter::key_of("n", &1).unwrap()));
        let two = shape_of(("bob", 0));
        let admits = |key: super::super::Key| two.admits(key.as_ref().arguments());
        assert!(admits(KeyWriter::key_of("n", &("eve", 1)).unwrap()));
        assert!(!admits(KeyWriter::key_of("n", &("eve", "1")).unwrap()));
        let arguments = KeyWriter::key_of("n", &("eve", 1)).unwrap();
        assert_eq!(arguments.as_ref().arguments().shape_of_call(2), two);
    }

    #[test]
    fn what_is_not_canonical_has_no_text() {
        let text = |bytes: &[u8]| Arguments::new(bytes).to_text();
        assert_eq!(text(&[0x11, 5]).as_deref(), Some("5"));
        assert_eq!(text(&[0x30]).as_deref(), Some("-1"));
        for garbage in [
            &[][..],
            &[0x00],
            &[0x11],
            &[0x11, 0],
            &[0x12, 5, 0],
            &[0x11, 5, 5],
            &[0x0b],
            &[0x0f],
            &[0x21],
            &[0x2f],
            &[0x41],
            &[0xff],
            &[0x02],
            &[0x02, 0x00],
            &[0x07],
            &[0x07, 0x02, 0x00],
            &[0x07, 0x0b, 0x00],
            &[0x07, 0x11, 0, 0x01, 0x00],
            &[0x08, 0x01, 0x00],
            &[0x08, 0x01, 0x02, 0x0b, 0x00],
            &[0x05, 1, 2, 3, 4, 5, 6, 7],
            &[0x06, 2, 0, 0, 0, b'a'],
            &[0x06, 1, 0, 0, 0, 0xff],
            &[0x06, 1, 0, 0],
            &[0x09, 1, 0, 0, 0, b'a'],
            &[0x0a, 1, 0, 0, 0, 0xff],
        ] {
            assert_eq!(text(garbage), None, "{garbage:x?}");
        }
        // The complement of the most negative integer is the largest positive one; one more has no value.
        let mut least = [0xff; 17];
        (least[0], least[16]) = (0x40, 0x7f);
        assert_eq!(text(&least), Some(i128::MIN.to_string()));
        least[16] = 0x80;
        assert_eq!(text(&least), None);
    }

    #[test]
    fn depth_is_bounded_without_recursion_on_garbage() {
        let nested = |depth: usize| [vec![0x02; depth], vec![0x01]].concat();
        assert_eq!(Arguments::new(&nested(63)).to_text().unwrap().len(), 63 * 6 + 4);
        assert_eq!(Arguments::new(&nested(64)).to_text(), None);
        let deep = nested(1 << 20);
        assert_eq!(Arguments::new(&deep).shape().to_string(), "(option)");
        assert_eq!(Arguments::new(&vec![0x07; 1 << 20]).shape().arity(), 0);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(prop_oneof![0_u8..0x14, any::<u8>()], 0..64)) {
            let arguments = Arguments::new(&bytes);
            let _ = arguments.to_text();
            prop_assert!(arguments.iter().count() <= bytes.len());
            prop_assert_eq!(arguments.shape().arity(), arguments.iter().count());
        }
    }
}
