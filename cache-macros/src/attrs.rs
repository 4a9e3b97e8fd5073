//! Which of the user's attributes go to which of the functions that are written, and what is allowed there besides.

use proc_macro2::TokenTree;
use syn::{Attribute, Expr, Ident, parse_quote};

use crate::item::Item;

/// The lints that would say of a companion what they say of the function already, or blame the user for our part.
pub(crate) fn allowances(role: Role) -> Attribute {
    match role {
        Role::Uncached => parse_quote!(#[allow(
            clippy::missing_const_for_fn,
            clippy::missing_errors_doc,
            clippy::missing_panics_doc,
            clippy::must_use_candidate
        )]),
        _ => parse_quote!(#[allow(
            clippy::missing_errors_doc,
            clippy::must_use_candidate,
            clippy::too_many_arguments,
            clippy::used_underscore_binding,
            clippy::wrong_self_convention
        )]),
    }
}

/// Which of the functions an attribute is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Written,
    Refresh,
    Entry,
    Uncached,
    Site,
}

/// The user's attributes as they go to each of the functions.
pub(crate) fn for_role(attrs: &[Attribute], role: Role) -> Vec<Attribute> {
    let mut own: Vec<Attribute> =
        attrs.iter().filter(|attr| goes_to(attr, role)).map(|attr| as_lint(attr, role)).collect();
    let calls_another = role == Role::Written || role == Role::Refresh;
    if calls_another && own.iter().any(|attr| attr.path().is_ident("deprecated")) {
        own.push(parse_quote!(#[allow(deprecated)]));
    }
    own
}

fn goes_to(attr: &Attribute, role: Role) -> bool {
    let name = effective_name(attr);
    match name.as_str() {
        "cfg" => true,
        _ if role == Role::Site => false,
        "allow" | "expect" | "warn" | "deny" | "forbid" | "deprecated" => true,
        "doc" if role != Role::Written => {
            attr.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "hidden")
        }
        "must_use" | "target_feature" | "track_caller" => role != Role::Entry,
        "inline" | "cold" => role == Role::Written || role == Role::Uncached,
        _ => role == Role::Written,
    }
}

/// What an attribute is, also below `cfg_attr`.
fn effective_name(attr: &Attribute) -> String {
    let path = attr.path();
    if path.is_ident("cfg_attr")
        && let Ok(list) = attr.meta.require_list()
    {
        let mut behind = list.tokens.clone().into_iter().skip_while(|token| !is_comma(token)).skip(1);
        return behind.next().map(|token| token.to_string()).unwrap_or_default();
    }
    path.get_ident().map(Ident::to_string).unwrap_or_default()
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}

/// What is expected, is expected of the body: elsewhere it is allowed.
fn as_lint(attr: &Attribute, role: Role) -> Attribute {
    match &attr.meta {
        syn::Meta::List(list) if role != Role::Uncached && attr.path().is_ident("expect") => {
            let lints = &list.tokens;
            parse_quote!(#[allow(#lints)])
        }
        _ => attr.clone(),
    }
}

/// The attribute of the parameter of the closure that has the body.
pub(crate) fn of_closure(used: &[&Expr], item: &Item) -> Vec<Attribute> {
    let left = item.arguments.iter().any(|argument| item.leaves_to(used, argument));
    left.then(unused_by_the_body).into_iter().collect()
}

/// For an argument that the attribute uses and the body does not.
pub(crate) fn unused_by_the_body() -> Attribute {
    parse_quote!(#[allow(unused_variables)])
}

/// The attributes of the function itself.
pub(crate) fn written(item: &Item) -> Vec<Attribute> {
    let mut attrs = for_role(&item.attrs, Role::Written);
    attrs.extend(underscores(item));
    attrs
}

/// The attributes of a function that keeps its body.
pub(crate) fn of_writer(item: &Item) -> Vec<Attribute> {
    let mut attrs = item.attrs.clone();
    attrs.extend(underscores(item));
    attrs
}

/// We do use the arguments that the body does not.
fn underscores(item: &Item) -> Option<Attribute> {
    let any = item.arguments.iter().any(|argument| argument.name.to_string().starts_with('_'));
    any.then(|| parse_quote!(#[allow(clippy::used_underscore_binding)]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proc_macro2::TokenStream;
    use quote::{ToTokens, quote};

    fn go_to(role: Role, attrs: TokenStream) -> String {
        let item = Item::parse(quote! { #attrs fn f() -> u8 { 0 } }, "cached").unwrap();
        for_role(&item.attrs, role).iter().map(|attr| attr.to_token_stream().to_string().replace(' ', "")).collect()
    }

    #[test]
    fn each_attribute_goes_where_it_means_something() {
        let attrs = quote! {
            #[doc = "text"] #[doc(hidden)] #[cfg(unix)] #[allow(unused)] #[must_use] #[inline] #[instrument]
            #[cfg_attr(unix, deny(warnings))] #[cfg_attr(unix, instrument)]
        };
        assert_eq!(go_to(Role::Site, attrs.clone()), "#[cfg(unix)]");
        let everywhere = "#[doc(hidden)]#[cfg(unix)]#[allow(unused)]";
        assert_eq!(go_to(Role::Entry, attrs.clone()), format!("{everywhere}#[cfg_attr(unix,deny(warnings))]"));
        assert_eq!(
            go_to(Role::Refresh, attrs.clone()),
            format!("{everywhere}#[must_use]#[cfg_attr(unix,deny(warnings))]")
        );
        assert_eq!(
            go_to(Role::Uncached, attrs.clone()),
            format!("{everywhere}#[must_use]#[inline]#[cfg_attr(unix,deny(warnings))]")
        );
        assert_eq!(go_to(Role::Written, attrs.clone()).matches("#[").count(), 9);
    }

    #[test]
    fn what_is_expected_is_expected_of_the_body() {
        let attrs = quote!(#[expect(dead_code)]);
        assert_eq!(go_to(Role::Uncached, attrs.clone()), "#[expect(dead_code)]");
        assert_eq!(go_to(Role::Written, attrs), "#[allow(dead_code)]");
    }

    #[test]
    fn a_deprecated_function_may_call_its_deprecated_companion() {
        let attrs = quote!(#[deprecated]);
        assert_eq!(go_to(Role::Written, attrs.clone()), "#[deprecated]#[allow(deprecated)]");
        assert_eq!(go_to(Role::Uncached, attrs), "#[deprecated]");
    }
}
