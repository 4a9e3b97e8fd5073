//! Settings from the environment: `CACHE_<REGION>` and `CACHE_<REGION>__<SETTING>`.
//!
//! Other programs use variables that begin with `CACHE_` too: one is only read when a region of its name is configured.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::{BackendUrl, Layer};
use crate::error::{Error, Kind, Result};

/// The variables that speak of regions, as they were at one moment.
///
/// `REGION` is the region's name in capitals, with each character other than `A` to `Z` and `0` to `9` as `_`.
///
/// | variable | value |
/// |---|---|
/// | `CACHE_<REGION>` | `off`, or one or two URLs of backends separated by blanks. They replace both tiers; which is near and which is far the backends know themselves. Empty is as if it were not there |
/// | `CACHE_<REGION>__<SETTING>` | the value of that one setting, as [`Settings::set`](super::Settings::set) takes it |
///
/// ```
/// use cache_core::config::{Environment, Settings};
/// use cache_core::registry::Registry;
/// use std::time::Duration;
///
/// let environment = Environment::new([("CACHE_LONG_TERM", "off")]);
/// let registry = Registry::builder().environment(environment).build();
/// // No backend is opened: the environment has switched the region off.
/// registry.configure("long_term", Settings::new().ttl(Duration::from_secs(60)).near("memory://"))?;
/// # Ok::<(), cache_core::error::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// By name, without [`PREFIX`].
    variables: BTreeMap<String, String>,
}

/// What the names of all variables begin with.
const PREFIX: &str = "CACHE_";
/// What stands between a region and a setting.
const OF: &str = "__";

impl Environment {
    /// Takes the variables that begin with `CACHE_` from pairs of names and values. The last of the same name holds.
    pub fn new<N: Into<OsString>, V: Into<OsString>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let ours = |(name, value): (N, V)| {
            let name = name.into().into_string().ok()?;
            // What is not Unicode is no setting, and is refused as one where it is read.
            Some((name.strip_prefix(PREFIX)?.to_owned(), value.into().to_string_lossy().into_owned()))
        };
        Environment { variables: variables.into_iter().filter_map(ours).collect() }
    }

    /// The variables of this process, now.
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    /// What the variables say of `region`, if any does.
    pub(crate) fn layer(&self, region: &str) -> Result<Option<Layer>> {
        let of_region = part(region);
        let start = format!("{of_region}{OF}");
        let whole = self.variables.get(&of_region).filter(|value| !value.trim().is_empty());
        let settings = self.variables.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
        // `A__B__TTL` is the `ttl` of a region `a__b`.
        let settings: Vec<_> = settings.filter(|(name, _)| !name[start.len()..].contains(OF)).collect();
        let names = whole.iter().map(|_| &of_region).chain(settings.iter().map(|(name, _)| *name));
        let names: Vec<String> = names.map(|name| format!("{PREFIX}{name}")).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let mut layer = Layer::new("variable", ("environment", names.join(", ")));
        for (name, value) in settings {
            let (key, name) = (name[start.len()..].to_ascii_lowercase(), format!("{PREFIX}{name}"));
            let of_variable = |error: Error| error.with("region", region).with("variable", name.clone());
            layer.set(&key, value, &name).map_err(of_variable)?;
        }
        if let Some(value) = whole {
            let name = format!("{PREFIX}{of_region}");
            say_where(&mut layer, &name, value)
                .map_err(|error| error.with("value", value).with("region", region).with("variable", name))?;
        }
        Ok(Some(layer))
    }

    /// The variables that look as if they spoke of a region, but of none of `regions`.
    pub(crate) fn unclaimed<'a>(&self, regions: impl Iterator<Item = &'a str>) -> Vec<String> {
        let regions: Vec<String> = regions.map(part).collect();
        let claims = |name: &str, region: &str| {
            name.strip_prefix(region).is_some_and(|rest| rest.is_empty() || rest.starts_with(OF))
        };
        let looks_so =
            |(name, value): &(&String, &String)| name.contains(OF) || value.trim() == "off" || value.contains("://");
        let unclaimed = self.variables.iter().filter(looks_so).map(|(name, _)| name);
        let unclaimed = unclaimed.filter(|name| !regions.iter().any(|region| claims(name, region)));
        unclaimed.map(|name| format!("{PREFIX}{name}")).collect()
    }
}

/// Reads the value of `CACHE_<REGION>`.
fn say_where(layer: &mut Layer, name: &str, value: &str) -> Result<()> {
    if value.trim() == "off" {
        layer.switch_off(name);
        return Ok(());
    }
    let backends: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
    if backends.len() > 2 || backends.iter().any(|url| BackendUrl::parse(url).is_err()) {
        let form = "`off`, or one or two URLs of backends separated by a blank, such as `memory://?capacity=64MiB`";
        return Err(Error::new(Kind::Config, format!("`{name}` takes {form}")));
    }
    if layer.names_a_tier() {
        let message = format!("`{name}` says both tiers: leave out `{name}__NEAR` and `{name}__FAR`, or put all there");
        return Err(Error::new(Kind::Config, message));
    }
    layer.move_to(backends, name);
    Ok(())
}

