//! The attribute macros of the function-result cache `cache`. Depend on `cache`, which re-exports them.
//!
//! `args` and `item` read, `check` refuses, `model` decides, `expand` writes; after a mistake, `fallback` does.

use proc_macro2::TokenStream;

mod errors;

mod args;

mod item;

mod check;

mod model;

mod expand;

mod fallback;

/// doc
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
