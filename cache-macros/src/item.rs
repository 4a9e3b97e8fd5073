//! Reads the function under the attribute.
//!
//! Its body stays a group of raw tokens: half-typed code expands as well, so that editors can complete in it.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::parse::{ParseStream, Parser};
use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, ExprPath, FnArg, Macro, Pat, PatIdent, PatType, Receiver, Signature, Token, Type, Visibility,
};

use crate::args::Args;

/// A function, its body unread.
pub(crate) struct Item {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) defaultness: Option<Token![default]>,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
    pub(crate) arguments: Vec<Argument>,
}

/// One argument, `self` apart.
pub(crate) struct Argument {
    /// As it is written.
    pub(crate) typed: PatType,
    /// What it is called in the signatures that we write.
    pub(crate) name: Ident,
    pub(crate) form: Form,
}

/// How an argument is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `name` or `mut name`
    Name,
    /// `_`
    Unnamed,
    /// Anything else that takes a value apart.
    Pattern,
}

impl Item {
    /// The receiver, if this is a method.
    pub(crate) fn receiver(&self) -> Option<&Receiver> {
        self.sig.receiver()
    }

    /// The arguments that are part of the key as they are.
    pub(crate) fn keyed<'a>(&'a self, args: &'a Args) -> impl Iterator<Item = &'a Argument> {
        self.arguments.iter().filter(|argument| match &args.key {
            Some(key) => key.value.iter().any(|part| is_name(part, &argument.name)),
            None => !args.skips(&argument.name.to_string()),
        })
    }

    /// Whether `used` uses `argument` and the body does not.
    pub(crate) fn leaves_to(&self, used: &[&Expr], argument: &Argument) -> bool {
        let in_body = |name: &Ident| any_token(self.body.stream(), &mut |token| names(token, name));
        used.iter().any(|expr| argument.is_used_by(expr)) && !argument.names().iter().all(in_body)
    }

    /// Whether this stands in an `impl` block, as far as that can be seen: by `self` or `Self`.
    pub(crate) fn shows_self(&self, attribute: &TokenStream) -> bool {
        self.receiver().is_some()
            || shows_self(self.sig.to_token_stream())
            || shows_self(self.body.stream())
            || shows_self(attribute.clone())
    }
}

impl Item {
    /// The function under `#[attribute]`.
    pub(crate) fn parse(function: TokenStream, attribute: &str) -> syn::Result<Self> {
        (|input: ParseStream<'_>| Item::read(input, attribute)).parse2(function)
    }

    fn read(input: ParseStream<'_>, attribute: &str) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let defaultness = input.parse()?;
        let sig: Signature = input.parse().map_err(|error| {
            syn::Error::new(error.span(), format!("`#[{attribute}]` stands on a function: {error}"))
        })?;
        let body = match input.parse()? {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => body,
            other => {
                let message = format!("a function under `#[{attribute}]` has a body");
                return Err(syn::Error::new(other.span(), message));
            }
        };
        let arguments = sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        });
        let arguments = arguments.enumerate().map(|(at, typed)| Argument::new(at, typed.clone())).collect();
        Ok(Item { attrs, vis, defaultness, sig, body, arguments })
    }
}

impl Argument {
    fn new(at: usize, typed: PatType) -> Self {
        let substitute = || format_ident!("__arg{at}", span = Span::mixed_site());
        let (name, form) = match &*typed.pat {
            Pat::Ident(PatIdent { by_ref: None, subpat: None, ident, .. }) => (ident.clone(), Form::Name),
            Pat::Wild(_) => (substitute(), Form::Unnamed),
            _ => (substitute(), Form::Pattern),
        };
        Argument { typed, name, form }
    }

    /// The names that it brings into scope.
    pub(crate) fn names(&self) -> Vec<Ident> {
        struct Names(Vec<Ident>);
        impl<'ast> Visit<'ast> for Names {
            fn visit_pat_ident(&mut self, pat: &'ast PatIdent) {
                self.0.push(pat.ident.clone());
                visit::visit_pat_ident(self, pat);
            }
        }
        let mut names = Names(Vec::new());
        names.visit_pat(&self.typed.pat);
        names.0
    }

    /// Whether `expr` uses it, or a part of it.
    pub(crate) fn is_used_by(&self, expr: &Expr) -> bool {
        self.names().iter().any(|name| mentions(expr, name))
    }

    /// The type.
    pub(crate) fn ty(&self) -> &Type {
        &self.typed.ty
    }
}

/// Whether `expr` is `name`, and nothing else.
pub(crate) fn is_name(expr: &Expr, name: &Ident) -> bool {
    matches!(expr, Expr::Path(path) if path.path.is_ident(name))
}

/// Whether `expr` names the variable `name`; in the tokens of a macro call anything that could name it counts.
pub(crate) fn mentions(expr: &Expr, name: &Ident) -> bool {
    struct Mentions<'a> {
        name: &'a Ident,
        found: bool,
    }
    impl<'ast> Visit<'ast> for Mentions<'_> {
        fn visit_expr_path(&mut self, path: &'ast ExprPath) {
            self.found |= path.path.is_ident(self.name);
            visit::visit_expr_path(self, path);
        }
        fn visit_macro(&mut self, call: &'ast Macro) {
            self.found |= any_token(call.tokens.clone(), &mut |token| names(token, self.name));
        }
    }
    let mut mentions = Mentions { name, found: false };
    mentions.visit_expr(expr);
    mentions.found
}

