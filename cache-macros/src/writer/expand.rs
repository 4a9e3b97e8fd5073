//! Writes a writer down as Rust: its targets, then one call that is given the body.
//!
//! The arguments go to the body as one tuple, whether it uses them or not: what they do when they are dropped is part of
//! the call, and comes before the invalidation.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ReceiverKind, ReturnType};

use super::args::{Args, Target};
use crate::attrs;
use crate::expand::{as_region, located, taken_apart};
use crate::given::RegionArg;
use crate::item::Item;
use crate::model::{Header, passed, take_apart};
use crate::signature;

/// The function, which invalidates when its body has ended.
pub(crate) fn expand(args: &Args, item: &Item) -> TokenStream {
    let krate = args.krate.as_ref().map_or_else(|| syn::parse_quote!(::cache), |krate| krate.value.clone());
    let written = Header {
        attrs: attrs::of_writer(item),
        vis: item.vis.clone(),
        defaultness: item.defaultness,
        sig: signature::around_closure(item),
    };
    let used: Vec<_> = args.expressions().collect();
    let apart = taken_apart(&take_apart(item, &used));
    let targets = targets(args, &krate);
    let exits = match &args.only_ok {
        None => quote!(#krate::__private::Exits::every()),
        // Of a result that is no `Result` it is complained there.
        Some(given) => located(quote!(#krate::__private::Exits::only_ok()), given.word.span()),
    };
    let name = format!("::{}", item.sig.ident);
    let passed: Vec<_> = passed(item).into_iter().filter(|passed| passed.pat.is_some()).collect();
    let names = passed.iter().map(|passed| &passed.name);
    let body = body(&used, item, passed.iter().filter_map(|passed| passed.pat.as_ref()));
    let at_result = Span::mixed_site().located_at(item.sig.output.span());
    let private = located(quote!(#krate::__private), at_result);
    let writer = quote!(::core::concat!(::core::module_path!(), #name));
    let arguments = quote_spanned!(at_result=> (#writer, targets, #exits, (#(#names,)*), #body));
    let targets = quote_spanned!(Span::mixed_site()=> #apart let targets = #targets;);
    if item.sig.asyncness.is_none() {
        return quote!(#written { #targets #private::write #arguments });
    }
    // A binding, so that temporaries of the call are not kept across the await.
    let call = quote_spanned! {at_result=>
        {
            #targets
            let call = #private::write_async #arguments;
            call
        }
        .await
    };
    quote!(#written { #call })
}

/// The invalidations, none of them begun, in the order in which they are written.
fn targets(args: &Args, krate: &syn::Path) -> TokenStream {
    let targets = args.targets.iter().map(|target| match target {
        Target::Entry(call) => {
            let at_call = Span::mixed_site().located_at(call.span());
            quote_spanned!(at_call=> #krate::__private::target(#call))
        }
        Target::Namespace(given) => {
            let name = &given.value;
            quote_spanned!(Span::mixed_site()=> region.invalidate_namespace(#name))
        }
        Target::Tag(given) => {
            let tag = &given.value;
            quote_spanned!(Span::mixed_site().located_at(tag.span())=> region.invalidate_tag(#tag))
        }
    });
    let targets = quote!([#(#targets),*]);
    match &args.region {
        None => targets,
        Some(region @ RegionArg::Expr(_)) => {
            let region = as_region(region, krate);
            // A `match` keeps what the expression makes until all are made.
            quote_spanned!(Span::mixed_site()=> match #region { region => #targets })
        }
        Some(RegionArg::Named(name)) => quote_spanned! {Span::mixed_site()=>
            {
                static REGION: #krate::Region = #krate::Region::named(#name);
                let region = &REGION;
                #targets
            }
        },
    }
}

/// A closure that has the body, so that it may return from anywhere.
fn body<'a>(used: &[&Expr], item: &Item, patterns: impl Iterator<Item = &'a syn::Pat>) -> TokenStream {
    let Item { sig, body, .. } = item;
    let asyncness = &sig.asyncness;
    let attrs = attrs::of_closure(used, item);
    let output = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let body = match item.receiver() {
        // A closure takes along what it uses: `self` goes with the arguments, and is dropped with them.
        Some(receiver) if !matches!(receiver.kind, ReceiverKind::Reference(..)) => {
            let this = &receiver.self_token;
            quote!({ let _ = &#this; #body })
        }
        _ => quote!(#body),
    };
    quote!(#asyncness move |#(#attrs)* (#(#patterns,)*)| -> #output #body)
}
