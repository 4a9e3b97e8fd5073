//! Reads what is written between the parentheses of the attribute.
//!
//! There is one table of options; whatever is wrong is noted, and reading goes on behind the next comma.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, Lit, LitStr, Path, Token, token};

use crate::errors::{Errors, nearest};
use crate::given::{Given, string, twice};
use crate::policy::{POLICY, PolicyArgs};

/// How an option is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `name = value`
    Value,
    /// `name(a, b)`
    List,
    /// `name`
    Flag,
}

/// Every option: its name, how it is written, and an example for the messages.
const OPTIONS: &[(&str, Form, &str)] = &[
    ("region", Form::Value, "region = LONG_TERM"),
    ("namespace", Form::Value, "namespace = \"images\""),
    ("ttl", Form::Value, "ttl = \"10m\""),
    ("stale_while_revalidate", Form::Value, "stale_while_revalidate = \"5m\""),
    ("stale_if_error", Form::Value, "stale_if_error = \"1d\""),
    ("throttle", Form::Value, "throttle = \"1s\""),
    ("jitter", Form::Value, "jitter = \"10%\""),
    ("patience", Form::Value, "patience = \"5s\""),
    ("lease", Form::Value, "lease = \"30s\""),
    ("max_staleness", Form::Value, "max_staleness = \"1s\""),
    ("key", Form::List, "key(owner, page)"),
    ("skip", Form::List, "skip(self, db)"),
    ("version", Form::Value, "version = 2"),
    ("when", Form::Value, "when = page < 10"),
    ("cache_if", Form::Value, "cache_if = |value| !value.is_empty()"),
    ("ttl_of", Form::Value, "ttl_of = |value| value.max_age"),
    ("force", Form::Value, "force = refresh"),
    ("only_some", Form::Flag, "only_some"),
    ("outcome", Form::Value, "outcome = ok"),
    ("errors", Form::Value, "errors = alone"),
    ("share_errors", Form::Value, "share_errors = copy_error"),
    ("near_only", Form::Flag, "near_only"),
    ("weight", Form::Value, "weight = weight_of"),
    ("companions", Form::Value, "companions = false"),
    ("crate", Form::Value, "crate = ::my_cache"),
];

/// The words that other caches use, and ours.
const ELSEWHERE: &[(&str, &str)] = &[
    ("name", "namespace"),
    ("time", "ttl"),
    ("ttl_secs", "ttl"),
    ("ttl_millis", "ttl"),
    ("expires", "ttl_of"),
    ("convert", "key"),
    ("condition", "when"),
    ("unless", "cache_if"),
    ("force_refresh", "force"),
    ("local", "near_only"),
];

/// Where the results live.
pub(crate) enum RegionArg {
    /// By name, configured at run time.
    Named(LitStr),
    /// Whatever gives a region.
    Expr(Expr),
}

/// What of a result is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutcomeArg {
    /// The `Ok` of a `Result`.
    Ok,
    /// All of it.
    Whole,
}

/// Whether an error is given to all who waited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorsArg {
    /// To none but the caller who met it.
    Alone,
    /// To all, as clones.
    Shared,
}

/// How the companions are named.
pub(crate) enum CompanionsArg {
    /// There are none.
    Absent,
    /// `stem_entry` and so on instead of the function's name; `Self::stem` says that this is an impl block.
    Stem(Path),
}

/// Everything that the attribute said.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) region: Option<RegionArg>,
    pub(crate) namespace: Option<LitStr>,
    pub(crate) policy: PolicyArgs,
    pub(crate) key: Option<Given<Vec<Expr>>>,
    pub(crate) skip: Option<Given<Vec<Ident>>>,
    pub(crate) version: Option<Given<u16>>,
    pub(crate) when: Option<Given<Expr>>,
    pub(crate) cache_if: Option<Given<Expr>>,
    pub(crate) ttl_of: Option<Given<Expr>>,
    pub(crate) force: Option<Given<Expr>>,
    pub(crate) only_some: Option<Given<()>>,
    pub(crate) outcome: Option<Given<OutcomeArg>>,
    pub(crate) errors: Option<Given<ErrorsArg>>,
    pub(crate) share_errors: Option<Given<Expr>>,
    pub(crate) near_only: Option<Given<()>>,
    pub(crate) weight: Option<Given<Expr>>,
    pub(crate) companions: Option<Given<CompanionsArg>>,
    pub(crate) krate: Option<Given<Path>>,
}

