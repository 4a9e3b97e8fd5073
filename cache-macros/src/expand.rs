//! Writes the model down as Rust. Nothing is decided here, and nothing can fail.
//!
//! Local variables are written with the span `mixed_site`, which makes their names ours alone: an argument called `key`
//! or `site` stays the user's.

use proc_macro2::{Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprReference, Ident, Path, Token};

use crate::given::RegionArg;
use crate::item::mentions;
use crate::model::{Apart, Companions, Header, KeyPart, Model, Outcome, Shape, Sharing, Site, Wire};

/// The function and its companions.
pub(crate) fn expand(model: &Model) -> TokenStream {
    let written = &model.written;
    match &model.shape {
        Shape::Within(attrs) => {
            let body = call(model, &declared(model), &within(model, attrs), Read::Cached);
            quote!(#written { #body })
        }
        Shape::Beside(companions) => {
            let Companions { refresh, uncached, .. } = &**companions;
            let (declared, load) = (named(model, companions), beside(model, companions));
            let function = call(model, &declared, &load, Read::Cached);
            let refreshing = call(model, &declared, &load, Read::Forced);
            let body = &model.body;
            let entry = entry(model, companions);
            let site = site(model, companions);
            quote! {
                #written { #function }
                #entry
                #refresh { #refreshing }
                #uncached #body
                #site
            }
        }
    }
}

/// Whether the cache is read before the function is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Cached,
    Forced,
}

