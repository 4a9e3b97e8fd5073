//! What is written when something is wrong: the function as it stands, so that its callers raise no further errors,
//! and the mistakes.

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// The untouched `function` and one `compile_error!` for each mistake.
pub(crate) fn expand(function: &TokenStream, errors: &Errors) -> TokenStream {
    let errors = errors.to_compile_errors();
    quote!(#function #errors)
}
