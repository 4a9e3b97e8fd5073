//! Where a function differs from the policy of its region: durations and shares, written out or constant.

use std::time::Duration;

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Expr, Lit};

use crate::errors::Errors;
use crate::given::{Given, string, twice};

/// The words of a policy: the fields of `OwnPolicy`.
pub(crate) const POLICY: [&str; 8] =
    ["ttl", "stale_while_revalidate", "stale_if_error", "throttle", "jitter", "patience", "lease", "max_staleness"];

/// memcached counts whole seconds: nothing shorter can be relied on.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// What one word of the policy is set to.
pub(crate) enum Amount {
    /// A duration that is written out.
    Time(Duration),
    /// A share that is written out.
    Share(f64),
    /// An expression: constant, but for `max_staleness`, which is asked at each call.
    Expr(Expr),
}

/// The words that were given.
#[derive(Default)]
pub(crate) struct PolicyArgs(Vec<Given<Amount>>);

impl PolicyArgs {
    /// Takes the value of one word.
    pub(crate) fn read(&mut self, word: syn::Ident, input: ParseStream<'_>) -> syn::Result<()> {
        let value = if word == "jitter" { share(input)? } else { time(&word, input)? };
        if self.0.iter().any(|given| given.word == word) {
            return Err(twice(&word));
        }
        self.0.push(Given { word, value });
        Ok(())
    }

    /// Tells words that cannot stand together.
    pub(crate) fn check(&self, errors: &mut Errors) {
        let (Some(ttl), Some(staleness)) = (self.time("ttl"), self.time("max_staleness")) else { return };
        if staleness > ttl
            && let Some(given) = self.given("max_staleness")
        {
            let shown = humantime::format_duration;
            let (staleness, ttl) = (shown(staleness), shown(ttl));
            errors.at(&given.word, format!("`max_staleness`, {staleness}, must not exceed `ttl`, which is {ttl}"));
        }
    }

    /// What is asked anew at each call, if anything is.
    pub(crate) fn max_staleness(&self) -> Option<(&syn::Ident, &Expr)> {
        match self.given("max_staleness") {
            Some(Given { word, value: Amount::Expr(expr) }) => Some((word, expr)),
            _ => None,
        }
    }