impl Args {
    /// Reads the attribute's tokens; mistakes go to `errors`.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Args {
        let mut args = Args::default();
        let read = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if let Err(error) = args.one(input) {
                    errors.add(error);
                    skip_to_comma(input)?;
                } else if !input.is_empty() && !input.peek(Token![,]) {
                    errors.add(input.error("expected `,`"));
                    skip_to_comma(input)?;
                }
                input.parse::<Option<Token![,]>>()?;
            }
            Ok(())
        };
        if let Err(error) = read.parse2(tokens) {
            errors.add(error);
        }
        args
    }

    /// The expressions over the arguments, in the order in which they are evaluated for a call.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let region = match &self.region {
            Some(RegionArg::Expr(region)) => Some(region),
            _ => None,
        };
        let key = self.key.iter().flat_map(|key| &key.value);
        let staleness = self.policy.max_staleness().map(|(_, expr)| expr);
        key.chain(region).chain(self.when.iter().chain(&self.force).map(|given| &given.value)).chain(staleness)
    }

    /// Whether `name` was given in `skip(..)`.
    pub(crate) fn skips(&self, name: &str) -> bool {
        self.skip.as_ref().is_some_and(|skip| skip.value.iter().any(|skipped| skipped == name))
    }

    fn one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        match Head::read(input, self.region.is_some())? {
            Some(head) => self.option(head, input),
            None => self.positional(input),
        }
    }

    /// The region, then the namespace.
    fn positional(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if self.region.is_none() {
            self.region = Some(input.parse()?);
            return Ok(());
        }
        let value: Expr = input.parse()?;
        if self.namespace.is_none() {
            return self.namespace(&value);
        }
        Err(syn::Error::new_spanned(
            value,
            "only the region and the namespace stand without a name; anything else is `option = value`",
        ))
    }

    fn namespace(&mut self, value: &Expr) -> syn::Result<()> {
        let namespace = string(value);
        // Something is written there: it is wrong, but it is not missing.
        self.namespace = Some(namespace.clone().unwrap_or_else(|| LitStr::new("wrong", Span::call_site())));
        match namespace {
            Some(name) if name.value().is_empty() => Err(syn::Error::new(name.span(), "a namespace is not empty")),
            Some(_) => Ok(()),
            None => Err(syn::Error::new_spanned(
                value,
                "the namespace is a string literal: `#[cached(REGION, \"images\")]`",
            )),
        }
    }

    fn option(&mut self, head: Head, input: ParseStream<'_>) -> syn::Result<()> {
        let Head { word, form } = head;
        let name = word.unraw().to_string();
        let Some((_, expected, example)) = OPTIONS.iter().find(|(known, ..)| *known == name) else {
            return Err(unknown(&word));
        };
        if form != *expected {
            return Err(syn::Error::new(word.span(), format!("write `{example}`")));
        }
        let list;
        match form {
            Form::Value => {
                input.parse::<Token![=]>()?;
                if input.is_empty() || input.peek(Token![,]) {
                    return Err(syn::Error::new(word.span(), format!("`{name}` has a value: `{example}`")));
                }
                self.value(word, &name, input)
            }
            Form::List => {
                syn::parenthesized!(list in input);
                let read = self.list(word, &name, &list);
                // What is left of it is part of the mistake.
                list.parse::<TokenStream>().and(read)
            }
            Form::Flag if name == "near_only" => put(&mut self.near_only, word, ()),
            Form::Flag => put(&mut self.only_some, word, ()),
        }
    }

    fn list(&mut self, word: Ident, name: &str, list: ParseStream<'_>) -> syn::Result<()> {
        match name {
            "key" => {
                let parts = Punctuated::<Expr, Token![,]>::parse_terminated(list)?;
                put(&mut self.key, word, parts.into_iter().collect())
            }
            _ => put(&mut self.skip, word, names(list)?),
        }
    }

    fn value(&mut self, word: Ident, name: &str, input: ParseStream<'_>) -> syn::Result<()> {
        match name {
            "region" => once(&mut self.region, input.parse()?, &word),
            "namespace" => match self.namespace {
                None => self.namespace(&input.parse()?),
                Some(_) => Err(twice(&word)),
            },
            word_of_policy if POLICY.contains(&word_of_policy) => self.policy.read(word, input),
            "version" => put(&mut self.version, word, version(&input.parse()?)?),
            "when" => put(&mut self.when, word, input.parse()?),
            "cache_if" => put(&mut self.cache_if, word, input.parse()?),
            "ttl_of" => put(&mut self.ttl_of, word, input.parse()?),
            "force" => put(&mut self.force, word, input.parse()?),
            "outcome" => {
                put(&mut self.outcome, word, one_of(input, [("ok", OutcomeArg::Ok), ("whole", OutcomeArg::Whole)])?)
            }
            "errors" => put(
                &mut self.errors,
                word,
                one_of(input, [("alone", ErrorsArg::Alone), ("shared", ErrorsArg::Shared)])?,
            ),
            "share_errors" => put(&mut self.share_errors, word, input.parse()?),
            "weight" => put(&mut self.weight, word, input.parse()?),
            "companions" => put(&mut self.companions, word, input.parse()?),
            _ => put(&mut self.krate, word, input.call(Path::parse_mod_style)?),
        }
    }
}

