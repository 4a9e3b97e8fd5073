//! What cannot be cached, each rule in one function: it says what is wrong, at the tokens that are, and what to write.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    Expr, GenericArgument, GenericParam, Ident, ParenthesizedGenericArguments, PathArguments, PathSegment,
    ReceiverKind, ReturnType, Safety, Type, TypeFnPtr, TypeReference,
};

use crate::args::{Args, ErrorsArg, OutcomeArg};
use crate::errors::{Errors, nearest};
use crate::item::{Argument, Form, Item};
use crate::types::{
    find_impl_trait, find_segment, is_generic, is_static, kept, shown, shows_future, shows_mutable_reference, strip,
};

/// Tells everything that stands against caching `item` as `args` say.
pub(crate) fn check(args: &Args, item: &Item, errors: &mut Errors) {
    for rule in RULES {
        rule(args, item, errors);
    }
}

type Rule = fn(&Args, &Item, &mut Errors);

const RULES: &[Rule] = &[
    region_and_namespace,
    qualifiers,
    receiver,
    argument_attributes,
    mutable_arguments,
    policy,
    key_or_skip,
    known_names,
    something_to_tell_calls_apart,
    unnamed_arguments,
    unordered_arguments,
    generics,
    forced_arguments,
    result_is_there,
    result_is_no_future,
    result_is_named,
    result_is_owned,
    result_is_decided,
    errors_are_shared_one_way,
];

fn region_and_namespace(args: &Args, _: &Item, errors: &mut Errors) {
    let missing = match (&args.region, &args.namespace) {
        (Some(_), Some(_)) => return,
        (None, None) => "a region and a namespace are",
        (None, Some(_)) => "a region is",
        (Some(_), None) => "a namespace is",
    };
    let message =
        format!("{missing} missing: `#[cached(REGION, \"namespace\")]`, or by name, `region = ..`, `namespace = ..`");
    errors.at_span(proc_macro2::Span::call_site(), message);
}

fn qualifiers(_: &Args, item: &Item, errors: &mut Errors) {
    let sig = &item.sig;
    if let Some(token) = &sig.constness {
        errors.at(token, "a `const fn` cannot look into a cache: remove `const`");
    }
    if let Safety::Unsafe(token) = &sig.safety {
        errors.at(token, "an `unsafe fn` is not cached: what its callers promise, a stored result cannot check; cache a safe function that calls it");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "an `extern` function is not cached: cache a Rust function that calls it, or that it calls");
    }
    if let Some(variadic) = &sig.variadic {
        errors.at(variadic, "variadic arguments cannot be part of a key");
    }
}

fn receiver(args: &Args, item: &Item, errors: &mut Errors) {
    const MUTABLE: &str =
        "a cached function often does not run, so it cannot be relied on to change anything: take `&self`";
    let Some(receiver) = item.receiver() else { return };
    match &receiver.kind {
        ReceiverKind::Reference(_, _, Some(mutable)) => errors.at(mutable, MUTABLE),
        ReceiverKind::Typed(_, ty) if shows_mutable_reference(ty) => errors.at(ty, MUTABLE),
        _ => {}
    }
    if args.key.is_none() && !args.skips("self") {
        let mut parts = vec!["self.id".to_owned()];
        parts.extend(item.keyed(args).map(|argument| argument.name.to_string()));
        let parts = parts.join(", ");
        errors.at(
            receiver.self_token,
            format!(
                "does `self` tell results apart? If not, write `skip(self)`; if so, name what does: `key({parts})`"
            ),
        );
    }
}

fn argument_attributes(_: &Args, item: &Item, errors: &mut Errors) {
    for argument in &item.arguments {
        let conditional = |attr: &&syn::Attribute| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr");
        if let Some(attr) = argument.typed.attrs.iter().find(conditional) {
            errors.at(attr, "an argument of a cached function is always there: put the `cfg` on two functions");
        }
    }
}

fn mutable_arguments(_: &Args, item: &Item, errors: &mut Errors) {
    for argument in &item.arguments {
        if shows_mutable_reference(argument.ty()) {
            let message = "a cached function often does not run, so it cannot be relied on to change an argument: \
                           return what changes, or take `&`";
            errors.at(argument.ty(), message);
        }
    }
}

fn policy(args: &Args, _: &Item, errors: &mut Errors) {
    args.policy.check(errors);
}

fn key_or_skip(args: &Args, _: &Item, errors: &mut Errors) {
    if let (Some(_), Some(skip)) = (&args.key, &args.skip) {
        errors.at(
            &skip.word,
            "`key(..)` names all that the key is made of, so there is nothing left to skip: remove one of them",
        );
    }
}

