//! Any value whatever: a key means its argument, and two keys are equal exactly if they mean the same.

use super::*;

/// A value that serializes as it is told.
#[derive(Debug, Clone)]
enum Tree {
    Unsigned(u128),
    Signed(i128),
    Float(f64),
    Single(f32),
    Text(String),
    Shown(String),
    Char(char),
    Bool(bool),
    None,
    Some(Box<Tree>),
    Newtype(Box<Tree>),
    List(Vec<Tree>),
    Tuple(Vec<Tree>),
    Bytes(Vec<u8>),
    Map(Vec<(Tree, Tree)>),
    Name(usize),
    Variant(usize, Box<Tree>),
    TupleVariant(usize, Vec<Tree>),
}

const NAMES: [&str; 3] = ["A", "B", "AB"];

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tree::Unsigned(value) => match (u8::try_from(*value), u32::try_from(*value), u64::try_from(*value)) {
                (Ok(value), ..) => serializer.serialize_u8(value),
                (_, Ok(value), _) => serializer.serialize_u32(value),
                (_, _, Ok(value)) => serializer.serialize_u64(value),
                _ => serializer.serialize_u128(*value),
            },
            Tree::Signed(value) => match (i16::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i16(value),
                (_, Ok(value)) => serializer.serialize_i64(value),
                _ => serializer.serialize_i128(*value),
            },
            Tree::Float(value) => serializer.serialize_f64(*value),
            Tree::Single(value) => serializer.serialize_f32(*value),
            Tree::Text(text) => serializer.serialize_str(text),
            Tree::Shown(text) => serializer.collect_str(text),
            Tree::Char(c) => serializer.serialize_char(*c),
            Tree::Bool(truth) => serializer.serialize_bool(*truth),
            Tree::None => serializer.serialize_none(),
            Tree::Some(value) => serializer.serialize_some(value),
            Tree::Newtype(value) => serializer.serialize_newtype_struct("N", value),
            Tree::List(list) => serializer.collect_seq(list),
            Tree::Tuple(list) => {
                let mut tuple = serializer.serialize_tuple(list.len())?;
                list.iter().try_for_each(|value| tuple.serialize_element(value))?;
                tuple.end()
            }
            Tree::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Tree::Map(pairs) => serializer.collect_map(pairs.iter().map(|(key, value)| (key, value))),
            Tree::Name(name) => serializer.serialize_unit_variant("E", 0, NAMES[*name]),
            Tree::Variant(name, value) => serializer.serialize_newtype_variant("E", 0, NAMES[*name], value),
            Tree::TupleVariant(name, list) => {
                let mut tuple = serializer.serialize_tuple_variant("E", 0, NAMES[*name], list.len())?;
                list.iter().try_for_each(|value| tuple.serialize_field(value))?;
                tuple.end()
            }
        }
    }
}

/// What a tree means: two trees are one key if and only if this is equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    Natural(u128),
    Negative(i128),
    Float(u64),
    Text(String),
    Bool(bool),
    Option(Option<Box<Meaning>>),
    List(Vec<Meaning>),
    Map(Vec<(Meaning, Meaning)>),
    Variant(String, Option<Box<Meaning>>),
}

fn float(value: f64) -> Meaning {
    Meaning::Float(if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() })
}

fn sorted(mut pairs: Vec<(Meaning, Meaning)>) -> Meaning {
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    Meaning::Map(pairs)
}