/// The word that an option begins with.
struct Head {
    word: Ident,
    form: Form,
}

impl Head {
    /// Looks at what comes next; consumes the word only if an option begins here, rather than an expression.
    fn read(input: ParseStream<'_>, has_region: bool) -> syn::Result<Option<Head>> {
        let ahead = input.fork();
        let Ok(word) = ahead.call(Ident::parse_any) else { return Ok(None) };
        let form = if ahead.peek(Token![=]) && !ahead.peek(Token![==]) && !ahead.peek(Token![=>]) {
            Form::Value
        } else if ahead.peek(token::Paren) {
            ahead.parse::<TokenTree>()?;
            Form::List
        } else {
            Form::Flag
        };
        let ends = ahead.is_empty() || ahead.peek(Token![,]);
        let option = match meant(&word.unraw().to_string()) {
            _ if form == Form::Value => true,
            // `region` or `cache()` may well be what gives the region.
            Some((_, expected)) => ends && (has_region || expected == form),
            None => false,
        };
        if option {
            input.call(Ident::parse_any)?;
        }
        Ok(option.then_some(Head { word, form }))
    }
}

impl Parse for RegionArg {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let value: Expr = input.parse()?;
        match string(&value) {
            Some(name) if name.value().is_empty() => Err(syn::Error::new(name.span(), "a region has a name")),
            Some(name) => Ok(RegionArg::Named(name)),
            None => Ok(RegionArg::Expr(value)),
        }
    }
}

impl Parse for CompanionsArg {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let wrong = "write `companions = false`, or another stem for their names: `companions = \"other\"`";
        match input.parse::<Lit>()? {
            Lit::Bool(wanted) if !wanted.value => Ok(CompanionsArg::Absent),
            Lit::Str(stem) => match stem.parse::<Path>() {
                Ok(path) if is_stem(&path) => Ok(CompanionsArg::Stem(path)),
                _ => Err(syn::Error::new(stem.span(), wrong)),
            },
            other => Err(syn::Error::new(other.span(), wrong)),
        }
    }
}

/// `name` or `Self::name`.
fn is_stem(path: &Path) -> bool {
    let mut segments = path.segments.iter();
    let plain = path.segments.iter().all(|segment| segment.arguments.is_empty()) && path.leading_colon.is_none();
    match path.segments.len() {
        1 => plain,
        2 => plain && segments.next().is_some_and(|first| first.ident == "Self"),
        _ => false,
    }
}

fn put<T>(slot: &mut Option<Given<T>>, word: Ident, value: T) -> syn::Result<()> {
    let given = word.clone();
    once(slot, Given { word, value }, &given)
}

