//! What the attribute refuses, and the words in which it does.

#![cfg(feature = "macros")]

#[test]
fn refusals_say_what_to_write_instead() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
