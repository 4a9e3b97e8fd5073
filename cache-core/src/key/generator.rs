//! Turns a key into the string that a far backend stores under.
//!
//! What is stored under one string must be one entry: every shipped string is either readable and unambiguous, or ends
//! in a SHA-1 that covers prefix, region, namespace and arguments, each with its length.

use std::fmt;

use sha1::{Digest, Sha1};

use super::KeyRef;
use crate::error::{Error, Kind};

/// A key as a far backend takes it: 1 to 250 bytes, none of them a blank or a control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FarKey(Box<str>);

impl FarKey {
    /// The longest, in bytes.
    pub const LONGEST: usize = 250;

    /// Checks that memcached would take `text` as one key.
    ///
    /// # Errors
    ///
    /// [`Kind::Key`] if it is empty, longer than 250 bytes, or has a byte up to 0x20 or 0x7f.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, Error> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::LONGEST || text.bytes().any(|byte| byte <= 0x20 || byte == 0x7f) {
            return Err(Error::new(Kind::Key, "not a legal memcached key"));
        }
        Ok(FarKey(text))
    }

    /// The key as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FarKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which cache a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPlace<'a> {
    /// The region's `prefix` setting, `""` unless set: keeps staging apart from production.
    pub prefix: &'a str,
    /// The name of the region.
    pub region: &'a str,
}

/// Makes the keys that entries are stored under.
///
/// Two different keys, or one key in two places, must never make the same far key. What follows `{prefix}{region}:`
/// must not begin with `@`: that is where [scopes](scope_key) are.
pub trait KeyGenerator: Send + Sync + fmt::Debug {
    /// The far key of `key` in the region `place`.
    ///
    /// # Errors
    ///
    /// [`Kind::Key`] if it has no legal form. The call then goes straight through, counted.
    fn far_key(&self, place: KeyPlace<'_>, key: KeyRef<'_>) -> Result<FarKey, Error>;
}

/// `{prefix}{region}:{namespace}:{SHA-1 in hex}`, the default.
///
/// Bytes that memcached would refuse, non-ASCII ones, and `%` `:` `@` `!` are percent-encoded in front (`:` may stand in
/// the prefix). A front that leaves no room for the SHA-1 is cut, which the SHA-1 makes up for: it covers all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sha1Keys;

impl KeyGenerator for Sha1Keys {
    fn far_key(&self, place: KeyPlace<'_>, key: KeyRef<'_>) -> Result<FarKey, Error> {
        let mut text = entry_front(place, key);
        end_in_digest(&mut text, ":", &entry_digest(place, key));
        // Legal by construction: escaped, cut, and never empty.
        Ok(FarKey(text.into()))
    }
}

/// `{prefix}{region}:{namespace}:{arguments as text}`, such as `users:profile:"bob",0`.
///
/// The text is that of [`Arguments::to_text`](super::Arguments::to_text), percent-encoded where memcached would refuse
/// it. A key of more than 250 bytes ends in `:~{SHA-1 in hex}` instead. A prefix that does not end in `:` is followed by
/// `!`, so that prefix `a` with region `bc` is not prefix `ab` with region `c`.
///
/// Argument values can then be read by whoever can list the server's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadableKeys;

impl KeyGenerator for ReadableKeys {
    fn far_key(&self, place: KeyPlace<'_>, key: KeyRef<'_>) -> Result<FarKey, Error> {
        let boundary = if place.prefix.is_empty() || place.prefix.ends_with(':') { "" } else { "!" };
        let mut text = String::new();
        escape_into(&mut text, place.prefix, Part::Prefix);
        text.push_str(boundary);
        escape_into(&mut text, place.region, Part::Name);
        text.push(':');
        escape_into(&mut text, key.namespace(), Part::Name);
        let front = text.len();
        text.push(':');
        let arguments = key.arguments();
        // No value is encoded in more than four times the bytes of its text, so what is longer need not be written.
        if arguments.bytes().len() <= 4 * FarKey::LONGEST
            && let Some(arguments) = arguments.to_text()
        {
            escape_into(&mut text, &arguments, Part::Arguments);
            if text.len() <= FarKey::LONGEST {
                return FarKey::new(text);
            }
        }
        text.truncate(front);
        end_in_digest(&mut text, ":~", &entry_digest(place, key));
        FarKey::new(text)
    }
}

