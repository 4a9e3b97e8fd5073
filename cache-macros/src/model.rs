//! What is to be written: made of a checked attribute and a checked function, the only input of `expand`.
//!
//! Everything is decided here; what follows only writes it down.

use std::collections::HashSet;

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Expr, ExprPath, FnArg, GenericParam, Generics, Ident, Lifetime, Pat, PatIdent, PatType, Path, Receiver,
    ReceiverKind, ReturnType, Signature, Token, Type, TypeReference, Visibility, WherePredicate, parse_quote,
};

use crate::args::{Args, CompanionsArg, ErrorsArg, Given, OutcomeArg, RegionArg, Ttl};
use crate::check::shows_lifetime;
use crate::item::{Argument, Form, Item, mentions};

/// A cached function.
pub(crate) struct Model {
    /// The path of the facade crate.
    pub(crate) krate: Path,
    pub(crate) written: Header,
    /// The result type, as written.
    pub(crate) output: Type,
    pub(crate) body: Group,
    pub(crate) site: Site,
    pub(crate) region: RegionArg,
    pub(crate) key: Vec<Expr>,
    pub(crate) terms: Terms,
    /// What is handed on to the body: `self`, then each argument.
    pub(crate) passed: Vec<Passed>,
    /// Arguments to take apart for the key, the region and the conditions.
    pub(crate) apart: Vec<Apart>,
    pub(crate) shape: Shape,
}

/// All of a function but its body.
pub(crate) struct Header {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) defaultness: Option<Token![default]>,
    pub(crate) sig: Signature,
}

/// What the `static` of the function is made of.
pub(crate) struct Site {
    pub(crate) function: String,
    pub(crate) namespace: syn::LitStr,
    pub(crate) arguments: Vec<TokenStream>,
    pub(crate) version: u16,
    pub(crate) ttl: Option<Ttl>,
}

/// What one call asks for.
pub(crate) struct Terms {
    pub(crate) outcome: Outcome,
    pub(crate) sharing: Sharing,
    pub(crate) wire: Wire,
    /// Methods of `Terms` and their arguments.
    pub(crate) conditions: Vec<(Ident, Option<Expr>)>,
}

/// Who decides what of a result is kept.
pub(crate) enum Outcome {
    Probed,
    Ok(Span),
    Whole(Span),
}

/// Who decides whether errors are shared.
pub(crate) enum Sharing {
    Probed,
    Alone,
    Shared(Span),
    By(Expr),
}

/// How values are written for the far tier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Serde,
    NearOnly,
}

/// One thing that is handed on to the body.
pub(crate) struct Passed {
    /// What it is called in the function's signature.
    pub(crate) name: Ident,
    /// What it is called on its way to the body.
    pub(crate) carried: Ident,
    /// What the body's own signature calls it; `None` for `self`.
    pub(crate) pat: Option<Pat>,
}

/// `let pat = &name;`
pub(crate) struct Apart {
    pub(crate) pat: Pat,
    pub(crate) name: Ident,
}

/// Where the body goes.
pub(crate) enum Shape {
    /// Into a closure.
    Within,
    /// Into a companion.
    Beside(Box<Companions>),
}

/// The functions beside the function.
pub(crate) struct Companions {
    /// `Self::` in an `impl` block.
    pub(crate) scope: TokenStream,
    /// The function's type and const parameters, to be named in a call.
    pub(crate) turbofish: TokenStream,
    pub(crate) site: Ident,
    pub(crate) site_attrs: Vec<Attribute>,
    pub(crate) entry: Header,
    /// What must be taken apart for the entry.
    pub(crate) entry_apart: Vec<Apart>,
    pub(crate) refresh: Header,
    pub(crate) uncached: Header,
}