fn meant(tree: &Tree) -> Meaning {
    let list = |list: &[Tree]| Meaning::List(list.iter().map(meant).collect());
    match tree {
        Tree::Unsigned(value) => Meaning::Natural(*value),
        Tree::Signed(value) => u128::try_from(*value).map_or(Meaning::Negative(*value), Meaning::Natural),
        Tree::Float(value) => float(*value),
        Tree::Single(value) => float(f64::from(*value)),
        Tree::Text(text) | Tree::Shown(text) => Meaning::Text(text.clone()),
        Tree::Char(c) => Meaning::Text(c.to_string()),
        Tree::Bool(truth) => Meaning::Bool(*truth),
        Tree::None => Meaning::Option(None),
        Tree::Some(value) => Meaning::Option(Some(Box::new(meant(value)))),
        Tree::Newtype(value) => meant(value),
        Tree::List(values) | Tree::Tuple(values) => list(values),
        Tree::Bytes(bytes) => Meaning::List(bytes.iter().map(|byte| Meaning::Natural((*byte).into())).collect()),
        Tree::Map(pairs) => sorted(pairs.iter().map(|(key, value)| (meant(key), meant(value))).collect()),
        Tree::Name(name) => Meaning::Variant(NAMES[*name].into(), None),
        Tree::Variant(name, value) => Meaning::Variant(NAMES[*name].into(), Some(Box::new(meant(value)))),
        Tree::TupleVariant(name, values) => Meaning::Variant(NAMES[*name].into(), Some(Box::new(list(values)))),
    }
}

fn read(argument: Argument<'_>) -> Meaning {
    let one = |mut values: Values<'_>| {
        let value = read(values.next().unwrap());
        assert_eq!(values.next(), None);
        Box::new(value)
    };
    match argument {
        Argument::Integer(Integer::Natural(value)) => Meaning::Natural(value),
        Argument::Integer(Integer::Negative(value)) => Meaning::Negative(value),
        Argument::Float(value) => float(value),
        Argument::Text(text) => Meaning::Text(text.into()),
        Argument::Bool(truth) => Meaning::Bool(truth),
        Argument::None => Meaning::Option(None),
        Argument::Some(value) => Meaning::Option(Some(one(value))),
        Argument::List(values) => Meaning::List(values.map(read).collect()),
        Argument::Map(values) => {
            let flat: Vec<_> = values.map(read).collect();
            let (pairs, rest) = flat.as_chunks::<2>();
            assert!(rest.is_empty());
            sorted(pairs.iter().cloned().map(|[key, value]| (key, value)).collect())
        }
        Argument::Variant(name, content) => Meaning::Variant(name.into(), content.map(one)),
    }
}

/// Small trees, so that two of them are often equal, and now and then large leaves.
fn trees() -> impl Strategy<Value = Tree> {
    let small = || "[ab\"\\\\,]{0,2}";
    let leaf = prop_oneof![
        (0_u128..4).prop_map(Tree::Unsigned),
        any::<u128>().prop_map(Tree::Unsigned),
        any::<u64>().prop_map(|value| Tree::Unsigned(value.into())),
        (-3_i128..4).prop_map(Tree::Signed),
        any::<i128>().prop_map(Tree::Signed),
        any::<i64>().prop_map(|value| Tree::Signed(value.into())),
        prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(f64::NAN), any::<f64>()].prop_map(Tree::Float),
        prop_oneof![Just(1.0), any::<f32>()].prop_map(Tree::Single),
        small().prop_map(Tree::Text),
        small().prop_map(Tree::Shown),
        ".{0,200}".prop_map(Tree::Text),
        prop_oneof![Just('a'), any::<char>()].prop_map(Tree::Char),
        any::<bool>().prop_map(Tree::Bool),
        Just(Tree::None),
        proptest::collection::vec(0_u8..3, 0..3).prop_map(Tree::Bytes),
        (0..NAMES.len()).prop_map(Tree::Name),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let list = || proptest::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            inner.clone().prop_map(|value| Tree::Some(value.into())),
            inner.clone().prop_map(|value| Tree::Newtype(value.into())),
            list().prop_map(Tree::List),
            list().prop_map(Tree::Tuple),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..24).prop_map(Tree::Map),
            (0..NAMES.len(), inner.clone()).prop_map(|(name, value)| Tree::Variant(name, value.into())),
            (0..NAMES.len(), list()).prop_map(|(name, values)| Tree::TupleVariant(name, values)),
        ]
    })
}

/// A key of one argument, as a call writes it.
fn call(tree: &Tree) -> Key {
    let mut buffer = KeyBuffer::new();
    let mut key = buffer.begin("n", 1);
    key.arg(tree);
    key.finish().unwrap().to_key()
}

