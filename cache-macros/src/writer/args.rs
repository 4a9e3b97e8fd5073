//! Reads what is written between the parentheses of `#[invalidates]`: calls of cached functions, and options.
//!
//! A call is a target as it stands; anything else that has no name is the region. Whatever is wrong is noted, and reading
//! goes on behind the next comma.

use proc_macro2::TokenStream;
use quote::format_ident;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Expr, Ident, LitStr, Path, Token};

use crate::errors::{Errors, nearest};
use crate::given::{Given, RegionArg, each_to_comma, namespace, once, put, string, tag};

/// Every option, and how it is written.
const OPTIONS: &[(&str, &str)] = &[
    ("region", "region = LONG_TERM"),
    ("namespace", "namespace = \"images\""),
    ("tag", "tag = \"team:{team}\""),
    ("only_ok", "only_ok"),
    ("crate", "crate = ::my_cache"),
];

/// What a writer invalidates.
pub(crate) enum Target {
    /// The entry of a call: the call of the companion that gives it.
    Entry(Expr),
    /// A namespace of the region.
    Namespace(Given<LitStr>),
    /// A tag in the region, as it is rendered.
    Tag(Given<Expr>),
}

/// Everything that the attribute said.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) targets: Vec<Target>,
    pub(crate) region: Option<RegionArg>,
    pub(crate) only_ok: Option<Given<()>>,
    pub(crate) krate: Option<Given<Path>>,
}

impl Args {
    /// Reads the attribute's tokens; mistakes go to `errors`.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Args {
        let mut args = Args::default();
        each_to_comma(tokens, errors, |input| args.one(input));
        args
    }

    /// The expressions over the writer's arguments.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let region = match &self.region {
            Some(RegionArg::Expr(region)) => Some(region),
            _ => None,
        };
        let targets = self.targets.iter().filter_map(|target| match target {
            Target::Entry(call) => Some(call),
            Target::Tag(tag) => Some(&tag.value),
            Target::Namespace(_) => None,
        });
        targets.chain(region)
    }

    /// The targets that need a region to be given.
    pub(crate) fn in_region(&self) -> impl Iterator<Item = &Ident> {
        self.targets.iter().filter_map(|target| match target {
            Target::Entry(_) => None,
            Target::Namespace(given) => Some(&given.word),
            Target::Tag(given) => Some(&given.word),
        })
    }

    fn one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let ahead = input.fork();
        let Ok(word) = ahead.call(Ident::parse_any) else { return self.unnamed(input) };
        if ahead.peek(Token![=]) && !ahead.peek(Token![==]) && !ahead.peek(Token![=>]) {
            input.call(Ident::parse_any)?;
            return self.option(word, input);
        }
        let ends = ahead.is_empty() || ahead.peek(Token![,]);
        match meant(&word) {
            Some("only_ok") if ends && word == "only_ok" => {
                input.call(Ident::parse_any)?;
                put(&mut self.only_ok, word, ())
            }
            Some("only_ok") if ends => Err(unknown(&word)),
            _ => self.unnamed(input),
        }
    }

    fn option(&mut self, word: Ident, input: ParseStream<'_>) -> syn::Result<()> {
        let name = word.unraw().to_string();
        let Some((_, example)) = OPTIONS.iter().find(|(known, _)| *known == name) else { return Err(unknown(&word)) };
        input.parse::<Token![=]>()?;
        if input.is_empty() || input.peek(Token![,]) {
            return Err(syn::Error::new(word.span(), format!("`{name}` has a value: `{example}`")));
        }
        match name.as_str() {
            "region" => once(&mut self.region, input.parse()?, &word),
            "namespace" => {
                let value = namespace(&input.parse()?, "namespace = \"images\"");
                // Something is written there: it is wrong, but it is not missing.
                let name = value.clone().unwrap_or_else(|_| LitStr::new("wrong", word.span()));
                self.targets.push(Target::Namespace(Given { word, value: name }));
                value.map(drop)
            }
            "tag" => {
                let value = tag(&input.parse()?);
                self.targets.push(Target::Tag(Given { word, value }));
                Ok(())
            }
            "only_ok" => Err(syn::Error::new(word.span(), format!("write `{example}`"))),
            _ => put(&mut self.krate, word, input.call(Path::parse_mod_style)?),
        }
    }

    /// A target, or the region.
    fn unnamed(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let value: Expr = input.parse()?;
        if let Expr::Call(call) = &value
            && let Expr::Path(path) = &*call.func
            && let Some(word) = path.path.get_ident()
            && let Some((_, example)) = OPTIONS.iter().find(|(known, _)| word == known)
        {
            let message = format!("write `{example}`; or `self::{word}(..)` if this is a cached function");
            return Err(syn::Error::new(word.span(), message));
        }
        match companion(value) {
            Ok(call) => {
                self.targets.push(Target::Entry(call));
                Ok(())
            }
            Err(value) if self.region.is_none() && (string(&value).is_some() || is_place(&value)) => {
                self.region = Some(RegionArg::of(*value)?);
                Ok(())
            }
            Err(value) => Err(syn::Error::new_spanned(
                value,
                "a target is a call of a cached function, `price(sku)`, or `namespace = \"..\"` or `tag = \"..\"` in a region; \
                 only the region stands without a name beside it",
            )),
        }
    }
}

/// The call of the companion `NAME_entry` for a call of `NAME`; what is no call comes back.
fn companion(call: Expr) -> Result<Expr, Box<Expr>> {
    match call {
        Expr::Call(mut call) => {
            let Expr::Path(function) = &mut *call.func else { return Err(Box::new(Expr::Call(call))) };
            if let Some(last) = function.path.segments.last_mut() {
                last.ident = entry_of(&last.ident);
            }
            Ok(Expr::Call(call))
        }
        Expr::MethodCall(mut call) => {
            call.method = entry_of(&call.method);
            Ok(Expr::MethodCall(call))
        }
        // What a `macro_rules!` macro was given comes in an invisible group.
        Expr::Group(group) => companion(*group.expr),
        other => Err(Box::new(other)),
    }
}

