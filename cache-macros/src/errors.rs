//! Collects the mistakes of one attribute, so that all of them are told at once, each at the tokens that made it.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors {
    all: Option<syn::Error>,
}

impl Errors {
    /// Notes a mistake at `culprit`, from its first token to its last.
    pub(crate) fn at(&mut self, culprit: impl ToTokens, message: impl std::fmt::Display) {
        self.add(syn::Error::new_spanned(culprit, message));
    }

    /// Notes a mistake at `span`.
    pub(crate) fn at_span(&mut self, span: Span, message: impl std::fmt::Display) {
        self.add(syn::Error::new(span, message));
    }

    /// Notes a mistake that a parser reported.
    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.all {
            Some(all) => all.combine(error),
            None => self.all = Some(error),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_none()
    }

    /// One `compile_error!` for each.
    pub(crate) fn to_compile_errors(&self) -> TokenStream {
        self.all.as_ref().map(syn::Error::to_compile_error).unwrap_or_default()
    }

    /// The messages, in the order in which they were found.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.all.iter().flatten().map(|error| error.to_string()).collect()
    }
}

/// The word in `known` that `word` was probably meant to be: a few letters off at most.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, delete or replace in order to turn `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, b) in row.iter_mut().zip(std::iter::once('\0').chain(to.chars())) {
            // The first cell has no letter: it stands for the empty beginning of `to`.
            let value =
                if b == '\0' { line + 1 } else { (diagonal + usize::from(a != b)).min(left + 1).min(*cell + 1) };
            diagonal = std::mem::replace(cell, value);
            left = value;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognized_and_another_word_is_not() {
        let known = ["ttl", "ttl_of", "near_only", "namespace"];
        assert_eq!(nearest("tll", known), Some("ttl"));
        assert_eq!(nearest("nearonly", known), Some("near_only"));
        assert_eq!(nearest("namespaces", known), Some("namespace"));
        assert_eq!(nearest("capacity", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn distances_count_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("skip", "skip"), 0);
    }
}