fn known_names(args: &Args, item: &Item, errors: &mut Errors) {
    let mut known: Vec<String> = item.receiver().iter().map(|_| "self".to_owned()).collect();
    known.extend(
        item.arguments.iter().filter(|argument| argument.form == Form::Name).map(|argument| argument.name.to_string()),
    );
    let mut inside: Vec<String> = Vec::new();
    inside.extend(item.arguments.iter().flat_map(Argument::names).map(|name| name.to_string()));

    for name in args.skip.iter().flat_map(|skip| &skip.value) {
        let text = name.to_string();
        if known.contains(&text) {
            continue;
        }
        if inside.contains(&text) {
            errors.at(
                name,
                format!("`{name}` is a part of an argument: name the parts that tell results apart with `key(..)`"),
            );
        } else {
            errors.at(name, no_argument(name, &known));
        }
    }
    inside.extend(known);
    for name in args.key.iter().flat_map(|key| &key.value).filter_map(lower_case_name) {
        if !inside.contains(&name.to_string()) {
            errors.at(name, no_argument(name, &inside));
        }
    }
}

fn no_argument(name: &Ident, known: &[String]) -> String {
    let hint = nearest(&name.to_string(), known.iter().map(String::as_str));
    let hint = hint.map(|known| format!(": did you mean `{known}`?")).unwrap_or_default();
    format!("there is no argument `{name}`{hint}")
}

/// A lone name that cannot be a constant.
fn lower_case_name(part: &Expr) -> Option<&Ident> {
    let Expr::Path(path) = part else { return None };
    path.path
        .get_ident()
        .filter(|name| name.to_string().starts_with(|first: char| first.is_lowercase() || first == '_'))
}

fn something_to_tell_calls_apart(args: &Args, item: &Item, errors: &mut Errors) {
    let Some(skip) = &args.skip else { return };
    if args.key.is_none() && !item.arguments.is_empty() && item.keyed(args).next().is_none() {
        errors.at(
            &skip.word,
            "every argument is skipped, so that all calls share one entry: if that is meant, write `key()`",
        );
    }
}

fn unnamed_arguments(args: &Args, item: &Item, errors: &mut Errors) {
    if args.key.is_some() {
        return;
    }
    for argument in item.arguments.iter().filter(|argument| argument.form == Form::Unnamed) {
        let message = "an argument without a name would be part of the key: name it (`_name` will do), then `skip(_name)` if it is not to be";
        errors.at(&argument.typed.pat, message);
    }
}

fn unordered_arguments(args: &Args, item: &Item, errors: &mut Errors) {
    for argument in item.keyed(args) {
        if let Some(set) = find_segment(argument.ty(), |segment| segment.ident == "HashSet") {
            let name = &argument.name;
            errors.at(
                &set,
                format!("a `HashSet` has no order, so equal sets would make different keys: take a `BTreeSet`, or write `key(sorted({name}))` with a function of yours"),
            );
        }
    }
}

fn generics(args: &Args, item: &Item, errors: &mut Errors) {
    if args.key.is_some() {
        return;
    }
    let reason = "all types share one cache, so only you know what tells their results apart";
    for param in &item.sig.generics.params {
        match param {
            GenericParam::Type(param) => errors.at(
                &param.ident,
                format!("`{}` is a type parameter: {reason}; write `key(..)` with values that do", param.ident),
            ),
            GenericParam::Const(param) => errors.at(
                &param.ident,
                format!(
                    "`{0}` is a const parameter: {reason}; write `key(..)` with values that do, `{0}` among them",
                    param.ident
                ),
            ),
            GenericParam::Lifetime(_) => {}
        }
    }
    for argument in &item.arguments {
        if let Some(ty) = find_impl_trait(argument.ty()) {
            errors.at(ty, format!("`impl Trait` is a type parameter: {reason}; write `key(..)` with values that do"));
        }
    }
}

fn forced_arguments(args: &Args, item: &Item, errors: &mut Errors) {
    let Some(force) = &args.force else { return };
    for argument in item.keyed(args).filter(|argument| argument.is_used_by(&force.value)) {
        let name = &argument.name;
        let cure = match &args.key {
            Some(_) => format!("take `{name}` out of `key(..)`"),
            None if argument.form == Form::Name => format!("add `skip({name})`"),
            None => "write `key(..)` without it".to_owned(),
        };
        errors.at(
            &force.value,
            format!("a forced call must fill the entry that other calls read, but `{name}` is part of the key: {cure}"),
        );
    }
}