impl Model {
    /// The model of `item`, cached as `args` say. `None` if they were not checked: something that must be there is not.
    pub(crate) fn new(args: Args, item: Item, attribute: &TokenStream) -> Option<Model> {
        let ReturnType::Type(_, output) = item.sig.output.clone() else { return None };
        let krate = args.krate.as_ref().map_or_else(default_crate, |krate| krate.value.clone());
        let key = key(&args, &item);
        let conditions = || args.when.iter().chain(&args.force).map(|given| &given.value);
        let region = || match &args.region {
            Some(RegionArg::Expr(region)) => Some(region),
            _ => None,
        };
        let apart = take_apart(&item, &key.iter().chain(region()).chain(conditions()).collect::<Vec<_>>());
        let shape = match &args.companions {
            Some(Given { value: CompanionsArg::Absent, .. }) => Shape::Within,
            Some(Given { value: CompanionsArg::Stem(stem), .. }) => {
                Shape::Beside(Box::new(companions(&item, &key, region(), &krate, &args, attribute, Some(stem))))
            }
            None => Shape::Beside(Box::new(companions(&item, &key, region(), &krate, &args, attribute, None))),
        };
        let beside = matches!(shape, Shape::Beside(_));
        let site = Site {
            function: format!("::{}", item.sig.ident),
            namespace: args.namespace.clone()?,
            arguments: key.iter().map(|part| name_of(part, &item)).collect(),
            version: args.version.as_ref().map_or(0, |version| version.value),
            ttl: args.ttl.map(|ttl| ttl.value),
        };
        let terms = Terms {
            outcome: match &args.outcome {
                None => Outcome::Probed,
                Some(Given { value: OutcomeArg::Ok, word }) => Outcome::Ok(word.span()),
                Some(Given { value: OutcomeArg::Whole, word }) => Outcome::Whole(word.span()),
            },
            sharing: match (args.errors, args.share_errors, &args.outcome) {
                (_, Some(copy), _) => Sharing::By(copy.value),
                (Some(Given { value: ErrorsArg::Shared, word }), ..) => Sharing::Shared(word.span()),
                (Some(_), ..) | (.., Some(Given { value: OutcomeArg::Whole, .. })) => Sharing::Alone,
                _ if shows_lifetime(&output) => Sharing::Alone,
                _ => Sharing::Probed,
            },
            wire: if args.near_only.is_some() { Wire::NearOnly } else { Wire::Serde },
            conditions: [
                args.when.map(|given| ("when", given)),
                args.force.map(|given| ("force", given)),
                args.cache_if.map(|given| ("cache_if", given)),
                args.ttl_of.map(|given| ("ttl_of", given)),
                args.weight.map(|given| ("weight", given)),
            ]
            .into_iter()
            .flatten()
            .map(|(method, given)| (Ident::new(method, given.word.span()), Some(given.value)))
            .chain(args.only_some.map(|given| (given.word, None)))
            .collect(),
        };
        Some(Model {
            krate,
            passed: passed(&item),
            written: Header {
                attrs: written_attrs(&item, beside),
                vis: item.vis.clone(),
                defaultness: item.defaultness,
                sig: plain(&item),
            },
            output: *output,
            body: item.body,
            site,
            region: args.region?,
            key,
            terms,
            apart,
            shape,
        })
    }
}

