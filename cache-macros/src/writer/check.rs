//! What cannot invalidate, each rule in one function: it says what is wrong, at the tokens that are, and what to write.

use proc_macro2::Span;
use syn::{ReturnType, Safety};

use super::args::Args;
use crate::check::argument_attributes;
use crate::errors::Errors;
use crate::item::Item;
use crate::types::{find_impl_trait, returns_future};

/// Tells everything that stands against `item` invalidating what `args` say.
pub(crate) fn check(args: &Args, item: &Item, errors: &mut Errors) {
    for rule in RULES {
        rule(args, item, errors);
    }
}

type Rule = fn(&Args, &Item, &mut Errors);

const RULES: &[Rule] =
    &[targets, qualifiers, |_, item, errors| argument_attributes(item, errors), result_is_no_future, result_is_named];

fn targets(args: &Args, _: &Item, errors: &mut Errors) {
    match (&args.region, args.in_region().next()) {
        (None, Some(word)) => {
            errors.at(word, "a region is missing: `#[invalidates(REGION, namespace = \"images\")]`");
        }
        (Some(region), None) => errors.at(
            region,
            "nothing of this region is named: add `namespace = \"..\"` or `tag = \"..\"`. If it is a cached function, call it with the \
             arguments of the entry: `price(sku)`",
        ),
        (None, None) if args.targets.is_empty() => errors.at_span(
            Span::call_site(),
            "nothing to invalidate: name calls of cached functions, `#[invalidates(price(sku))]`, or namespaces and \
             tags of a region, `#[invalidates(REGION, namespace = \"images\")]`",
        ),
        _ => {}
    }
}

fn qualifiers(_: &Args, item: &Item, errors: &mut Errors) {
    let sig = &item.sig;
    if let Some(token) = &sig.constness {
        errors.at(token, "a `const fn` cannot invalidate: remove `const`");
    }
    if let Safety::Unsafe(token) = &sig.safety {
        errors.at(
            token,
            "an `unsafe fn` does not invalidate: its body would stand in a closure, of which its callers promised \
             nothing; put the attribute on a safe function that calls it",
        );
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "an `extern` function does not invalidate: put the attribute on a Rust function that it calls");
    }
    if let Some(variadic) = &sig.variadic {
        errors.at(variadic, "variadic arguments cannot be handed on to the body");
    }
}

fn result_is_no_future(_: &Args, item: &Item, errors: &mut Errors) {
    if let Some(ty) = returns_future(&item.sig) {
        errors.at(
            ty,
            "this function returns a future (as `async_trait` makes it), which writes after the function has ended: \
             move the body to an `async fn` of its own, put the attribute on that, and call it from here",
        );
    }
}

fn result_is_named(_: &Args, item: &Item, errors: &mut Errors) {
    let ReturnType::Type(_, ty) = &item.sig.output else { return };
    if returns_future(&item.sig).is_some() {
        return;
    }
    if let Some(opaque) = find_impl_trait(ty) {
        errors.at(
            opaque,
            "what `impl Trait` stands for may write after the function has ended: return a named type, `Vec<T>` \
             rather than `impl Iterator`",
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proc_macro2::TokenStream;
    use quote::quote;

    fn refused(args: TokenStream, function: TokenStream) -> Vec<String> {
        let mut errors = Errors::default();
        let args = Args::parse(args, &mut errors);
        check(&args, &Item::parse(function, "invalidates").unwrap(), &mut errors);
        errors.messages()
    }

    #[test]
    fn good_functions_pass() {
        let none: [&str; 0] = [];
        for (args, function) in [
            (quote!(price(a)), quote! { fn f(a: u8) {} }),
            (quote!(price(a)), quote! { async fn f<T>(&mut self, a: &mut u8, _: impl Fn() -> T) -> io::Result<&T> {} }),
            (quote!(R, namespace = "n"), quote! { fn f(self: Box<Self>, (a, b): (u8, u8)) -> u8 { 0 } }),
            (quote!(price(a), R, namespace = "n"), quote! { fn f(a: Pin<Box<u8>>) {} }),
        ] {
            assert_eq!(refused(args.clone(), function.clone()), none, "{args} {function}");
        }
    }

    #[test]
    fn each_refusal_says_what_to_write() {
        let plain = || quote! { fn f(a: u8) {} };
        for (args, function, message) in [
            (quote!(), plain(), "nothing to invalidate"),
            (quote!(only_ok), plain(), "nothing to invalidate"),
            (quote!(namespace = "n"), plain(), "a region is missing"),
            (quote!(price), plain(), "nothing of this region is named"),
            (quote!(R, price(a)), plain(), "nothing of this region is named"),
            (quote!(p(a)), quote! { const fn f(a: u8) {} }, "a `const fn`"),
            (quote!(p(a)), quote! { unsafe fn f(a: u8) {} }, "an `unsafe fn`"),
            (quote!(p(a)), quote! { extern "C" fn f(a: u8) {} }, "an `extern` function"),
            (quote!(p()), quote! { fn f(a: u8, ...) {} }, "variadic"),
            (quote!(p(a)), quote! { fn f(#[cfg(unix)] a: u8) {} }, "an argument"),
            (
                quote!(p(a)),
                quote! { fn f(a: u8) -> Pin<Box<dyn Future<Output = ()> + Send>> {} },
                "this function returns",
            ),
            (quote!(p(a)), quote! { fn f(a: u8) -> impl Future<Output = ()> {} }, "this function returns"),
            (quote!(p(a)), quote! { fn f(a: u8) -> impl Iterator<Item = u8> {} }, "what `impl Trait` stands for"),
        ] {
            let messages = refused(args.clone(), function.clone());
            assert_eq!(messages.len(), 1, "{args} {function}: {messages:?}");
            assert!(messages[0].starts_with(message), "{messages:?}");
        }
    }
}