fn one_meaning(key: &Key) -> Meaning {
    let wrapped = [&[0x07], key.as_ref().arguments().bytes(), &[0x00]].concat();
    let mut values = Arguments::new(&wrapped).iter();
    let meaning = read(values.next().unwrap());
    assert_eq!(values.next(), None);
    meaning
}

proptest! {
    #[test]
    fn a_key_means_its_argument(tree in trees()) {
        prop_assert_eq!(one_meaning(&call(&tree)), meant(&tree));
    }

    #[test]
    fn keys_are_equal_exactly_if_they_mean_the_same(a in trees(), b in trees()) {
        prop_assert_eq!(call(&a) == call(&b), meant(&a) == meant(&b));
        let text = |tree| call(tree).as_ref().arguments().to_text().unwrap();
        prop_assert_eq!(text(&a) == text(&b), meant(&a) == meant(&b));
    }

    #[test]
    fn lists_of_arguments_are_told_apart(a in proptest::collection::vec(trees(), 0..3), b in proptest::collection::vec(trees(), 0..3)) {
        let call = |trees: &[Tree]| {
            let mut buffer = KeyBuffer::new();
            let mut key = buffer.begin("n", trees.len());
            trees.iter().for_each(|tree| key.arg(tree));
            key.finish().unwrap().to_key()
        };
        // The equality that is wanted: one list as the only argument is the list of arguments, except of one.
        let meaning = |trees: &[Tree]| match trees {
            [only] => meant(only),
            trees => Meaning::List(trees.iter().map(meant).collect()),
        };
        prop_assert_eq!(call(&a) == call(&b), meaning(&a) == meaning(&b));
        let by_name = KeyWriter::key_of("n", &a).unwrap();
        prop_assert_eq!(by_name, call(&a));
    }

    #[test]
    fn keys_of_any_length_are_whole(head in 100_usize..180, tail in trees(), map in proptest::collection::vec((0_u8..9, 0_u32..9), 0..4)) {
        // The stack ends among these: each kind of write is the one that spills.
        let head = "h".repeat(head);
        let value = Tree::List(vec![
            Tree::Text(head.clone()),
            Tree::Map(map.iter().map(|(key, value)| (Tree::Unsigned((*key).into()), Tree::Unsigned((*value).into()))).collect()),
            tail.clone(),
        ]);
        prop_assert_eq!(one_meaning(&call(&value)), meant(&value));
    }
}

#[test]
fn every_boundary_of_the_stack_is_crossed_whole() {
    let leaves = [
        Tree::Unsigned(0),
        Tree::Unsigned(u64::MAX.into()),
        Tree::Unsigned(u128::MAX),
        Tree::Signed(-1),
        Tree::Float(1.5),
        Tree::Bool(true),
        Tree::Text(String::new()),
        Tree::Text("xyz".into()),
        Tree::Shown("xyz".into()),
        Tree::Bytes(vec![1, 2, 3]),
        Tree::Map(vec![(Tree::Unsigned(2), Tree::Unsigned(1)), (Tree::Unsigned(1), Tree::Unsigned(2))]),
        Tree::Variant(0, Tree::Unsigned(9).into()),
        Tree::Name(2),
    ];
    for len in 90..160 {
        for leaf in &leaves {
            let value = Tree::List(vec![Tree::Text("h".repeat(len)), leaf.clone(), leaf.clone()]);
            assert_eq!(one_meaning(&call(&value)), meant(&value), "{len} {leaf:?}");
        }
    }
}

#[test]
fn the_text_of_distinct_calls_is_distinct_at_the_top() {
    let text = |key: Key| key.as_ref().arguments().to_text().unwrap();
    let key = |tree: &Tree| KeyWriter::key_of("n", tree).unwrap();
    let five = Tree::Unsigned(5);
    let of_one = Tree::List(vec![Tree::List(vec![five.clone()])]);
    assert_ne!(text(key(&five)), text(key(&of_one)));
    let nothing = Tree::List(vec![Tree::List(vec![]), Tree::List(vec![])]);
    assert_ne!(text(key(&Tree::List(vec![]))), text(key(&nothing)));
}