/// What can be invalidated as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope<'a> {
    /// Every entry of the region.
    Region,
    /// Every entry of this namespace in the region.
    Namespace(&'a str),
    /// Every entry with this tag in the region.
    Tag(&'a str),
}

/// The far key of a scope's generation, `{prefix}{region}:@{kind}:{name}:{SHA-1 in hex}`. No entry has it.
pub fn scope_key(place: KeyPlace<'_>, scope: Scope<'_>) -> FarKey {
    let (kind, name) = match scope {
        Scope::Region => ("region", ""),
        Scope::Namespace(name) => ("namespace", name),
        Scope::Tag(name) => ("tag", name),
    };
    let mut front = String::new();
    escape_into(&mut front, place.prefix, Part::Prefix);
    escape_into(&mut front, place.region, Part::Name);
    front.push_str(":@");
    front.push_str(kind);
    front.push(':');
    escape_into(&mut front, name, Part::Name);
    let digest = digest(kind, [place.prefix.as_bytes(), place.region.as_bytes(), name.as_bytes()]);
    end_in_digest(&mut front, ":", &digest);
    // Legal by construction: escaped, cut, and never empty.
    FarKey(front.into())
}

fn entry_front(place: KeyPlace<'_>, key: KeyRef<'_>) -> String {
    let namespace = key.namespace();
    // With just as much room as it needs, nearly always, so that it is not moved.
    let len = place.prefix.len() + place.region.len() + 1 + namespace.len();
    let mut front = String::with_capacity(len + 1 + DIGITS);
    escape_into(&mut front, place.prefix, Part::Prefix);
    escape_into(&mut front, place.region, Part::Name);
    front.push(':');
    escape_into(&mut front, namespace, Part::Name);
    front
}

fn entry_digest(place: KeyPlace<'_>, key: KeyRef<'_>) -> [u8; 20] {
    let (namespace, arguments) = key.parts();
    digest("entry", [place.prefix.as_bytes(), place.region.as_bytes(), namespace, arguments])
}

/// SHA-1 over the parts, each behind its length.
fn digest<const N: usize>(kind: &str, parts: [&[u8]; N]) -> [u8; 20] {
    let mut sha1 = Sha1::new();
    for part in std::iter::once(kind.as_bytes()).chain(parts) {
        sha1.update((part.len() as u64).to_le_bytes());
        sha1.update(part);
    }
    sha1.finalize().into()
}

/// How many hexadecimal digits a SHA-1 has.
const DIGITS: usize = 40;

/// Cuts `front` to leave room, and puts `separator` and the digest in hex behind it.
fn end_in_digest(front: &mut String, separator: &str, digest: &[u8; 20]) {
    // Escaped text is ASCII: any byte is a place to cut.
    front.truncate(FarKey::LONGEST - separator.len() - DIGITS);
    front.push_str(separator);
    for byte in digest {
        let at = 2 * usize::from(*byte);
        front.push_str(&HEX_OF_BYTES[at..at + 2]);
    }
}

/// The two digits of each byte, one behind the other.
const HEX_OF_BYTES: &str = {
    const DIGITS: [u8; 512] = {
        let (hex, mut digits, mut byte) = (b"0123456789abcdef", [0; 512], 0);
        while byte < 256 {
            digits[2 * byte] = hex[byte >> 4];
            digits[2 * byte + 1] = hex[byte & 0xf];
            byte += 1;
        }
        digits
    };
    match std::str::from_utf8(&DIGITS) {
        Ok(digits) => digits,
        Err(_) => unreachable!(),
    }
};

/// Which part of a far key is escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// May have `:`.
    Prefix,
    /// A region, a namespace, a tag: has no separator, and nothing that arguments as text begin with.
    Name,
    /// Ends the key: has what it likes.
    Arguments,
}

/// What stays as it is in each part.
const STAYS: [[bool; 256]; 3] = {
    let mut stays = [[false; 256]; 3];
    let mut byte = 0x21;
    while byte < 0x7f {
        stays[Part::Prefix as usize][byte] = !means_more(byte as u8, b"%@!~\"#()[]{}");
        stays[Part::Name as usize][byte] = !means_more(byte as u8, b"%@!~\"#()[]{}:");
        stays[Part::Arguments as usize][byte] = !means_more(byte as u8, b"%");
        byte += 1;
    }
    stays
};

const fn means_more(byte: u8, marks: &[u8]) -> bool {
    let mut mark = 0;
    while mark < marks.len() {
        if marks[mark] == byte {
            return true;
        }
        mark += 1;
    }
    false
}

