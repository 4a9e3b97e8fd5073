//! What the attributes read alike: options as they were given, from comma to comma.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, Ident, Lit, LitStr, Token, parse_quote_spanned};

use crate::errors::Errors;

/// An option as it was given.
pub(crate) struct Given<T> {
    pub(crate) word: Ident,
    pub(crate) value: T,
}

/// Where the results live.
pub(crate) enum RegionArg {
    /// By name, configured at run time.
    Named(LitStr),
    /// Whatever gives a region.
    Expr(Expr),
}

/// Reads `tokens` from comma to comma; mistakes go to `errors`.
pub(crate) fn each_to_comma(
    tokens: TokenStream,
    errors: &mut Errors,
    mut one: impl FnMut(ParseStream<'_>) -> syn::Result<()>,
) {
    let read = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if let Err(error) = one(input) {
                errors.add(error);
                skip_to_comma(input)?;
            } else if !input.is_empty() && !input.peek(Token![,]) {
                errors.add(input.error("expected `,`"));
                skip_to_comma(input)?;
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(())
    };
    if let Err(error) = read.parse2(tokens) {
        errors.add(error);
    }
}

/// Notes an option that stands once.
pub(crate) fn put<T>(slot: &mut Option<Given<T>>, word: Ident, value: T) -> syn::Result<()> {
    let given = word.clone();
    once(slot, Given { word, value }, &given)
}

/// Notes what stands once.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T, word: &Ident) -> syn::Result<()> {
    if slot.is_some() {
        return Err(twice(word));
    }
    *slot = Some(value);
    Ok(())
}

/// An option stands once.
pub(crate) fn twice(word: &Ident) -> syn::Error {
    syn::Error::new(word.span(), format!("`{word}` is given twice"))
}

/// A namespace, as it would be written in `example`.
pub(crate) fn namespace(value: &Expr, example: &str) -> syn::Result<LitStr> {
    match string(value) {
        Some(name) if name.value().is_empty() => Err(syn::Error::new(name.span(), "a namespace is not empty")),
        Some(name) => Ok(name),
        None => Err(syn::Error::new_spanned(value, format!("the namespace is a string literal: `{example}`"))),
    }
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

/// What renders a tag: a literal with the names of arguments in it, or any expression that can be shown.
pub(crate) fn tag(value: &Expr) -> Expr {
    match string(value) {
        Some(text) => parse_quote_spanned!(text.span()=> ::core::format_args!(#text)),
        None => parse_quote_spanned!(value.span()=> ::core::format_args!("{}", #value)),
    }
}

impl Parse for RegionArg {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        RegionArg::of(input.parse()?)
    }
}

impl RegionArg {
    /// A name in quotes, or an expression.
    pub(crate) fn of(value: Expr) -> syn::Result<Self> {
        match string(&value) {
            Some(name) if name.value().is_empty() => Err(syn::Error::new(name.span(), "a region has a name")),
            Some(name) => Ok(RegionArg::Named(name)),
            None => Ok(RegionArg::Expr(value)),
        }
    }
}

impl ToTokens for RegionArg {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            RegionArg::Named(name) => name.to_tokens(tokens),
            RegionArg::Expr(expr) => expr.to_tokens(tokens),
        }
    }
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}