fn written_attrs(item: &Item, beside: bool) -> Vec<Attribute> {
    if !beside {
        return item.attrs.clone();
    }
    let mut attrs = for_role(&item.attrs, Role::Written);
    // We do use the arguments that the body does not.
    if item.arguments.iter().any(|argument| argument.name.to_string().starts_with('_')) {
        attrs.push(parse_quote!(#[allow(clippy::used_underscore_binding)]));
    }
    attrs
}

impl ToTokens for Header {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Header { attrs, vis, defaultness, sig } = self;
        tokens.extend(quote!(#(#attrs)* #vis #defaultness #sig));
    }
}

fn default_crate() -> Path {
    parse_quote!(::cache)
}

/// The expressions that the key is made of.
fn key(args: &Args, item: &Item) -> Vec<Expr> {
    match &args.key {
        Some(key) => key.value.clone(),
        None => item.keyed(args).map(|argument| variable(&argument.name)).collect(),
    }
}

fn variable(name: &Ident) -> Expr {
    Expr::Path(ExprPath { attrs: Vec::new(), qself: None, path: name.clone().into() })
}

/// How a part of the key is called in messages.
fn name_of(part: &Expr, item: &Item) -> TokenStream {
    let Expr::Path(path) = part else { return quote!(::core::stringify!(#part)) };
    let Some(name) = path.path.get_ident() else { return quote!(::core::stringify!(#part)) };
    match item.arguments.iter().find(|argument| argument.name == *name) {
        Some(Argument { form: Form::Pattern, typed, .. }) => {
            let pat = &typed.pat;
            quote!(::core::stringify!(#pat))
        }
        _ => name.to_string().to_token_stream(),
    }
}

fn passed(item: &Item) -> Vec<Passed> {
    let receiver = item.receiver().map(|receiver| Passed {
        name: Ident::from(receiver.self_token),
        carried: Ident::new("this", Span::mixed_site()),
        pat: None,
    });
    let arguments = item.arguments.iter().map(|argument| Passed {
        name: argument.name.clone(),
        carried: argument.name.clone(),
        pat: Some((*argument.typed.pat).clone()),
    });
    receiver.into_iter().chain(arguments).collect()
}

/// The patterns whose names `used` shows, as patterns for a reference.
fn take_apart(item: &Item, used: &[&Expr]) -> Vec<Apart> {
    let patterns = item.arguments.iter().filter(|argument| argument.form == Form::Pattern);
    let needed = patterns.filter(|argument| used.iter().any(|expr| argument.is_used_by(expr)));
    needed
        .map(|argument| {
            let mut pat = (*argument.typed.pat).clone();
            ByReference.visit_pat_mut(&mut pat);
            Apart { pat, name: argument.name.clone() }
        })
        .collect()
}

/// Removes the binding modes: through a reference everything is bound by reference.
struct ByReference;

impl VisitMut for ByReference {
    fn visit_pat_ident_mut(&mut self, pat: &mut PatIdent) {
        pat.by_ref = None;
        pat.mutability = None;
        visit_mut::visit_pat_ident_mut(self, pat);
    }
}

/// The function's signature with a plain name for each argument.
fn plain(item: &Item) -> Signature {
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

fn companions(
    item: &Item,
    key: &[Expr],
    region: Option<&Expr>,
    krate: &Path,
    args: &Args,
    attribute: &TokenStream,
    stem: Option<&Path>,
) -> Companions {
    let in_impl = item.shows_self(attribute) || stem.is_some_and(|stem| stem.segments.len() == 2);
    let scope = if in_impl { quote!(Self::) } else { TokenStream::new() };
    let stem = stem.and_then(|stem| stem.segments.last()).map_or(&item.sig.ident, |last| &last.ident);
    // The names stand at the attribute: what is wrong with them (a clash, a trait that lacks them) is told there.
    let named = |suffix: &str| format_ident!("{}_{}", stem, suffix, span = Span::call_site());

    let used: Vec<&Expr> = key.iter().chain(region).collect();
    let mut entry =
        entry_signature(item, &used, krate, if args.near_only.is_some() { Wire::NearOnly } else { Wire::Serde });
    entry.ident = named("entry");
    let refresh = Signature { ident: named("refresh"), ..plain(item) };
    let uncached = Signature { ident: named("uncached"), ..item.sig.clone() };

    let link = format!("[`{0}`](fn@{1}{0})", item.sig.ident.unraw(), if in_impl { "Self::" } else { "" });
    let header = |role: Role, doc: String, sig: Signature| {
        let mut attrs: Vec<Attribute> = vec![parse_quote!(#[doc = #doc]), allowances(role)];
        attrs.extend(for_role(&item.attrs, role));
        Header { attrs, vis: item.vis.clone(), defaultness: None, sig }
    };
    let params = item.sig.generics.params.iter().filter_map(|param| match param {
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
        GenericParam::Lifetime(_) => None,
    });
    let params: Vec<&Ident> = params.collect();
    Companions {
        turbofish: if params.is_empty() { TokenStream::new() } else { quote!(::<#(#params),*>) },
        site: format_ident!("__cached_site_{}", stem, span = Span::call_site()),
        site_attrs: for_role(&item.attrs, Role::Site),
        entry: header(
            Role::Entry,
            format!(" What the cache keeps of {link} under these arguments: to look at, set or invalidate."),
            entry,
        ),
        entry_apart: take_apart(item, &used),
        refresh: header(
            Role::Refresh,
            format!(" Runs {link} anew, whatever the cache keeps, and keeps the result."),
            refresh,
        ),
        uncached: header(Role::Uncached, format!(" Runs {link} without the cache."), uncached),
        scope,
    }
}

/// The signature of `NAME_entry`: the arguments that `used` shows, and of the generics those that these need.
fn entry_signature(item: &Item, used: &[&Expr], krate: &Path, wire: Wire) -> Signature {
    let mut sig = plain(item);
    let ReturnType::Type(arrow, output) = sig.output else { return sig };
    let mut output = *output;
    // What is kept is `'static`, and an entry borrows from none of the arguments.
    Static.visit_type_mut(&mut output);
    let entry: Type = match wire {
        Wire::Serde => parse_quote!(#krate::Entry<#output>),
        Wire::NearOnly => parse_quote!(#krate::Entry<#output, #krate::__private::NearOnly>),
    };
    sig.output = ReturnType::Type(arrow, Box::new(entry));
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

/// The lints that would say of a companion what they say of the function already, or blame the user for our part.
fn allowances(role: Role) -> Attribute {
    match role {
        Role::Uncached => parse_quote!(#[allow(
            dead_code,
            clippy::missing_const_for_fn,
            clippy::missing_errors_doc,
            clippy::missing_panics_doc,
            clippy::must_use_candidate
        )]),
        _ => parse_quote!(#[allow(
            dead_code,
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
enum Role {
    Written,
    Refresh,
    Entry,
    Uncached,
    Site,
}

/// The user's attributes as they go to each of the functions.
fn for_role(attrs: &[Attribute], role: Role) -> Vec<Attribute> {
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