fn once<T>(slot: &mut Option<T>, value: T, word: &Ident) -> syn::Result<()> {
    if slot.is_some() {
        return Err(twice(word));
    }
    *slot = Some(value);
    Ok(())
}

fn names(list: ParseStream<'_>) -> syn::Result<Vec<Ident>> {
    let name = |input: ParseStream<'_>| {
        let name = input
            .call(Ident::parse_any)
            .map_err(|error| syn::Error::new(error.span(), "`skip(..)` takes the names of arguments"))?;
        if input.is_empty() || input.peek(Token![,]) {
            return Ok(name);
        }
        Err(input.error("`skip(..)` takes whole arguments; name the parts that tell results apart with `key(..)`"))
    };
    Ok(Punctuated::<Ident, Token![,]>::parse_terminated_with(list, name)?.into_iter().collect())
}

fn version(value: &Lit) -> syn::Result<u16> {
    let number = if let Lit::Int(number) = value { number.base10_parse().ok() } else { None };
    number.ok_or_else(|| syn::Error::new(value.span(), "a version is a number from 0 to 65535"))
}

fn one_of<T: Copy, const N: usize>(input: ParseStream<'_>, choices: [(&str, T); N]) -> syn::Result<T> {
    let expected = || choices.map(|(name, _)| format!("`{name}`")).join(" or ");
    let wrong = |span: Span| syn::Error::new(span, format!("expected {}", expected()));
    let word = input.call(Ident::parse_any).map_err(|error| wrong(error.span()))?;
    choices.iter().find(|(name, _)| word == *name).map(|(_, choice)| *choice).ok_or_else(|| wrong(word.span()))
}

/// The option that `word` is or was probably meant to be.
fn meant(word: &str) -> Option<(&'static str, Form)> {
    let ours = ELSEWHERE.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    let ours = ours.or_else(|| nearest(word, OPTIONS.iter().map(|(known, ..)| *known)))?;
    OPTIONS.iter().find(|(known, ..)| *known == ours).map(|(known, form, _)| (*known, *form))
}