fn result_is_there(_: &Args, item: &Item, errors: &mut Errors) {
    let nothing = match &item.sig.output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => match strip(ty) {
            Type::Tuple(tuple) => tuple.elems.is_empty(),
            Type::Never(_) => true,
            _ => false,
        },
    };
    if nothing {
        errors.at(
            &item.sig.ident,
            "this function returns nothing, so there is nothing to keep: return the result, or remove `#[cached]`",
        );
    }
}

fn result_is_no_future(_: &Args, item: &Item, errors: &mut Errors) {
    let ReturnType::Type(_, ty) = &item.sig.output else { return };
    let boxed = find_segment(ty, |segment| segment.ident == "BoxFuture" || segment.ident == "LocalBoxFuture").is_some();
    if item.sig.asyncness.is_none() && (boxed || shows_future(ty)) {
        errors.at(
            ty,
            "this function returns a future (as `async_trait` makes it), which cannot be kept: move the body to an `async fn` of its own, cache that, and call it from here",
        );
    }
}

fn result_is_named(_: &Args, item: &Item, errors: &mut Errors) {
    let ReturnType::Type(_, ty) = &item.sig.output else { return };
    if shows_future(ty) {
        return;
    }
    if let Some(opaque) = find_impl_trait(ty) {
        errors.at(opaque, "`impl Trait` is a type without a name, which cannot be stored and read back: return a named type, `Vec<T>` rather than `impl Iterator`");
    }
}

fn result_is_owned(args: &Args, item: &Item, errors: &mut Errors) {
    let ReturnType::Type(_, ty) = &item.sig.output else { return };
    let mut borrows = Borrows { near_only: args.near_only.is_some(), found: Vec::new() };
    borrows.visit_type(kept(ty));
    for (culprit, cure) in borrows.found {
        errors.at(culprit, format!("a kept result outlives the call, so it cannot borrow: return {cure}"));
    }
}

fn result_is_decided(args: &Args, item: &Item, errors: &mut Errors) {
    let ReturnType::Type(_, ty) = &item.sig.output else { return };
    if args.outcome.is_none() && is_generic(ty, &item.sig) {
        errors.at(
            ty,
            "whether this is a `Result` differs from caller to caller: write `outcome = ok` to keep only what is `Ok`, or `outcome = whole`",
        );
    }
}

fn errors_are_shared_one_way(args: &Args, _: &Item, errors: &mut Errors) {
    if let (Some(given), Some(share)) = (&args.errors, &args.share_errors) {
        let cure = match given.value {
            ErrorsArg::Alone => "`errors = alone` shares none: remove one of them",
            ErrorsArg::Shared => "`errors = shared` clones them: remove one of them",
        };
        errors.at(&share.word, format!("`share_errors` copies errors with a function, {cure}"));
    }
    let whole = args.outcome.as_ref().is_some_and(|outcome| outcome.value == OutcomeArg::Whole);
    let shared = args.errors.as_ref().filter(|given| given.value == ErrorsArg::Shared).map(|given| &given.word);
    if let Some(word) = shared.or(args.share_errors.as_ref().map(|given| &given.word)).filter(|_| whole) {
        errors.at(
            word,
            "`outcome = whole` keeps errors like any other result, so there is none left to share: remove one of them",
        );
    }
}

/// What in a result borrows, and what to write instead.
struct Borrows {
    /// A near tier keeps any `'static` value, also one that serde could not read back.
    near_only: bool,
    found: Vec<(proc_macro2::TokenStream, String)>,
}

