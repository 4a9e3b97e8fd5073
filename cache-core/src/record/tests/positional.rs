//! Codecs that keep no names, where bytes of one type may be read as another and lengths may lie.

use super::*;

fn positional() -> Vec<Codec> {
    codecs().into_iter().filter(|codec| matches!(codec.name(), "bincode" | "postcard")).collect()
}

/// What an error says: postcard keeps no messages.
fn said(codec: &Codec, message: &'static str) -> &'static str {
    if codec.name() == "postcard" { "Serde Deserialization Error" } else { message }
}

/// The length 2^62 as each codec writes it.
fn huge(codec: &Codec) -> Vec<u8> {
    let mut huge = Vec::new();
    codec.encode(&(1_u64 << 62), &mut huge).unwrap();
    huge
}

#[test]
fn a_huge_announced_length_is_a_miss() {
    let key = key("k");
    for codec in positional() {
        let record = forged(&codec, &key, &huge(&codec));
        let expect = writing(&codec, &key).expect();
        assert_eq!(read::<String>(&record, &expect).unwrap_err().name(), "decode");
        assert_eq!(read::<serde_bytes::ByteBuf>(&record, &expect).unwrap_err().name(), "decode");
        assert_eq!(read::<Vec<u64>>(&record, &expect).unwrap_err().name(), "decode");
        assert_eq!(read::<HashMap<u64, String>>(&record, &expect).unwrap_err().name(), "decode");
    }
}

#[test]
fn elements_of_no_bytes_end_at_max_value() {
    let key = key("k");
    for codec in positional() {
        let record = forged(&codec, &key, &huge(&codec));
        let expect = Expect { max_value: 5000, ..writing(&codec, &key).expect() };
        let miss = read::<Vec<()>>(&record, &expect).unwrap_err();
        assert!(miss.to_string().contains(said(&codec, "more elements than `max_value`")), "{miss}");
        let miss = read::<Units>(&record, &expect).unwrap_err();
        assert!(miss.to_string().contains(said(&codec, "more elements than `max_value`")), "{miss}");
        let few = write(&vec![(); 6000], &writing(&codec, &key)).unwrap();
        assert_eq!(read::<Vec<()>>(&few, &expect).map(|few| few.len()), Ok(6000), "{codec}");
    }
}

/// A map of nothing to nothing.
#[derive(Debug)]
struct Units;

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> serde::de::Visitor<'de> for All {
            type Value = Units;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("units")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Units, A::Error> {
                assert!(map.size_hint().is_some());
                while map.next_entry::<(), ()>()?.is_some() {}
                Ok(Units)
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[test]
fn the_length_of_a_list_or_a_map_is_passed_on() {
    #[derive(Debug, PartialEq)]
    struct Hinted<const MAP: bool>(Option<usize>);
    impl<'de, const MAP: bool> Deserialize<'de> for Hinted<MAP> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct First;
            impl<'de> serde::de::Visitor<'de> for First {
                type Value = Option<usize>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a list or a map")
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Option<usize>, A::Error> {
                    let hint = list.size_hint();
                    while list.next_element::<u8>()?.is_some() {}
                    Ok(hint)
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Option<usize>, A::Error> {
                    let hint = map.size_hint();
                    while map.next_entry::<u8, u8>()?.is_some() {}
                    Ok(hint)
                }
            }
            let hint = if MAP { deserializer.deserialize_map(First) } else { deserializer.deserialize_seq(First) };
            hint.map(Hinted)
        }
    }
    let key = key("k");
    for codec in positional() {
        let record = write(&vec![1_u8, 2, 3], &writing(&codec, &key)).unwrap();
        assert_eq!(read(&record, &writing(&codec, &key).expect()), Ok(Hinted::<false>(Some(3))));
        let record = write(&BTreeMap::from([(1_u8, 2_u8), (3, 4)]), &writing(&codec, &key)).unwrap();
        assert_eq!(read(&record, &writing(&codec, &key).expect()), Ok(Hinted::<true>(Some(2))));
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

fn chain(links: usize) -> Chain {
    (1..links).fold(Chain(None), |inner, _| Chain(Some(Box::new(inner))))
}

#[test]
fn depth_ends_before_the_stack_does() {
    let key = key("k");
    for codec in positional() {
        let writing = writing(&codec, &key);
        // Two levels for each link: the struct and the option.
        let deepest = write(&chain(128), &writing).unwrap();
        assert_eq!(read::<Chain>(&deepest, &writing.expect()), Ok(chain(128)));
        let deeper = write(&chain(129), &writing).unwrap();
        let miss = read::<Chain>(&deeper, &writing.expect()).unwrap_err();
        assert!(miss.to_string().contains(said(&codec, "nested more than 256 deep")), "{miss}");
        assert_eq!(reads_back(&chain(129), &deeper, &writing.expect()), Err(Misread::Refused(miss)));
        let forged = forged(&codec, &key, &[1; 100_000]);
        assert_eq!(read::<Chain>(&forged, &writing.expect()).unwrap_err().name(), "decode");
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Tuple(u8, Box<Tree>),
    Struct { of: Box<Tree> },
    New(Box<Tree>),
    Leaf,
}

#[test]
fn every_way_to_nest_is_counted() {
    let key = key("k");
    type Wrap = fn(Box<Tree>) -> Tree;
    let wraps: [Wrap; 3] = [|of| Tree::Tuple(1, of), |of| Tree::Struct { of }, Tree::New];
    for codec in positional() {
        let writing = writing(&codec, &key);
        for wrap in wraps {
            let tree = |levels| (1..levels).fold(Tree::Leaf, |inner, _| wrap(Box::new(inner)));
            let deepest = write(&tree(256), &writing).unwrap();
            assert_eq!(read::<Tree>(&deepest, &writing.expect()), Ok(tree(256)));
            let deeper = write(&tree(257), &writing).unwrap();
            assert!(read::<Tree>(&deeper, &writing.expect()).is_err());
        }
        fn deep<T: Serialize + DeserializeOwned>(writing: &Writing<'_>, value: &T) -> Result<(), Miss> {
            read::<T>(&write(value, writing).unwrap(), &writing.expect()).map(drop)
        }
        // One level of each kind, at the very bottom and one deeper.
        #[derive(Debug, Serialize, Deserialize)]
        struct Newtype<T>(T);
        #[derive(Debug, Serialize, Deserialize)]
        struct Fields<T> {
            of: T,
        }
        #[derive(Debug, Serialize, Deserialize)]
        struct Two<T>(T, u8);
        #[derive(Debug, Serialize, Deserialize)]
        struct Down<T>(Vec<Down<T>>, Vec<T>);
        fn down<T>(levels: usize, leaf: T) -> Down<T> {
            (1..levels).fold(Down(vec![], vec![leaf]), |inner, _| Down(vec![inner], vec![]))
        }
        // 127 * 2 levels lead to the last list, which is the 256th.
        assert_eq!(deep(&writing, &down(128, 1)), Ok(()));
        assert!(deep(&writing, &down(128, Newtype(1))).is_err());
        assert!(deep(&writing, &down(128, Fields { of: 1 })).is_err());
        assert!(deep(&writing, &down(128, Two(1, 1))).is_err());
        assert!(deep(&writing, &down(128, (1, 1))).is_err());
        assert!(deep(&writing, &down(128, vec![1])).is_err());
        assert!(deep(&writing, &down(128, Some(1))).is_err());
        assert!(deep(&writing, &down(128, BTreeMap::from([(1, 1)]))).is_err());
        assert!(deep(&writing, &down(128, Tree::Leaf)).is_err());
    }
}

#[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
struct Silent {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    a: Option<u8>,
    b: u8,
    #[serde(default)]
    c: Vec<u8>,
    d: u8,
}

#[test]
fn a_value_that_comes_back_as_another_one_is_found_out() {
    let key = key("k");
    let (mut refused, mut different) = (0, 0);
    for codec in positional() {
        let writing = writing(&codec, &key);
        let lists = [vec![], vec![0], vec![1], vec![0, 0], vec![1, 0]];
        let all = (0..3).flat_map(|b| (0..3).map(move |d| (b, d)));
        for ((b, d), tail) in all.flat_map(|bd| (0..5).map(move |tail| (bd, tail))) {
            for c in &lists {
                let value = (Silent { a: None, b, c: c.clone(), d }, lists[tail].clone());
                let record = write(&value, &writing).unwrap();
                let misread = reads_back(&value, &record, &writing.expect());
                match read::<(Silent, Vec<u8>)>(&record, &writing.expect()) {
                    Ok(decoded) if decoded == value => assert_eq!(misread, Ok(())),
                    Ok(_) => {
                        assert_eq!(misread, Err(Misread::Different), "{value:?}");
                        different += 1;
                    }
                    Err(miss) => {
                        assert_eq!(misread, Err(Misread::Refused(miss)));
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(different > 5 && refused > 100, "{different} different, {refused} refused");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    a: u8,
    #[serde(flatten)]
    rest: Silent,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    A(u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    A { b: u8 },
}

#[test]
fn what_a_positional_codec_cannot_carry_is_found_out() {
    let key = key("k");
    for codec in positional() {
        let writing = writing(&codec, &key);
        assert!(write(&Flat { a: 1, rest: Silent::default() }, &writing).is_err());
        fn refused<V: Serialize + DeserializeOwned>(value: &V, writing: &Writing<'_>) {
            let record = write(value, writing).unwrap();
            let misread = reads_back(value, &record, &writing.expect()).unwrap_err();
            assert!(matches!(misread, Misread::Refused(Miss::Decode(_))), "{misread}");
        }
        refused(&Untagged::A(1), &writing);
        refused(&Tagged::A { b: 1 }, &writing);
        refused(&serde_json::json!({ "a": [1] }), &writing);
    }
}
