use std::borrow::Cow;

use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "a")]
fn elided(text: &str) -> &str {
    text
}

#[cached(REGION, "b")]
fn literal(id: u64) -> Option<&'static str> {
    (id > 0).then_some("a")
}

#[cached(REGION, "c")]
fn cow<'a>(text: &'a str) -> Result<Cow<'a, str>, String> {
    Ok(text.into())
}

#[cached(REGION, "d")]
fn slice(bytes: &[u8]) -> Vec<&[u8]> {
    vec![bytes]
}

fn main() {
    elided("a");
}
