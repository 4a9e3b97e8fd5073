//! Whether arguments that mean something else make keys of their own.

use serde::Serialize;

use crate::key::KeyWriter;

/// Asserts that two calls with these arguments have an entry each.
///
/// A field that is not serialized is not in the key: calls that differ in nothing else are given each other's values, which nothing
/// can tell when it happens. A test can, for types whose `Serialize` leaves something out.
///
/// ```
/// use cache_core::testkit::assert_distinct_keys;
///
/// #[derive(serde::Serialize)]
/// struct Search<'a> {
///     words: &'a str,
///     #[serde(skip_serializing_if = "Option::is_none")]
///     page: Option<u32>,
/// }
///
/// assert_distinct_keys(&Search { words: "rust", page: None }, &Search { words: "rust", page: Some(2) });
/// ```
///
/// # Panics
///
/// If they make one key, or one of them cannot be part of a key.
#[track_caller]
#[expect(clippy::panic, reason = "it is an assertion")]
pub fn assert_distinct_keys<A: Serialize + ?Sized, B: Serialize + ?Sized>(one: &A, other: &B) {
    let [one, other] = [KeyWriter::key_of("distinct", one), KeyWriter::key_of("distinct", other)];
    match (one, other) {
        (Ok(one), Ok(other)) => assert!(
            one != other,
            "both arguments make the key `{}`, so calls with one are given the value of the other: is a field skipped?",
            one.as_ref().arguments().to_text().unwrap_or_default()
        ),
        (Err(error), _) | (_, Err(error)) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Partly {
        shown: u8,
        #[serde(skip_serializing)]
        #[expect(dead_code, reason = "it is what is left out")]
        hidden: u8,
    }

    #[test]
    fn what_is_serialized_is_told_apart() {
        assert_distinct_keys(&1, &2);
        assert_distinct_keys(&("a", "bc"), &("ab", "c"));
        assert_distinct_keys(&Partly { shown: 1, hidden: 1 }, &Partly { shown: 2, hidden: 1 });
    }

    #[test]
    #[should_panic(expected = "is a field skipped?")]
    fn what_is_skipped_is_not() {
        assert_distinct_keys(&Partly { shown: 1, hidden: 1 }, &Partly { shown: 1, hidden: 2 });
    }
}
