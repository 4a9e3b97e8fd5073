//! An option as it was given: the word, for messages, and the value.

use syn::{Expr, Ident, Lit, LitStr};

/// An option as it was given.
pub(crate) struct Given<T> {
    pub(crate) word: Ident,
    pub(crate) value: T,
}

/// What a string literal says.
pub(crate) fn string(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.clone()),
            _ => None,
        },
        // What a `macro_rules!` macro was given comes in an invisible group.
        Expr::Group(group) => string(&group.expr),
        _ => None,
    }
}

/// An option stands once.
pub(crate) fn twice(word: &Ident) -> syn::Error {
    syn::Error::new(word.span(), format!("`{word}` is given twice"))
}