fn unknown(word: &Ident) -> syn::Error {
    let hint = meant(&word.to_string()).map(|(known, _)| format!(": did you mean `{known}`?")).unwrap_or_default();
    let known = OPTIONS.iter().map(|(known, ..)| *known).collect::<Vec<_>>().join("`, `");
    syn::Error::new(word.span(), format!("there is no option `{word}`{hint}\nthe options are `{known}`"))
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use quote::{ToTokens, quote};

    fn read(tokens: TokenStream) -> Args {
        let mut errors = Errors::default();
        let args = Args::parse(tokens, &mut errors);
        assert!(errors.is_empty(), "{:?}", errors.messages());
        args
    }

    fn constant(args: &Args) -> String {
        args.policy.constant(&syn::parse_quote!(::cache)).to_string()
    }

    fn refused(tokens: TokenStream) -> Vec<String> {
        let mut errors = Errors::default();
        Args::parse(tokens, &mut errors);
        errors.messages()
    }

    fn region(args: &Args) -> String {
        match args.region.as_ref().unwrap() {
            RegionArg::Named(name) => format!("{:?}", name.value()),
            RegionArg::Expr(expr) => expr.to_token_stream().to_string(),
        }
    }

    #[test]
    fn region_and_namespace_stand_first_or_are_named() {
        for tokens in [
            quote!(LONG_TERM, "images"),
            quote!(region = LONG_TERM, namespace = "images"),
            quote!(namespace = "images", LONG_TERM),
            quote!(near_only, LONG_TERM, "images",),
        ] {
            let args = read(tokens);
            assert_eq!(region(&args), "LONG_TERM");
            assert_eq!(args.namespace.unwrap().value(), "images");
        }
        assert_eq!(region(&read(quote!("short_term", "price"))), "\"short_term\"");
        assert_eq!(region(&read(quote!(region = self.cache, namespace = "price"))), "self . cache");
        assert_eq!(region(&read(quote!(regions::of(tenant), "price"))), "regions :: of (tenant)");
        assert_eq!(region(&read(quote!(long_term(), "price"))), "long_term ()");
        assert_eq!(region(&read(quote!(region_of(tenant), "price"))), "region_of (tenant)");
        assert_eq!(region(&read(quote!(region, "price"))), "region");
    }

    #[test]
    fn every_option_is_read() {
        let args = read(quote!(
            R,
            "n",
            ttl = "1h 30m",
            key(a.id, b + 1),
            skip(self, db),
            version = 3,
            when = a < 10,
            cache_if = |value: &Vec<u8>| !value.is_empty(),
            ttl_of = Image::ttl,
            force = fresh,
            only_some,
            outcome = ok,
            errors = shared,
            share_errors = copy,
            near_only,
            weight = weigh,
            companions = "other",
            crate = ::memo
        ));
        assert!(
            constant(&args)
                .contains("ttl : :: core :: option :: Option :: Some (:: core :: time :: Duration :: new (5400 , 0))")
        );
        assert_eq!(args.key.as_ref().unwrap().value.len(), 2);
        assert!(args.skips("self") && args.skips("db") && !args.skips("a"));
        assert_eq!(args.version.unwrap().value, 3);
        assert!(args.when.is_some() && args.cache_if.is_some() && args.ttl_of.is_some() && args.force.is_some());
        assert!(args.only_some.is_some() && args.near_only.is_some() && args.weight.is_some());
        assert!(args.outcome.unwrap().value == OutcomeArg::Ok);
        assert!(args.errors.unwrap().value == ErrorsArg::Shared);
        assert!(args.share_errors.is_some());
        assert!(matches!(args.companions.unwrap().value, CompanionsArg::Stem(stem) if stem.is_ident("other")));
        assert_eq!(args.krate.unwrap().value.to_token_stream().to_string(), ":: memo");
    }

    #[test]
    fn an_unknown_option_is_told_with_its_neighbour_and_all_that_are_known() {
        let messages = refused(quote!(R, "n", tll = "10m", force_refresh = fresh, capacity = 3, onlysome));
        assert_eq!(messages.len(), 4);
        assert!(messages[0].starts_with("there is no option `tll`: did you mean `ttl`?"), "{}", messages[0]);
        assert!(messages[0].contains("`near_only`, `weight`"));
        assert!(messages[1].contains("did you mean `force`?"));
        assert!(messages[2].starts_with("there is no option `capacity`\n"));
        assert!(messages[3].contains("did you mean `only_some`?"));
    }

    #[test]
    fn each_option_stands_once_and_in_its_own_form() {
        assert_eq!(
            refused(quote!(R, "n", ttl = "1s", ttl = "2s", near_only, near_only)),
            ["`ttl` is given twice", "`near_only` is given twice"]
        );
        assert_eq!(
            refused(quote!(R, "n", region = S, namespace = "m")),
            ["`region` is given twice", "`namespace` is given twice"]
        );
        assert_eq!(
            refused(quote!(R, "n", ttl("1s"), key = a, only_some = true)),
            ["write `ttl = \"10m\"`", "write `key(owner, page)`", "write `only_some`"]
        );
    }

    #[test]
    fn reading_goes_on_behind_a_mistake() {
        let messages = refused(quote!(R, "n", ttl = , version = 70000, outcome = err, companions = true, skip(a.b), 7));
        assert_eq!(messages.len(), 6, "{messages:#?}");
        assert_eq!(messages[0], "`ttl` has a value: `ttl = \"10m\"`");
        assert_eq!(messages[1], "a version is a number from 0 to 65535");
        assert_eq!(messages[2], "expected `ok` or `whole`");
        assert!(messages[3].starts_with("write `companions = false`"));
        assert!(messages[4].starts_with("`skip(..)` takes whole arguments"));
        assert!(messages[5].starts_with("only the region and the namespace"));
    }

    #[test]
    fn a_namespace_is_a_literal() {
        assert!(refused(quote!(R, NAMES))[0].starts_with("the namespace is a string literal"));
        assert_eq!(refused(quote!("", "n")), ["a region has a name"]);
    }
}