/// The key, the terms, and one call.
fn call(model: &Model, declared: &TokenStream, load: &TokenStream, read: Read) -> TokenStream {
    let krate = &model.krate;
    let region = region(model);
    let key_parts = key_parts(model, &model.apart);
    let at_result = Span::mixed_site().located_at(model.output.span());
    let terms = terms(model, at_result);
    let conditions = conditions(model, read);
    let passed =
        model.passed.iter().filter(|passed| carried_by_tuple(model, passed.pat.is_none())).map(|passed| &passed.name);
    // What is missing from the result's type is complained about at that type.
    let private = located(quote!(#krate::__private), at_result);
    let is_async = model.written.sig.asyncness.is_some();
    let (function, tags) = match (model.tags.is_empty(), is_async) {
        (true, false) => ("call", TokenStream::new()),
        (true, true) => ("call_async", TokenStream::new()),
        (false, false) => ("call_tagged", tags_of_call(model)),
        (false, true) => ("call_async_tagged", tags_of_call(model)),
    };
    let function = Ident::new(function, at_result);
    let arguments =
        quote_spanned!(at_result=> (site, #region, &mut key, terms #conditions, #tags (#(#passed,)*), #load));
    if !is_async {
        return quote_spanned!(at_result=> #declared #key_parts #terms #private::#function #arguments);
    }
    // A binding, so that temporaries of the call are not kept across the await.
    quote_spanned! {at_result=>
        {
            #declared
            #key_parts
            #terms
            let call = #private::#function #arguments;
            call
        }
        .await
    }
}

/// A closure over the arguments on their way to the body, which renders the tags.
fn tags_of_call(model: &Model) -> TokenStream {
    let on_the_way = model.passed.iter().filter(|passed| carried_by_tuple(model, passed.pat.is_none()));
    let shows = |name: &Ident| {
        let apart = model.tags_apart.iter().any(|apart| apart.name == *name);
        apart || model.tags.iter().any(|tag| mentions(tag, name))
    };
    // `self` is captured: a closure cannot rename it.
    let carried = on_the_way.map(|passed| match passed.pat.is_some() && shows(&passed.name) {
        true => passed.name.to_token_stream(),
        false => quote!(_),
    });
    let (apart, tags) = (taken_apart(&model.tags_apart), tags(model));
    quote_spanned!(Span::mixed_site()=> |(#(#carried,)*), tags| { #apart #tags },)
}

/// One statement for each tag.
fn tags(model: &Model) -> TokenStream {
    let tags = model.tags.iter().map(|tag| quote_spanned!(Span::mixed_site().located_at(tag.span())=> tags.add(#tag);));
    quote!(#(#tags)*)
}

/// The same tokens at another place; what they mean stays.
pub(crate) fn located(tokens: TokenStream, span: Span) -> TokenStream {
    let place = |mut token: TokenTree| {
        token.set_span(token.span().located_at(span));
        token
    };
    tokens.into_iter().map(place).collect()
}

/// A closure cannot rename `self`: it captures it.
fn carried_by_tuple(model: &Model, is_self: bool) -> bool {
    !is_self || matches!(model.shape, Shape::Beside(_))
}

/// Calls the companion that has the body.
fn beside(model: &Model, companions: &Companions) -> TokenStream {
    let Companions { scope, turbofish, uncached: Header { sig, .. }, .. } = companions;
    let name = &sig.ident;
    let carried: Vec<&Ident> = model.passed.iter().map(|passed| &passed.carried).collect();
    let tuple = quote!((#(#carried,)*));
    let at_result = Span::mixed_site().located_at(model.output.span());
    quote_spanned!(at_result=> |#tuple| #scope #name #turbofish (#(#carried),*))
}

/// Has the body.
fn within(model: &Model, attrs: &[Attribute]) -> TokenStream {
    let Model { output, body, .. } = model;
    let asyncness = &model.written.sig.asyncness;
    let patterns = model.passed.iter().filter_map(|passed| passed.pat.as_ref());
    quote!(#asyncness move |#(#attrs)* (#(#patterns,)*)| -> #output #body)
}

/// The site, from the function that all companions share.
fn named(model: &Model, companions: &Companions) -> TokenStream {
    let Companions { scope, site: shared, .. } = companions;
    match model.region {
        RegionArg::Named(_) => quote_spanned!(Span::mixed_site()=> let (site, region) = #scope #shared();),
        RegionArg::Expr(_) => quote_spanned!(Span::mixed_site()=> let site = #scope #shared();),
    }
}

/// The site, where there are no companions to share it.
fn declared(model: &Model) -> TokenStream {
    let statics = statics(model);
    match model.region {
        RegionArg::Named(_) => {
            quote_spanned!(Span::mixed_site()=> let (site, region) = { #statics (&SITE, &REGION) };)
        }
        RegionArg::Expr(_) => quote_spanned!(Span::mixed_site()=> let site = { #statics &SITE };),
    }
}

/// The function that all companions share.
fn site(model: &Model, companions: &Companions) -> TokenStream {
    let krate = &model.krate;
    let Companions { site: name, site_attrs: attrs, .. } = companions;
    let statics = statics(model);
    let (ty, value) = match model.region {
        RegionArg::Named(_) => {
            (quote!((&'static #krate::__private::Site, &'static #krate::Region)), quote!((&SITE, &REGION)))
        }
        RegionArg::Expr(_) => (quote!(&'static #krate::__private::Site), quote!(&SITE)),
    };
    quote! {
        #(#attrs)*
        #[doc(hidden)]
        #[inline]
        fn #name() -> #ty {
            #statics
            #value
        }
    }
}

/// One static for all callers, and one for a region that is given by name.
fn statics(model: &Model) -> TokenStream {
    let krate = &model.krate;
    let Site { function, namespace, arguments, version } = &model.site;
    let policy = &model.policy;
    let version = Literal::u16_unsuffixed(*version);
    let region = match &model.region {
        RegionArg::Named(name) => quote!(static REGION: #krate::Region = #krate::Region::named(#name);),
        RegionArg::Expr(_) => TokenStream::new(),
    };
    quote! {
        static SITE: #krate::__private::Site = #krate::__private::Site::new(#krate::__private::SiteSpec {
            function: ::core::concat!(::core::module_path!(), #function),
            namespace: #namespace,
            arguments: &[#(#arguments),*],
            version: #version,
            policy: #policy,
        });
        #region
    }
}

/// The companion that looks nothing up and runs nothing.
fn entry(model: &Model, companions: &Companions) -> TokenStream {
    let krate = &model.krate;
    let Companions { entry, entry_apart, .. } = companions;
    let (named, key_parts, region, wire) =
        (named(model, companions), key_parts(model, entry_apart), region(model), wire(model));
    let given = match model.tags.is_empty() {
        true => quote_spanned!(Span::mixed_site()=> entry(site, #region, &mut key, #wire)),
        false => {
            let tags = tags(model);
            quote_spanned!(Span::mixed_site()=> entry_tagged(site, #region, &mut key, #wire, |tags| { #tags }))
        }
    };
    quote_spanned! {Span::mixed_site()=>
        #entry {
            #named
            #key_parts
            #krate::__private::#given
        }
    }
}

/// One statement for each part, so that each is complained about where it stands.
fn key_parts(model: &Model, apart: &[Apart]) -> TokenStream {
    let krate = &model.krate;
    let apart = taken_apart(apart);
    let (namespace, arity) = (&model.site.namespace, Literal::usize_unsuffixed(model.key.len()));
    let parts = model.key.iter().map(|KeyPart { expr, is_text }| {
        let at_part = Span::mixed_site().located_at(expr.span());
        let part = referenced(expr, at_part);
        if *is_text { quote_spanned!(at_part=> key.text(#part);) } else { quote_spanned!(at_part=> key.arg(#part);) }
    });
    quote_spanned! {Span::mixed_site()=>
        #apart
        let mut buffer = #krate::__private::KeyBuffer::new();
        let mut key = buffer.begin(#namespace, #arity);
        #(#parts)*
    }
}

/// The names in patterns, as references.
pub(crate) fn taken_apart(apart: &[Apart]) -> TokenStream {
    apart.iter().map(|Apart { pat, name }| quote!(#[allow(unused_variables)] let #pat = &#name;)).collect()
}

fn region(model: &Model) -> TokenStream {
    as_region(&model.region, &model.krate)
}

/// An expression that gives the region, complained about where it stands.
pub(crate) fn as_region(region: &RegionArg, krate: &Path) -> TokenStream {
    match region {
        RegionArg::Named(_) => quote_spanned!(Span::mixed_site()=> region),
        RegionArg::Expr(region) => {
            let at_region = Span::mixed_site().located_at(region.span());
            let region = referenced(region, at_region);
            quote_spanned!(at_region=> ::core::convert::AsRef::<#krate::Region>::as_ref(#region))
        }
    }
}

/// `&expr`, in parentheses if it needs them.
fn referenced(expr: &Expr, span: Span) -> ExprReference {
    ExprReference { attrs: Vec::new(), and_token: Token![&](span), mutability: None, expr: Box::new(expr.clone()) }
}

/// Whether values are written for a far tier.
fn wire(model: &Model) -> TokenStream {
    let krate = &model.krate;
    match model.terms.wire {
        Wire::Serde => quote!(#krate::__private::Serde),
        Wire::NearOnly => quote!(#krate::__private::NearOnly),
    }
}

/// What the call asks for. Traits come into scope for one expression, which asks the type what it is.
fn terms(model: &Model, at_result: Span) -> TokenStream {
    let Model { krate, output, terms, .. } = model;
    let wire = wire(model);
    let mut probes = Vec::new();
    let outcome = match terms.outcome {
        Outcome::Probed => {
            probes.push(quote!(OutcomeOfOther as _, OutcomeOfResult as _));
            quote_spanned!(at_result=> (&returns).outcome())
        }
        Outcome::Ok(span) => quote_spanned!(span=> #krate::__private::OkOnly),
        Outcome::Whole(span) => quote_spanned!(span=> #krate::__private::Whole),
    };
    let sharing = match &terms.sharing {
        Sharing::Probed => {
            probes.push(quote!(SharingOfClone as _, SharingOfOther as _));
            quote_spanned!(at_result=> (&returns).sharing())
        }
        Sharing::Alone => quote!(#krate::__private::Alone),
        Sharing::Shared(span) => quote_spanned!(*span=> #krate::__private::Shared),
        Sharing::By(copy) => quote_spanned!(copy.span()=> #krate::__private::SharedBy(#copy)),
    };
    let returns = quote_spanned!(at_result=> #krate::__private::Returns::<#output>::new());
    if probes.is_empty() {
        return quote_spanned!(at_result=> let terms = #krate::__private::Terms::new(#returns, #outcome, #sharing, #wire););
    }
    quote_spanned! {at_result=>
        let terms = {
            use #krate::__private::{#(#probes),*};
            let returns = #returns;
            #krate::__private::Terms::new(returns, #outcome, #sharing, #wire)
        };
    }
}

/// The rest of what the call asks for: methods of `Terms`.
fn conditions(model: &Model, read: Read) -> TokenStream {
    let mut tokens = TokenStream::new();
    for (method, value) in &model.terms.conditions {
        let span = value.as_ref().map_or(method.span(), Spanned::span);
        tokens.extend(quote_spanned!(span=> .#method(#value)));
    }
    if read == Read::Forced {
        tokens.extend(quote!(.force(true)));
    }
    tokens
}
