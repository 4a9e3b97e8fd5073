//! What is to be written: made of a checked attribute and a checked function, the only input of `expand`.
//!
//! Everything is decided here; what follows only writes it down.

use proc_macro2::{Group, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Expr, ExprPath, GenericParam, Ident, Pat, PatIdent, Path, ReturnType, Signature, Token, Type,
    Visibility, parse_quote,
};

use crate::args::{Args, CompanionsArg, ErrorsArg, OutcomeArg};
use crate::attrs::{self, Role};
use crate::given::{Given, RegionArg};
use crate::item::{Argument, Form, Item};
use crate::signature;
use crate::types::{self, shows_lifetime};

/// A cached function.
pub(crate) struct Model {
    /// The path of the facade crate.
    pub(crate) krate: Path,
    pub(crate) written: Header,
    /// The result type, as written.
    pub(crate) output: Type,
    pub(crate) body: Group,
    pub(crate) site: Site,
    /// Where the function differs from its region's policy.
    pub(crate) policy: TokenStream,
    pub(crate) region: RegionArg,
    pub(crate) key: Vec<KeyPart>,
    /// What renders the tags of an entry, and what must be taken apart for that.
    pub(crate) tags: Vec<Expr>,
    pub(crate) tags_apart: Vec<Apart>,
    pub(crate) terms: Terms,
    /// What is handed on to the body: `self`, then each argument.
    pub(crate) passed: Vec<Passed>,
    /// Arguments to take apart for the key, the region and the conditions.
    pub(crate) apart: Vec<Apart>,
    pub(crate) shape: Shape,
}

/// A part of the key.
pub(crate) struct KeyPart {
    pub(crate) expr: Expr,
    /// Whether it is an argument that is written as `&str`.
    pub(crate) is_text: bool,
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
    /// Into a closure; its parameter may need an attribute.
    Within(Vec<Attribute>),
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
        let krate = args.krate.as_ref().map_or_else(|| parse_quote!(::cache), |krate| krate.value.clone());
        let key = key(&args, &item);
        let region = match &args.region {
            Some(RegionArg::Expr(region)) => Some(region),
            _ => None,
        };
        let located: Vec<&Expr> = key.iter().map(|part| &part.expr).chain(region).chain(args.tags()).collect();
        let (shape, attrs) = match &args.companions {
            Some(Given { value: CompanionsArg::Absent, .. }) => {
                (Shape::Within(attrs::of_closure(&args.expressions().collect::<Vec<_>>(), &item)), item.attrs.clone())
            }
            _ => {
                let companions = companions(&args, &item, &krate, &located, attribute);
                (Shape::Beside(Box::new(companions)), attrs::written(&item))
            }
        };
        let apart = take_apart(&item, &args.expressions().collect::<Vec<_>>());
        let tags: Vec<Expr> = args.tags().cloned().collect();
        let tags_apart = take_apart(&item, &tags.iter().collect::<Vec<_>>());
        let sig = match shape {
            Shape::Within(_) => signature::around_closure(&item),
            Shape::Beside(_) => signature::plain(&item),
        };
        Some(Model {
            passed: passed(&item),
            site: Site {
                function: format!("::{}", item.sig.ident),
                namespace: args.namespace.clone()?,
                arguments: key.iter().map(|part| name_of(&part.expr, &item)).collect(),
                version: args.version.as_ref().map_or(0, |version| version.value),
            },
            written: Header { attrs, vis: item.vis, defaultness: item.defaultness, sig },
            terms: Terms::new(&args, &output),
            output: *output,
            body: item.body,
            policy: args.policy.constant(&krate),
            region: args.region?,
            krate,
            tags,
            tags_apart,
            key,
            apart,
            shape,
        })
    }
}

impl Terms {
    fn new(args: &Args, output: &Type) -> Terms {
        let outcome = match &args.outcome {
            None => Outcome::Probed,
            Some(Given { value: OutcomeArg::Ok, word }) => Outcome::Ok(word.span()),
            Some(Given { value: OutcomeArg::Whole, word }) => Outcome::Whole(word.span()),
        };
        let sharing = match (&args.share_errors, &args.errors) {
            (Some(copy), _) => Sharing::By(copy.value.clone()),
            (None, Some(Given { value: ErrorsArg::Shared, word })) => Sharing::Shared(word.span()),
            (None, Some(Given { value: ErrorsArg::Alone, .. })) => Sharing::Alone,
            (None, None) if matches!(outcome, Outcome::Whole(_)) || shows_lifetime(output) => Sharing::Alone,
            (None, None) => Sharing::Probed,
        };
        let conditions = [
            ("when", &args.when),
            ("force", &args.force),
            ("cache_if", &args.cache_if),
            ("ttl_of", &args.ttl_of),
            ("weight", &args.weight),
        ];
        let conditions = conditions.into_iter().filter_map(|(method, given)| {
            given.as_ref().map(|given| (Ident::new(method, given.word.span()), Some(given.value.clone())))
        });
        let staleness = args.policy.max_staleness().map(|(word, bound)| (word.clone(), Some(bound.clone())));
        let conditions = conditions.chain(staleness);
        Terms {
            outcome,
            sharing,
            wire: if args.near_only.is_some() { Wire::NearOnly } else { Wire::Serde },
            conditions: conditions.chain(args.only_some.iter().map(|given| (given.word.clone(), None))).collect(),
        }
    }
}

