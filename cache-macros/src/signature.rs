//! The signatures of the functions that are written: the function's own with plain names, and the entry's.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Expr, FnArg, GenericParam, Generics, Ident, Lifetime, Pat, PatIdent, PatType, Receiver, ReceiverKind, ReturnType,
    Signature, TypeReference, WherePredicate,
};

use crate::args::Args;
use crate::attrs;
use crate::item::{Argument, Item, mentions};

/// The function's signature with a plain name for each argument.
pub(crate) fn plain(item: &Item) -> Signature {
    let mut sig = item.sig.clone();
    let mut arguments = item.arguments.iter();
    for input in &mut sig.inputs {
        match input {
            FnArg::Receiver(receiver) => *receiver = plain_receiver(receiver),
            FnArg::Typed(typed) => {
                if let Some(argument) = arguments.next() {
                    *typed = plain_argument(argument);
                }
            }
        }
    }
    sig
}

/// The same where the body stands in a closure. That captures `self`, which stays as it is written.
pub(crate) fn around_closure(item: &Item) -> Signature {
    let mut sig = plain(item);
    if let (Some(FnArg::Receiver(plain)), Some(receiver)) = (sig.inputs.first_mut(), item.receiver()) {
        *plain = receiver.clone();
    }
    sig
}

fn plain_receiver(receiver: &Receiver) -> Receiver {
    let mutability = match receiver.kind {
        ReceiverKind::Value | ReceiverKind::Typed(..) => None,
        _ => receiver.mutability,
    };
    Receiver { mutability, ..receiver.clone() }
}

fn plain_argument(argument: &Argument) -> PatType {
    let name = &argument.name;
    let pat = PatIdent { attrs: Vec::new(), by_ref: None, mutability: None, ident: name.clone(), subpat: None };
    PatType { pat: Box::new(Pat::Ident(pat)), ..argument.typed.clone() }
}

/// The signature of `NAME_uncached`: as written. An argument that the attribute uses is used, even if the body does not.
pub(crate) fn of_uncached(item: &Item, args: &Args) -> Signature {
    let mut sig = item.sig.clone();
    let mut arguments = item.arguments.iter();
    let used: Vec<&Expr> = args.expressions().collect();
    for input in &mut sig.inputs {
        if let FnArg::Typed(typed) = input
            && arguments.next().is_some_and(|argument| item.leaves_to(&used, argument))
        {
            typed.attrs.push(attrs::unused_by_the_body());
        }
    }
    sig
}

/// The signature of `NAME_entry`, which still returns the result: the arguments that `used` shows, and of the generics
/// those that these need.
pub(crate) fn of_entry(item: &Item, used: &[&Expr]) -> Signature {
    let mut sig = plain(item);
    let ReturnType::Type(arrow, output) = sig.output else { return sig };
    let mut output = *output;
    // What is kept is `'static`, and an entry borrows from none of the arguments.
    Static.visit_type_mut(&mut output);
    sig.output = ReturnType::Type(arrow, Box::new(output));
    sig.asyncness = None;
    let mut arguments = item.arguments.iter();
    let inputs = sig.inputs.into_iter().filter(|input| match input {
        FnArg::Receiver(receiver) => {
            let this = Ident::from(receiver.self_token);
            used.iter().any(|expr| mentions(expr, &this))
        }
        FnArg::Typed(_) => arguments.next().is_some_and(|argument| {
            used.iter().any(|expr| mentions(expr, &argument.name) || argument.is_used_by(expr))
        }),
    });
    sig.inputs = inputs.collect();
    let (inputs, output) = (&sig.inputs, &sig.output);
    sig.generics = needed(sig.generics, quote!(#inputs #output #(#used)*));
    sig
}

/// Replaces every lifetime by `'static`.
struct Static;

impl VisitMut for Static {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        *lifetime = Lifetime::new("'static", lifetime.span());
    }

    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        reference.lifetime.get_or_insert_with(|| Lifetime::new("'static", reference.and_token.span()));
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}
    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut syn::ParenthesizedGenericArguments) {}
}

/// The generics that `shown` shows, and those that their bounds show.
fn needed(generics: Generics, shown: TokenStream) -> Generics {
    let mut names = HashSet::new();
    collect_names(shown, &mut names);
    let mut before = usize::MAX;
    while names.len() != before {
        before = names.len();
        for param in &generics.params {
            if names.contains(&name_of_param(param)) {
                collect_names(param.to_token_stream(), &mut names);
            }
        }
    }
    let dropped: HashSet<String> =
        generics.params.iter().map(name_of_param).filter(|name| !names.contains(name)).collect();
    let mut kept = generics;
    kept.params = kept.params.into_iter().filter(|param| !dropped.contains(&name_of_param(param))).collect();
    if let Some(clause) = &mut kept.where_clause {
        let stays = |predicate: &WherePredicate| {
            let mut names = HashSet::new();
            collect_names(predicate.to_token_stream(), &mut names);
            names.is_disjoint(&dropped)
        };
        clause.predicates = std::mem::take(&mut clause.predicates).into_iter().filter(stays).collect();
    }
    kept
}

fn name_of_param(param: &GenericParam) -> String {
    match param {
        GenericParam::Type(param) => param.ident.to_string(),
        GenericParam::Const(param) => param.ident.to_string(),
        GenericParam::Lifetime(param) => param.lifetime.to_string(),
    }
}

/// The identifiers and lifetimes in `tokens`.
fn collect_names(tokens: TokenStream, names: &mut HashSet<String>) {
    let mut quoted = false;
    for token in tokens {
        let quote = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
        match token {
            TokenTree::Group(group) => collect_names(group.stream(), names),
            TokenTree::Ident(name) if quoted => _ = names.insert(format!("'{name}")),
            TokenTree::Ident(name) => _ = names.insert(name.to_string()),
            _ => {}
        }
        quoted = quote;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use quote::quote;

    fn entry(function: TokenStream, used: &[TokenStream]) -> String {
        let item = Item::parse(function, "cached").unwrap();
        let used: Vec<Expr> = used.iter().map(|expr| syn::parse2(expr.clone()).unwrap()).collect();
        of_entry(&item, &used.iter().collect::<Vec<_>>()).to_token_stream().to_string().replace(' ', "")
    }

    #[test]
    fn an_entry_takes_what_is_used_and_the_generics_of_that() {
        let function = quote! {
            async fn f<'a, 'b: 'a, T: Tr<U>, U, V, const N: usize>(&self, a: &'a T, mut b: [V; N], c: &'b str)
                -> Result<u8, Bad<'a>> where T: Clone, V: Clone, T: From<V> { 0 }
        };
        assert_eq!(
            entry(function.clone(), &[quote!(a.id)]),
            quote! { fn f<'a, T: Tr<U>, U>(a: &'a T) -> Result<u8, Bad<'static>> where T: Clone }
                .to_string()
                .replace(' ', "")
        );
        assert_eq!(
            entry(function.clone(), &[quote!(self.id), quote!(b)]),
            quote! { fn f<V, const N: usize>(&self, b: [V; N]) -> Result<u8, Bad<'static>> where V: Clone }
                .to_string()
                .replace(' ', "")
        );
        assert_eq!(
            entry(function, &[quote!(N)]),
            quote! { fn f<const N: usize>() -> Result<u8, Bad<'static>> }.to_string().replace(' ', "")
        );
    }
}