impl<'ast> Visit<'ast> for Borrows {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        if self.near_only && reference.lifetime.as_ref().is_some_and(is_static) {
            return;
        }
        let owned = match strip(&reference.elem) {
            Type::Path(path) if path.path.is_ident("str") => "`String`, `Arc<str>` or `Cow<'static, str>`".to_owned(),
            Type::Slice(slice) => {
                let elem = shown(&slice.elem);
                format!("`Vec<{elem}>` or `Arc<[{elem}]>`")
            }
            elem => {
                let elem = shown(elem);
                format!("`{elem}` or `Arc<{elem}>`")
            }
        };
        self.found.push((reference.to_token_stream(), owned));
    }

    fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
        if let PathArguments::AngleBracketed(arguments) = &segment.arguments {
            let borrowed = arguments.args.iter().any(|argument| match argument {
                GenericArgument::Lifetime(lifetime) => !is_static(lifetime),
                _ => false,
            });
            // Another type with a lifetime may be the alias of a `Result` whose error borrows: the compiler knows.
            if borrowed && segment.ident == "Cow" {
                let owned = arguments.args.iter().filter_map(|argument| match argument {
                    GenericArgument::Type(ty) => Some(shown(ty)),
                    _ => None,
                });
                let owned = owned.collect::<Vec<_>>().join(", ");
                return self.found.push((segment.to_token_stream(), format!("`Cow<'static, {owned}>`")));
            }
        }
        visit::visit_path_segment(self, segment);
    }

    fn visit_type_fn_ptr(&mut self, _: &'ast TypeFnPtr) {}
    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast ParenthesizedGenericArguments) {}
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
        check(&args, &syn::parse2(function).unwrap(), &mut errors);
        errors.messages()
    }

    fn result(ty: TokenStream) -> Vec<String> {
        refused(quote!(R, "n"), quote! { fn f<'a>(a: &'a str) -> #ty { a } })
    }

    #[test]
    fn good_functions_pass() {
        let none: [&str; 0] = [];
        for (args, function) in [
            (quote!(R, "n"), quote! { fn f() -> u8 { 0 } }),
            (quote!(R, "n"), quote! { async fn f(a: &str, b: Option<&[u8]>) -> Result<Vec<u8>, E> { } }),
            (quote!(R, "n", skip(self)), quote! { fn f(&self) -> u8 { 0 } }),
            (quote!(R, "n", key(self.id, b)), quote! { fn f(self: &Arc<Self>, b: u8, _: &Db) -> u8 { 0 } }),
            (quote!(R, "n", key()), quote! { fn f(db: &Db) -> u8 { 0 } }),
            (quote!(R, "n", key(ids.len())), quote! { fn f(ids: HashSet<u8>) -> u8 { 0 } }),
            (quote!(R, "n", key(N, a)), quote! { fn f<T, const N: usize>(a: u8, t: T) -> Option<T> { } }),
            (quote!(R, "n", key(a), outcome = ok), quote! { fn f<T>(a: u8) -> T { } }),
            (quote!(R, "n", skip(fresh), force = fresh), quote! { fn f(a: u8, fresh: bool) -> u8 { 0 } }),
            (quote!(R, "n", key(q.id), force = q.fresh), quote! { fn f(q: &Query) -> u8 { 0 } }),
            (quote!(R, "n", near_only), quote! { fn f(a: u8) -> &'static str { "" } }),
        ] {
            assert_eq!(refused(args.clone(), function.clone()), none, "{args} {function}");
        }
    }

    #[test]
    fn results_that_borrow_are_told_what_to_return() {
        for (ty, cure) in [
            (quote!(&str), "`String`, `Arc<str>` or `Cow<'static, str>`"),
            (quote!(&'static str), "`String`, `Arc<str>` or `Cow<'static, str>`"),
            (quote!(Result<&'a [u8], E>), "`Vec<u8>` or `Arc<[u8]>`"),
            (quote!(Vec<&'a Vec<(u8, db::User)>>), "`Vec<(u8, db::User)>` or `Arc<Vec<(u8, db::User)>>`"),
            (quote!(Option<Cow<'_, str>>), "`Cow<'static, str>`"),
            (quote!(std::borrow::Cow<'a, [u8]>), "`Cow<'static, [u8]>`"),
        ] {
            let messages = result(ty.clone());
            assert_eq!(messages.len(), 1, "{ty}: {messages:?}");
            assert!(messages[0].ends_with(cure), "{messages:?}");
        }
        for owned in
            [quote!(Cow<'static, str>), quote!(Result<u8, Bad<'a>>), quote!(Result<u8, &'a str>), quote!(Answer<'a>)]
        {
            assert!(result(owned.clone()).is_empty(), "{owned}");
        }
    }

    #[test]
    fn variadic_arguments_are_no_key() {
        let messages = refused(quote!(R, "n"), quote! { fn f(a: u8, ...) -> u8 { a } });
        assert_eq!(messages, ["variadic arguments cannot be part of a key"]);
    }

    #[test]
    fn a_future_is_refused_in_one_sentence() {
        for ty in [
            quote!(Pin<Box<dyn Future<Output = u8> + Send + 'a>>),
            quote!(::core::pin::Pin<Box<dyn ::core::future::Future<Output = Result<u8, E>> + 'a>>),
            quote!(impl Future<Output = u8>),
            quote!(BoxFuture<'a, u8>),
        ] {
            let messages = result(ty.clone());
            assert_eq!(messages.len(), 1, "{ty}: {messages:?}");
            assert!(messages[0].starts_with("this function returns a future"));
        }
    }

    #[test]
    fn all_mistakes_are_told() {
        let messages = refused(
            quote!(R, skip(dbb), force = ids.len() > 2, tll = "1s"),
            quote! { unsafe fn f<T>(&mut self, ids: &HashSet<T>, out: &mut u8) -> &str { } },
        );
        assert_eq!(messages.len(), 11, "{messages:#?}");
    }
}