/// Whether `token` may name the variable `name`: as it stands, or in a format string.
fn names(token: &TokenTree, name: &Ident) -> bool {
    match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Literal(literal) => is_formatted(&literal.to_string(), &name.to_string()),
        _ => false,
    }
}

/// Whether a format string shows `name`, as in `"{name}/{page:02}"`.
fn is_formatted(literal: &str, name: &str) -> bool {
    let shows = |rest: &str| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['}', ':']));
    literal.starts_with('"') && literal.split('{').skip(1).any(shows)
}

/// Whether one of the tokens, in groups as well, satisfies `is`.
pub(crate) fn any_token(tokens: TokenStream, is: &mut dyn FnMut(&TokenTree) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => any_token(group.stream(), is),
        token => is(&token),
    })
}

/// Whether `Self` stands in `tokens`, outside of the bodies of items, where it would mean another type.
fn shows_self(tokens: TokenStream) -> bool {
    let mut in_item = false;
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
            !std::mem::take(&mut in_item) && shows_self(group.stream())
        }
        TokenTree::Group(group) => shows_self(group.stream()),
        TokenTree::Ident(ident) => {
            in_item |= ["impl", "trait", "struct", "enum", "union"].iter().any(|item| ident == item);
            ident == "Self"
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use quote::quote;
    use syn::parse_quote;

    fn item(tokens: TokenStream) -> Item {
        Item::parse(tokens, "cached").unwrap()
    }

    fn error(tokens: TokenStream) -> String {
        Item::parse(tokens, "cached").err().unwrap().to_string()
    }

    #[test]
    fn a_body_that_is_no_rust_yet_is_kept() {
        let item = item(quote! { pub async fn f(a: u8) -> u8 { let b = a.; b } });
        assert_eq!(item.body.to_string(), quote!({ let b = a.; b }).to_string());
    }

    #[test]
    fn only_functions_with_a_body_are_taken() {
        assert_eq!(error(quote! { fn f(a: u8) -> u8; }), "a function under `#[cached]` has a body");
        assert!(error(quote! { struct A; }).starts_with("`#[cached]` stands on a function"));
    }

    #[test]
    fn names_stay_and_patterns_get_one() {
        let item = item(quote! { fn f(&self, a: u8, mut b: u8, _: u8, (c, [d, ..]): (u8, [u8; 3])) -> u8 { 0 } });
        let names: Vec<String> = item.arguments.iter().map(|argument| argument.name.to_string()).collect();
        assert_eq!(names, ["a", "b", "__arg2", "__arg3"]);
        assert!(item.arguments[2].form == Form::Unnamed);
        assert_eq!(item.arguments[3].names(), ["c", "d"]);
    }

    #[test]
    fn an_expression_mentions_variables_and_not_fields_or_methods() {
        let name: Ident = parse_quote!(owner);
        for yes in [
            quote!(owner),
            quote!(&owner.id),
            quote!(f(1, owner)),
            quote!(format!("{owner}/{}", page)),
            quote!(format!("{owner:?}")),
            quote!(concat(vec![owner])),
        ] {
            assert!(mentions(&syn::parse2(yes.clone()).unwrap(), &name), "{yes}");
        }
        for no in [quote!(self.owner), quote!(page.owner()), quote!(owner::ID), quote!(format!("{owners} owner {}", 1))]
        {
            assert!(!mentions(&syn::parse2(no.clone()).unwrap(), &name), "{no}");
        }
    }

    #[test]
    fn what_the_body_leaves_to_the_attribute_is_known() {
        let item = item(quote! { fn f(a: u8, b: u8, c: u8, (d, e): (u8, u8)) -> String { g(d); format!("{a}") } });
        let args = Args::parse(quote!(R, "n", key(a, d), when = b > 1), &mut crate::errors::Errors::default());
        let used: Vec<&Expr> = args.expressions().collect();
        let left: Vec<bool> = item.arguments.iter().map(|argument| item.leaves_to(&used, argument)).collect();
        assert_eq!(left, [false, true, false, true]);
    }

    #[test]
    fn an_impl_block_is_known_by_self_alone() {
        let none = TokenStream::new();
        assert!(item(quote! { fn f(&self) -> u8 { 0 } }).shows_self(&none));
        assert!(item(quote! { fn f() -> Self { 0 } }).shows_self(&none));
        assert!(item(quote! { fn f() -> u8 { g(Self::N) } }).shows_self(&none));
        assert!(item(quote! { fn f() -> u8 { 0 } }).shows_self(&quote!(region = Self::CACHE)));
        let nested =
            quote! { fn f() -> u8 { impl A for B { fn g() -> Self { B } } struct C { c: Option<Box<Self>> } 0 } };
        assert!(!item(nested).shows_self(&none));
    }
}