    /// The constant that the function's `static` holds.
    pub(crate) fn constant(&self, krate: &syn::Path) -> TokenStream {
        let option = quote!(::core::option::Option::Some);
        let constant = |given: &&Given<Amount>| given.word != "max_staleness" || self.max_staleness().is_none();
        let fields = self.0.iter().filter(constant).map(|Given { word, value }| match value {
            Amount::Time(time) => {
                let seconds = Literal::u64_unsuffixed(time.as_secs());
                let nanos = Literal::u32_unsuffixed(time.subsec_nanos());
                quote!(#word: #option(::core::time::Duration::new(#seconds, #nanos)))
            }
            Amount::Share(share) => {
                let share = Literal::f64_unsuffixed(*share);
                quote!(#word: #option(#share))
            }
            // What is wrong with its type is told there.
            Amount::Expr(expr) => quote_spanned!(expr.span()=> #word: ::core::option::Option::Some(#expr)),
        });
        let fields: Vec<TokenStream> = fields.collect();
        let none = quote!(#krate::__private::OwnPolicy::NONE);
        if fields.is_empty() { none } else { quote!(#krate::__private::OwnPolicy { #(#fields,)* ..#none }) }
    }

    fn given(&self, word: &str) -> Option<&Given<Amount>> {
        self.0.iter().find(|given| given.word == word)
    }

    fn time(&self, word: &str) -> Option<Duration> {
        match self.given(word)?.value {
            Amount::Time(time) => Some(time),
            Amount::Share(_) | Amount::Expr(_) => None,
        }
    }
}

fn time(word: &syn::Ident, input: ParseStream<'_>) -> syn::Result<Amount> {
    const ALLOWED: &str = "write a number and a unit, such as \"90s\", \"10m\", \"1h 30m\", \"7days\"";
    let value: Expr = input.parse()?;
    let called = if word == "ttl" { "a time to live".to_owned() } else { format!("`{word}`") };
    let Some(text) = string(&value) else {
        return match value {
            Expr::Lit(_) => Err(syn::Error::new_spanned(&value, format!("{called} has a unit: {ALLOWED}"))),
            value => Ok(Amount::Expr(value)),
        };
    };
    let refused = |message: String| Err(syn::Error::new(text.span(), message));
    match humantime::parse_duration(&text.value()) {
        Ok(Duration::ZERO) if word == "ttl" => {
            refused("nothing is kept for no time at all: a time to live is above 0".to_owned())
        }
        Ok(Duration::ZERO) if word == "patience" => {
            refused("nobody would ever wait for another's load: `patience` is above 0".to_owned())
        }
        Ok(time) if word == "lease" && time < SHORTEST_LEASE => {
            refused(format!("`lease` is at least 2s, and this is {}: memcached counts whole seconds", text.value()))
        }
        Ok(time) => Ok(Amount::Time(time)),
        Err(_) if word == "ttl" => refused(format!("this is not a time to live: {ALLOWED}")),
        Err(_) => refused(format!("this is not a duration: {ALLOWED}")),
    }
}

fn share(input: ParseStream<'_>) -> syn::Result<Amount> {
    const ALLOWED: &str = "`jitter` is a share from 0 to 1: \"10%\" or 0.1";
    let value: Expr = input.parse()?;
    let number = match (&value, string(&value)) {
        (_, Some(text)) => percent(&text.value()),
        (Expr::Lit(literal), None) => match &literal.lit {
            Lit::Float(number) => number.base10_parse().ok(),
            Lit::Int(number) => number.base10_parse().ok(),
            _ => None,
        },
        (_, None) => return Ok(Amount::Expr(value)),
    };
    match number.filter(|share: &f64| (0.0..=1.0).contains(share)) {
        Some(share) => Ok(Amount::Share(share)),
        None => Err(syn::Error::new_spanned(&value, ALLOWED)),
    }
}

fn percent(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.strip_suffix('%') {
        Some(number) => number.trim().parse::<f64>().ok().map(|percent| percent / 100.0),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::args::Args;

    fn read(tokens: TokenStream) -> String {
        let mut errors = Errors::default();
        let args = Args::parse(tokens, &mut errors);
        args.policy.check(&mut errors);
        assert!(errors.is_empty(), "{:?}", errors.messages());
        args.policy.constant(&syn::parse_quote!(c)).to_string().replace([' ', '\n'], "")
    }

    fn refused(tokens: TokenStream) -> Vec<String> {
        let mut errors = Errors::default();
        Args::parse(tokens, &mut errors).policy.check(&mut errors);
        errors.messages()
    }

    #[test]
    fn each_word_is_a_field_and_what_is_not_said_is_the_regions() {
        assert_eq!(read(quote!(R, "n")), "c::__private::OwnPolicy::NONE");
        for word in POLICY {
            let name = syn::Ident::new(word, proc_macro2::Span::call_site());
            let written = if word == "jitter" { quote!("10%") } else { quote!("2s") };
            let field = if word == "jitter" { "0.1" } else { "::core::time::Duration::new(2,0)" };
            assert_eq!(
                read(quote!(R, "n", #name = #written)),
                format!(
                    "c::__private::OwnPolicy{{{word}:::core::option::Option::Some({field}),..c::__private::OwnPolicy::NONE}}"
                )
            );
        }
        assert!(read(quote!(R, "n", lease = LEASE)).contains("lease:::core::option::Option::Some(LEASE)"));
        assert!(read(quote!(R, "n", jitter = 0.25)).contains("Some(0.25)"));
    }

    #[test]
    fn an_expression_for_max_staleness_is_asked_at_each_call() {
        let args = Args::parse(quote!(R, "n", max_staleness = bound(strict)), &mut Errors::default());
        assert_eq!(args.policy.max_staleness().map(|(word, _)| word.to_string()).as_deref(), Some("max_staleness"));
        assert_eq!(read(quote!(R, "n", max_staleness = bound(strict))), "c::__private::OwnPolicy::NONE");
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_is_allowed() {
        for (tokens, message) in [
            (quote!(ttl = "ten minutes"), "this is not a time to live"),
            (quote!(ttl = ""), "this is not a time to live"),
            (quote!(ttl = 600), "a time to live has a unit"),
            (quote!(ttl = "0s"), "above 0"),
            (quote!(stale_if_error = 5), "`stale_if_error` has a unit"),
            (quote!(stale_if_error = "long"), "this is not a duration"),
            (quote!(patience = "0s"), "`patience` is above 0"),
            (quote!(lease = "1s"), "`lease` is at least 2s, and this is 1s"),
            (quote!(jitter = "200%"), "`jitter` is a share from 0 to 1"),
            (quote!(jitter = 2), "`jitter` is a share from 0 to 1"),
            (quote!(ttl = "5s", max_staleness = "6s"), "`max_staleness`, 6s, must not exceed `ttl`, which is 5s"),
            (quote!(ttl = "5s", ttl = "6s"), "`ttl` is given twice"),
        ] {
            let messages = refused(tokens);
            assert_eq!(messages.len(), 1);
            assert!(messages[0].contains(message), "{messages:?}");
        }
    }
}