fn escape_into(out: &mut String, text: &str, part: Part) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let stays = &STAYS[part as usize];
    // Nearly all names are written as they are.
    if text.bytes().all(|byte| stays[usize::from(byte)]) {
        out.push_str(text);
        return;
    }
    for byte in text.bytes() {
        if stays[usize::from(byte)] {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::super::{Key, KeyWriter};
    use super::*;

    const USERS: KeyPlace<'_> = KeyPlace { prefix: "", region: "users" };

    fn key<A: Serialize>(namespace: &str, arguments: A) -> Key {
        KeyWriter::key_of(namespace, &arguments).unwrap()
    }

    fn sha1<A: Serialize>(place: KeyPlace<'_>, namespace: &str, arguments: A) -> String {
        Sha1Keys.far_key(place, key(namespace, arguments).as_ref()).unwrap().as_str().to_owned()
    }

    fn readable<A: Serialize>(place: KeyPlace<'_>, namespace: &str, arguments: A) -> String {
        ReadableKeys.far_key(place, key(namespace, arguments).as_ref()).unwrap().as_str().to_owned()
    }

    #[test]
    fn far_keys_are_frozen() {
        // Two releases that store under different keys do not see each other's invalidations.
        let staging = KeyPlace { prefix: "staging:", region: "long_term" };
        assert_eq!(
            sha1(staging, "images", ("bob", 0)),
            "staging:long_term:images:f8ac12d75790f7be664c14a5e3d0300db8d45ed3"
        );
        assert_eq!(sha1(USERS, "a b:é", ()), "users:a%20b%3A%C3%A9:1efa10227de8f90f393b7b90362c5d439d1fbd6c");
        assert_eq!(readable(staging, "images", ("bob", 0)), r#"staging:long_term:images:"bob",0"#);
        assert_eq!(readable(USERS, "n", "a b%\n"), r#"users:n:"a%20b%25%0A""#);
        assert_eq!(readable(USERS, "n", "x".repeat(300)), "users:n:~61ece7dff30db8e930acb4cfefe1e91475fb6124");
        assert_eq!(
            scope_key(staging, Scope::Region).as_str(),
            "staging:long_term:@region::ef56e9c4555b6d5e59b559d3a6f10e1159f090fd"
        );
        assert_eq!(
            scope_key(USERS, Scope::Namespace("n")).as_str(),
            "users:@namespace:n:3381063e4994a2e49390274624c82dfb98431275"
        );
        assert_eq!(scope_key(USERS, Scope::Tag("n")).as_str(), "users:@tag:n:5ec153adb453d13130803445c1fbd7ed2d38367c");
    }

    #[test]
    fn a_far_key_is_checked() {
        assert!(FarKey::new("a".repeat(250)).is_ok());
        for illegal in [String::new(), "a".repeat(251), "a b".into(), "a\n".into(), "a\u{7f}".into(), "\0".into()] {
            assert_eq!(FarKey::new(illegal.as_str()).unwrap_err().kind(), Kind::Key, "{illegal:?}");
        }
        assert_eq!(FarKey::new("!").unwrap().to_string(), "!");
    }

    #[test]
    fn any_name_and_any_argument_make_a_legal_key_of_their_own() {
        let long = "n".repeat(300);
        let longer = "n".repeat(301);
        let odd =
            ["", " ", "\n", "\0", "\u{7f}", "a b", "a\nb", "ab", "é", "🦀", "%20", "@", ":", "~", "!", &long, &longer];
        for generator in [&Sha1Keys as &dyn KeyGenerator, &ReadableKeys] {
            let mut seen = HashMap::new();
            for prefix in odd {
                for region in odd {
                    let place = KeyPlace { prefix, region };
                    for scope in [Scope::Region, Scope::Namespace(region), Scope::Tag(region), Scope::Tag(prefix)] {
                        let far = scope_key(place, scope);
                        assert_eq!(FarKey::new(far.as_str()).unwrap(), far);
                        let of = format!("{place:?}{scope:?}");
                        assert_eq!(*seen.entry(far).or_insert(of.clone()), of);
                    }
                    for namespace in odd {
                        for argument in ["", "\n", "a b", &long, &longer] {
                            let far = generator.far_key(place, key(namespace, argument).as_ref()).unwrap();
                            let of = format!("{place:?}{namespace}{argument:?}");
                            assert_eq!(*seen.entry(far).or_insert(of.clone()), of, "{generator:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ten_kilobytes_are_one_key() {
        let long = "n".repeat(10_000);
        let longer = "n".repeat(10_001);
        for generator in [&Sha1Keys as &dyn KeyGenerator, &ReadableKeys] {
            let far =
                |namespace: &str, argument: &str| generator.far_key(USERS, key(namespace, argument).as_ref()).unwrap();
            assert_ne!(far("n", &long), far("n", &longer));
            assert_ne!(far(&long, ""), far(&longer, ""));
            assert_eq!(far(&long, &longer), far(&long, &longer));
        }
    }

    #[test]
    fn a_key_is_readable_up_to_the_last_byte_that_fits() {
        let room = 250 - r#"users:n:"""#.len();
        let fits = readable(USERS, "n", "x".repeat(room));
        assert_eq!((fits.len(), fits.ends_with('"')), (250, true));
        let hashed = readable(USERS, "n", "x".repeat(room + 1));
        assert!(hashed.starts_with("users:n:~") && hashed.len() == 9 + 40, "{hashed}");
    }

    #[test]
    fn arguments_that_are_shorter_as_text_are_readable() {
        assert_eq!(readable(USERS, "n", vec![""; 70]).len(), "users:n:".len() + 70 * 3 - 1);
    }

    #[test]
    fn a_long_front_is_cut_to_the_last_byte_that_leaves_room() {
        let cut = sha1(USERS, &"n".repeat(300), 1);
        assert_eq!(cut.len(), 250);
        let whole = sha1(USERS, &"n".repeat(250 - 41 - 6), 1);
        assert_eq!((whole.len(), &whole[..6]), (250, "users:"));
        assert_eq!(whole.as_bytes()[209], b':');
    }

    #[test]
    fn what_stands_before_a_digest_has_room_for_it_and_no_more() {
        let place = KeyPlace { prefix: "staging:", region: "users" };
        let mut front = entry_front(place, key("n", 1).as_ref());
        assert_eq!(front, "staging:users:n");
        // Measured on a string, which may have more room than it was asked for.
        let room = String::with_capacity(front.len() + ":".len() + DIGITS).capacity();
        assert_eq!(front.capacity(), room);
        end_in_digest(&mut front, ":", &[0; 20]);
        assert_eq!(front.capacity(), room, "it was moved");
    }

    #[test]
    fn a_deep_argument_falls_back_to_its_hash() {
        #[derive(Serialize)]
        struct Deep(Option<Box<Deep>>);
        let deep = (0..100).fold(Deep(None), |inner, _| Deep(Some(Box::new(inner))));
        assert!(readable(USERS, "n", deep).starts_with("users:n:~"));
    }

    #[test]
    fn prefix_and_region_do_not_run_into_each_other() {
        let place = |prefix, region| KeyPlace { prefix, region };
        let of = [
            place("a", "bc"),
            place("ab", "c"),
            place("", "abc"),
            place("a:", "bc"),
            place("", "a:bc"),
            place("a!", "bc"),
        ];
        let keys: std::collections::HashSet<_> = of.iter().map(|place| readable(*place, "n", 1)).collect();
        assert_eq!(keys.len(), of.len(), "{keys:?}");
    }

    proptest! {
        #[test]
        fn entries_and_scopes_never_meet(
            a in ("[a:@!%\"~ é]{0,3}", "[a:@!%\"~ é]{0,3}", "[a:@!%\"~ é]{0,3}", "[a:@!%\"~, ]{0,4}"),
            b in ("[a:@!%\"~ é]{0,3}", "[a:@!%\"~ é]{0,3}", "[a:@!%\"~ é]{0,3}", "[a:@!%\"~, ]{0,4}"),
        ) {
            let place = |of: &'_ (String, String, String, String)| (of.0.clone(), of.1.clone());
            let (place_a, place_b) = (place(&a), place(&b));
            let place_a = KeyPlace { prefix: &place_a.0, region: &place_a.1 };
            let place_b = KeyPlace { prefix: &place_b.0, region: &place_b.1 };
            prop_assert_eq!(sha1(place_a, &a.2, &a.3) == sha1(place_b, &b.2, &b.3), a == b);
            prop_assert_eq!(readable(place_a, &a.2, &a.3) == readable(place_b, &b.2, &b.3), a == b);
            for scope in [Scope::Region, Scope::Namespace(&b.2), Scope::Tag(&b.2)] {
                let scope = scope_key(place_b, scope);
                prop_assert_ne!(readable(place_a, &a.2, &a.3), scope.as_str());
                prop_assert_ne!(sha1(place_a, &a.2, &a.3), scope.as_str());
            }
        }
    }
}
