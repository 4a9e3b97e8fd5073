//! `#[invalidates]`: the same rooms as `#[cached]` has, in small.

use proc_macro2::TokenStream;

use crate::errors::Errors;
use crate::fallback;
use crate::item::Item;

mod args;

mod check;

mod expand;

/// The attribute on tokens that unit tests can make.
pub(crate) fn attribute(attribute: TokenStream, function: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = args::Args::parse(attribute, &mut errors);
    let item = match Item::parse(function.clone(), "invalidates") {
        Ok(item) => item,
        Err(error) => {
            errors.add(error);
            return fallback::expand(&function, &errors);
        }
    };
    check::check(&args, &item, &mut errors);
    if errors.is_empty() { expand::expand(&args, &item) } else { fallback::expand(&function, &errors) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use quote::quote;

    fn pretty(tokens: TokenStream) -> String {
        prettyplease::unparse(&syn::parse2(tokens).unwrap())
    }

    #[test]
    fn a_writer_expands_to_its_targets_and_one_call_that_has_the_body() {
        let written = attribute(
            quote!(price(sku.id), LONG_TERM, namespace = "totals", album::pages::<Small>(owner, 0)),
            quote! {
                /// Changes a price.
                pub fn set_price(sku: &Sku, owner: &str, mut to: Price) -> Result<(), DbError> {
                    to.round();
                    store(sku, to)?;
                    Ok(())
                }
            },
        );
        assert_eq!(pretty(written), include_str!("../golden/writer.rs"));
    }

    #[test]
    fn an_async_writer_holds_nothing_but_the_call_across_its_await() {
        let written = attribute(
            quote!(Self::price(id), self.stock(id), only_ok, region = "short_term", namespace = "names"),
            quote! {
                async fn remove(self, Sku(id): Sku, _: Reason) -> Result<(), Error<'_>> {
                    self.database.remove(id).await
                }
            },
        );
        assert_eq!(pretty(quote!(impl Shop { #written })), include_str!("../golden/async_writer.rs"));
    }

    #[test]
    fn after_a_mistake_the_function_is_there_as_it_was() {
        let function = quote! { pub const fn f(a: &mut u8) { *a += 1; } };
        let written = attribute(quote!(price(a), only_err), function.clone()).to_string();
        assert!(written.starts_with(&function.to_string()));
        assert_eq!(written.matches("compile_error !").count(), 2, "{written}");
    }

    #[test]
    fn half_typed_code_is_handed_on_for_completion() {
        let written = attribute(quote!(price(a)), quote! { fn f(a: u8) { let b = a.; b } }).to_string();
        assert_eq!(written.matches(&quote!({ let b = a.; b }).to_string()).count(), 1);
        assert!(!written.contains("compile_error"));
    }
}
