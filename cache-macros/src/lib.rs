//! The attribute macros of the function-result cache `cache`. Depend on `cache`, which re-exports them.
//!
//! `args` and `item` read, `check` refuses, `model` decides, `expand` writes; after a mistake, `fallback` does.

use proc_macro2::TokenStream;

mod errors;

mod given;

mod policy;

mod args;

mod item;

mod types;

mod check;

mod attrs;

mod signature;

mod model;

mod expand;

mod fallback;

#[doc = include_str!("cached.md")]
#[proc_macro_attribute]
pub fn cached(args: proc_macro::TokenStream, function: proc_macro::TokenStream) -> proc_macro::TokenStream {
    attribute(args.into(), function.into()).into()
}

/// The attribute on tokens that unit tests can make.
fn attribute(attribute: TokenStream, function: TokenStream) -> TokenStream {
    let mut errors = errors::Errors::default();
    let args = args::Args::parse(attribute.clone(), &mut errors);
    let item = match syn::parse2::<item::Item>(function.clone()) {
        Ok(item) => item,
        Err(error) => {
            errors.add(error);
            return fallback::expand(&function, &errors);
        }
    };
    check::check(&args, &item, &mut errors);
    match model::Model::new(args, item, &attribute) {
        Some(model) if errors.is_empty() => expand::expand(&model),
        _ => fallback::expand(&function, &errors),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use quote::quote;

    fn pretty(tokens: TokenStream) -> String {
        prettyplease::unparse(&syn::parse2(tokens).unwrap())
    }

    /// A method stands in an `impl` block, or the file would be no Rust.
    fn pretty_method(tokens: TokenStream) -> String {
        pretty(quote!(impl Shop { #tokens }))
    }

    #[test]
    fn a_function_expands_to_a_static_a_key_and_a_call() {
        let written = attribute(
            quote!(LONG_TERM, "images", ttl = "10m"),
            quote! {
                /// The images of an owner.
                pub fn images(owner: &str, page: u32) -> Result<Vec<Image>, AwsError> {
                    list(owner, page)
                }
            },
        );
        assert_eq!(pretty(written), include_str!("golden/function.rs"));
    }

    #[test]
    fn an_async_method_holds_nothing_but_the_call_across_its_await() {
        let written = attribute(
            quote!("short_term", "price", skip(self), when = !sku.is_draft(), near_only),
            quote! {
                #[must_use]
                async fn price(&self, mut sku: Sku) -> Option<Price> {
                    sku.normalize();
                    self.prices.find(sku).await
                }
            },
        );
        assert_eq!(pretty_method(written), include_str!("golden/method.rs"));
    }

    #[test]
    fn without_companions_the_body_goes_into_a_closure() {
        let written = attribute(
            quote!(self.cache, "price", key(self.shop, id), companions = false, cache_if = Price::is_final),
            quote! {
                async fn price(&self, Sku(id): Sku) -> Result<Price, Error<'_>> {
                    self.prices.find(id).await
                }
            },
        );
        assert_eq!(pretty_method(written), include_str!("golden/within.rs"));
    }

    #[test]
    fn after_a_mistake_the_function_is_there_as_it_was() {
        let function = quote! { pub fn f(a: &mut u8) -> u8 { *a += 1; *a } };
        let written = attribute(quote!(REGION, "n", tll = "1s"), function.clone()).to_string();
        assert!(written.starts_with(&function.to_string()));
        assert_eq!(written.matches("compile_error !").count(), 2, "{written}");
    }

    #[test]
    fn what_is_no_function_is_there_as_it_was() {
        let item = quote! { struct Image { id: u64 } };
        let written = attribute(quote!(REGION, "n"), item.clone()).to_string();
        assert!(written.starts_with(&item.to_string()));
        assert_eq!(written.matches("compile_error !").count(), 1);
    }

    #[test]
    fn half_typed_code_is_handed_on_for_completion() {
        let written = attribute(quote!(REGION, "n"), quote! { fn f(a: u8) -> u8 { let b = a.; b } }).to_string();
        assert_eq!(written.matches(&quote!({ let b = a.; b }).to_string()).count(), 1);
        assert!(!written.contains("compile_error"));
    }
}