/// It stands where the function was named: what is wrong with it is told there.
fn entry_of(function: &Ident) -> Ident {
    format_ident!("{}_entry", function, span = function.span())
}

/// Whether this may be a region: a static, or a field of an argument.
fn is_place(value: &Expr) -> bool {
    match value {
        Expr::Path(_) => true,
        Expr::Field(field) => is_place(&field.base),
        Expr::Reference(reference) => is_place(&reference.expr),
        Expr::Unary(unary) => is_place(&unary.expr),
        Expr::Group(group) => is_place(&group.expr),
        Expr::Paren(paren) => is_place(&paren.expr),
        _ => false,
    }
}

/// The option that `word` is or was probably meant to be.
fn meant(word: &Ident) -> Option<&'static str> {
    nearest(&word.unraw().to_string(), OPTIONS.iter().map(|(known, _)| *known))
}

fn unknown(word: &Ident) -> syn::Error {
    let hint = meant(word).map(|known| format!(": did you mean `{known}`?")).unwrap_or_default();
    let known = OPTIONS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join("`, `");
    syn::Error::new(
        word.span(),
        format!("there is no option `{word}`{hint}\nthe options are `{known}`; a target is a call: `price(sku)`"),
    )
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

    fn refused(tokens: TokenStream) -> Vec<String> {
        let mut errors = Errors::default();
        Args::parse(tokens, &mut errors);
        errors.messages()
    }

    fn shown(args: &Args) -> Vec<String> {
        let show = |target: &Target| match target {
            Target::Entry(call) => call.to_token_stream().to_string().replace(' ', ""),
            Target::Namespace(given) => format!("namespace {}", given.value.value()),
            Target::Tag(given) => format!("tag {}", given.value.to_token_stream().to_string().replace(' ', "")),
        };
        args.targets.iter().map(show).collect()
    }

    #[test]
    fn a_call_stands_for_its_entry() {
        let args = read(quote!(
            price(sku, 0),
            Self::price(&sku),
            self.price(sku),
            shop::cents::<u8>(sku),
            <Self as Shop>::r#type(),
        ));
        assert_eq!(
            shown(&args),
            [
                "price_entry(sku,0)",
                "Self::price_entry(&sku)",
                "self.price_entry(sku)",
                "shop::cents_entry::<u8>(sku)",
                "<SelfasShop>::type_entry()",
            ]
        );
        assert!(args.region.is_none() && args.only_ok.is_none());
    }

    #[test]
    fn the_region_stands_without_a_name_or_with_it() {
        let region = |args: Args| match args.region.unwrap() {
            RegionArg::Named(name) => format!("{:?}", name.value()),
            RegionArg::Expr(expr) => expr.to_token_stream().to_string().replace(' ', ""),
        };
        for (tokens, expected) in [
            (quote!(LONG_TERM, namespace = "a"), "LONG_TERM"),
            (quote!(namespace = "a", regions::LONG_TERM), "regions::LONG_TERM"),
            (quote!(&self.cache, namespace = "a"), "&self.cache"),
            (quote!("short_term", namespace = "a"), "\"short_term\""),
            (quote!(region = region_of(tenant), namespace = "a"), "region_of(tenant)"),
            (quote!(region, namespace = "a"), "region"),
        ] {
            let args = read(tokens);
            assert_eq!(shown(&args), ["namespace a"]);
            assert_eq!(region(args), expected);
        }
        let args = read(quote!(namespace = "a", price(sku), R, namespace = "b", only_ok, crate = ::memo));
        assert_eq!(shown(&args), ["namespace a", "price_entry(sku)", "namespace b"]);
        assert_eq!(shown(&read(quote!(R, tag = "t:{t}"))), [r#"tag ::core::format_args!("t:{t}")"#]);
        assert!(args.only_ok.is_some() && args.krate.is_some());
    }

    #[test]
    fn reading_goes_on_behind_a_mistake() {
        let messages = refused(quote!(
            only_okay,
            namespaces = "a",
            namespace = 7,
            namespace = "",
            namespace("a"),
            region = ,
            A,
            B,
            1 + 2,
            only_ok = true,
            (f)(1)
        ));
        assert_eq!(messages.len(), 10, "{messages:#?}");
        assert!(messages[0].starts_with("there is no option `only_okay`: did you mean `only_ok`?"));
        assert!(messages[1].contains("did you mean `namespace`?"));
        assert!(messages[2].starts_with("the namespace is a string literal"));
        assert_eq!(messages[3], "a namespace is not empty");
        assert!(messages[4].starts_with("write `namespace = \"images\"`; or `self::namespace(..)`"));
        assert_eq!(messages[5], "`region` has a value: `region = LONG_TERM`");
        for at in [6, 7, 9] {
            assert!(messages[at].starts_with("a target is a call of a cached function"), "{}", messages[at]);
        }
        assert_eq!(messages[8], "write `only_ok`");
    }

    #[test]
    fn what_uses_the_arguments_is_known() {
        let args = read(quote!(price(sku), self.cache, namespace = "a", tag = "t"));
        let shown: Vec<String> = args.expressions().map(|expr| expr.to_token_stream().to_string()).collect();
        assert_eq!(shown, ["price_entry (sku)", ":: core :: format_args ! (\"t\")", "self . cache"]);
        assert_eq!(args.in_region().count(), 2);
    }
}