/// A region's name as it stands in the names of variables.
fn part(region: &str) -> String {
    region.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::super::Settings;
    use super::*;

    fn merged(variables: &[(&str, &str)], region: &str, code: Settings) -> Settings {
        match Environment::new(variables.iter().copied()).layer(region).unwrap() {
            Some(layer) => layer.over(code),
            None => code,
        }
    }

    fn refusal(name: &str, value: &str) -> String {
        let error = Environment::new([(name, value)]).layer("long_term").unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        error.to_string()
    }

    fn code() -> Settings {
        Settings::new().ttl(Duration::from_secs(60)).near("memory://").prefix("code:")
    }

    #[test]
    fn a_region_is_named_in_capitals_with_lines_for_the_rest() {
        let off = code().set("off", "true").unwrap();
        for region in ["long_term", "long-term", "LONG.term"] {
            assert_eq!(merged(&[("CACHE_LONG_TERM", " off ")], region, code()), off, "{region}");
        }
        for variable in ["CACHE_LONG", "LONG_TERM", "CACHE_LONG_TERMS", "CACHE_long_term", "XCACHE_LONG_TERM"] {
            assert_eq!(merged(&[(variable, "off")], "long_term", code()), code(), "{variable}");
        }
    }

    #[test]
    fn one_variable_sets_one_setting() {
        let variables = [
            ("CACHE_A__TTL", "2m"),
            ("CACHE_A__FAR", "memcached://a"),
            ("CACHE_AB__TTL", "3m"),
            ("CACHE_A__B__TTL", "4m"),
        ];
        let expected = code().ttl(Duration::from_secs(120)).far("memcached://a");
        assert_eq!(merged(&variables, "a", code()), expected);
        assert_eq!(merged(&variables, "a__b", code()), code().ttl(Duration::from_secs(240)));
        assert_eq!(merged(&[("CACHE_A__PREFIX", "")], "a", code()), code().prefix(""), "an empty value is a value");
    }

    #[test]
    fn urls_take_the_place_of_both_tiers_and_nothing_leaves_them() {
        let moved = merged(&[("CACHE_A", " x://1  y://2 ")], "a", code());
        assert_eq!((moved.near, moved.far, moved.backends), (None, None, vec!["x://1".to_owned(), "y://2".to_owned()]));
        assert_eq!(merged(&[("CACHE_A", " ")], "a", code()), code());
    }

    #[test]
    fn what_is_not_allowed_names_the_variable() {
        let form =
            "takes `off`, or one or two URLs of backends separated by a blank, such as `memory://?capacity=64MiB`";
        for value in ["on", "memory:// off", "a://1 b://2 c://3"] {
            assert_eq!(
                refusal("CACHE_LONG_TERM", value),
                format!(
                    "configuration: `CACHE_LONG_TERM` {form} (value: {value}, region: long_term, variable: CACHE_LONG_TERM)"
                )
            );
        }
        assert_eq!(
            refusal("CACHE_LONG_TERM__TLL", "1m"),
            "configuration: there is no setting `tll`; known are ttl, near, far, stale_while_revalidate, stale_if_error, \
             throttle, jitter, patience, lease, max_staleness, prefix, epoch, codec, keys, compress, max_value, off (key: tll, value: 1m, region: long_term, variable: \
             CACHE_LONG_TERM__TLL)"
        );
        let twice = Environment::new([("CACHE_A", "x://"), ("CACHE_A__NEAR", "y://")]).layer("a").unwrap_err();
        assert!(twice.message().contains("`CACHE_A__NEAR`"), "{twice}");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_unicode_is_refused_and_does_no_harm_elsewhere() {
        use std::os::unix::ffi::OsStringExt;
        let bad = || OsString::from_vec(vec![b'1', 0xff]);
        let variables = [(OsString::from("CACHE_A__TTL"), bad()), (bad(), bad())];
        let environment = Environment::new(variables);
        assert!(environment.layer("a").unwrap_err().to_string().contains("CACHE_A__TTL"));
        assert!(environment.layer("b").unwrap().is_none());
    }

    #[test]
    fn what_speaks_of_no_region_is_listed_if_it_looks_like_ours() {
        let environment = Environment::new([
            ("CACHE_LONGTERM", "off"),
            ("CACHE_LONG_TERM", "off"),
            ("CACHE_LONG_TERM__TTL", "1m"),
            ("CACHE_LONG_TERM_TTL", "1m"),
            ("CACHE_SHORT__TTL", "1m"),
            ("CACHE_OTHER", "x://"),
            ("CACHE_DIR", "/var/cache"),
        ]);
        let unclaimed = environment.unclaimed(["long_term", "dir"].into_iter());
        assert_eq!(unclaimed, ["CACHE_LONGTERM", "CACHE_OTHER", "CACHE_SHORT__TTL"]);
    }
}