impl ToTokens for Header {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Header { attrs, vis, defaultness, sig } = self;
        tokens.extend(quote!(#(#attrs)* #vis #defaultness #sig));
    }
}

/// What the key is made of.
fn key(args: &Args, item: &Item) -> Vec<KeyPart> {
    let exprs: Vec<Expr> = match &args.key {
        Some(key) => key.value.clone(),
        None => item.keyed(args).map(|argument| variable(&argument.name)).collect(),
    };
    let is_text = |expr: &Expr| argument_of(expr, item).is_some_and(|argument| types::is_text(&argument.typed.ty));
    exprs.into_iter().map(|expr| KeyPart { is_text: is_text(&expr), expr }).collect()
}

/// The argument that this names.
fn argument_of<'a>(expr: &Expr, item: &'a Item) -> Option<&'a Argument> {
    let Expr::Path(path) = expr else { return None };
    let name = path.path.get_ident()?;
    item.arguments.iter().find(|argument| argument.name == *name)
}

fn variable(name: &Ident) -> Expr {
    Expr::Path(ExprPath { attrs: Vec::new(), qself: None, path: name.clone().into() })
}

/// How a part of the key is called in messages.
fn name_of(part: &Expr, item: &Item) -> TokenStream {
    let Expr::Path(path) = part else { return quote!(::core::stringify!(#part)) };
    let Some(name) = path.path.get_ident() else { return quote!(::core::stringify!(#part)) };
    match argument_of(part, item) {
        Some(Argument { form: Form::Pattern, typed, .. }) => {
            let pat = &typed.pat;
            quote!(::core::stringify!(#pat))
        }
        _ => name.to_string().to_token_stream(),
    }
}

pub(crate) fn passed(item: &Item) -> Vec<Passed> {
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
pub(crate) fn take_apart(item: &Item, used: &[&Expr]) -> Vec<Apart> {
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

/// Removes references and binding modes: through a reference everything is bound by reference.
struct ByReference;

impl VisitMut for ByReference {
    fn visit_pat_mut(&mut self, pat: &mut Pat) {
        while let Pat::Reference(reference) = pat {
            *pat = (*reference.pat).clone();
        }
        visit_mut::visit_pat_mut(self, pat);
    }

    fn visit_pat_ident_mut(&mut self, pat: &mut PatIdent) {
        pat.by_ref = None;
        pat.mutability = None;
        visit_mut::visit_pat_ident_mut(self, pat);
    }
}

fn companions(args: &Args, item: &Item, krate: &Path, used: &[&Expr], attribute: &TokenStream) -> Companions {
    let stem = match &args.companions {
        Some(Given { value: CompanionsArg::Stem(stem), .. }) => Some(stem),
        _ => None,
    };
    let in_impl = item.shows_self(attribute) || stem.is_some_and(|stem| stem.segments.len() == 2);
    let scope = if in_impl { quote!(Self::) } else { TokenStream::new() };
    let stem = stem.and_then(|stem| stem.segments.last()).map_or(&item.sig.ident, |last| &last.ident);
    // The names stand at the attribute: what is wrong with them (a clash, a trait that lacks them) is told there.
    let named = |suffix: &str| format_ident!("{}_{}", stem, suffix, span = Span::call_site());

    let mut entry = signature::of_entry(item, used);
    if let ReturnType::Type(_, output) = &mut entry.output {
        *output = match &args.near_only {
            None => parse_quote!(#krate::Entry<#output>),
            Some(_) => parse_quote!(#krate::Entry<#output, #krate::__private::NearOnly>),
        };
    }
    entry.ident = named("entry");
    let refresh = Signature { ident: named("refresh"), ..signature::plain(item) };
    let uncached = Signature { ident: named("uncached"), ..signature::of_uncached(item, args) };

    let link = format!("[`{0}`](fn@{1}{0})", item.sig.ident.unraw(), if in_impl { "Self::" } else { "" });
    let header = |role: Role, doc: String, sig: Signature| {
        let mut attrs: Vec<Attribute> = vec![parse_quote!(#[doc = #doc]), attrs::allowances(role)];
        attrs.extend(attrs::for_role(&item.attrs, role));
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
        site_attrs: attrs::for_role(&item.attrs, Role::Site),
        entry: header(
            Role::Entry,
            format!(" What the cache keeps of {link} under these arguments: to look at, set or invalidate."),
            entry,
        ),
        entry_apart: take_apart(item, used),
        refresh: header(
            Role::Refresh,
            format!(" Runs {link} anew, whatever the cache keeps, and keeps the result."),
            refresh,
        ),
        uncached: header(Role::Uncached, format!(" Runs {link} without the cache."), uncached),
        scope,
    }
}
