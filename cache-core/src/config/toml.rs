//! Settings from a TOML file: tables `[regions.NAME]` with the settings by their names.
//!
//! Nothing in the file is overlooked: what is not a known setting of a region is an error, with its line.

use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeString, DeTable, DeValue};

use super::Layer;
use super::settings::KNOWN;
use crate::error::{Error, Kind, Result};

/// The regions of a file, in the order of its lines. Errors call it `name`.
pub(super) fn read(name: &str, text: &str) -> Result<Vec<(String, Layer)>> {
    let file = File { name, text };
    let table = DeTable::parse(text).map_err(|error| {
        let place = error.span().map_or_else(|| name.to_owned(), |span| file.place(&span));
        Error::new(Kind::Config, format!("the file is not TOML: {}", error.message())).with("file", place)
    })?;
    let mut regions = Vec::new();
    for (key, value) in in_order(table.get_ref()) {
        match (&**key.get_ref(), value.get_ref()) {
            ("regions", DeValue::Table(tables)) => {
                for (region, table) in in_order(tables) {
                    let name = region.get_ref();
                    let layer = file.region(region, table).map_err(|error| error.with("region", &**name))?;
                    regions.push((name.to_string(), layer));
                }
            }
            ("regions", _) => {
                let message = "`regions` is a table of regions: write `[regions.NAME]`";
                return Err(Error::new(Kind::Config, message).with("file", file.place(&key.span())));
            }
            (unknown, _) => {
                let message = format!("there is no `{unknown}` at the top of the file; known is `[regions.NAME]`");
                return Err(Error::new(Kind::Config, message).with("file", file.place(&key.span())));
            }
        }
    }
    Ok(regions)
}

/// A text with the name that errors call it.
#[derive(Clone, Copy)]
struct File<'a> {
    name: &'a str,
    text: &'a str,
}

type Entry<'t, 'i> = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>);

impl File<'_> {
    /// The name with the line in which `span` begins.
    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        format!("{}:{}", self.name, before.matches('\n').count() + 1)
    }

    /// What one region's value says.
    fn region(&self, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Result<Layer> {
        let place = self.place(&name.span());
        let mut layer = Layer::new("file", ("file", place.clone()));
        let table = match value.get_ref() {
            DeValue::Table(table) => table,
            DeValue::String(text) if text == "off" => {
                layer.switch_off(&place);
                return Ok(layer);
            }
            _ => {
                let message = "a region is a table of settings, or the text \"off\"";
                return Err(self.refused(message, None, value).with("file", place));
            }
        };
        for (key, value) in in_order(table) {
            let place = self.place(&key.span());
            let of_place = |error: Error| error.with("file", place.clone());
            let text = self.text_of(key.get_ref(), value).map_err(of_place)?;
            layer.set(key.get_ref(), &text, &place).map_err(of_place)?;
        }
        if layer.names_a_tier() {
            layer.replace_tiers();
        }
        Ok(layer)
    }

    /// The value as text that `Settings::set` takes, which judges it.
    fn text_of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<String> {
        let refused = |takes: &str| Err(self.refused(&format!("`{key}` takes {takes}"), Some(key), value));
        match (key, value.get_ref()) {
            (_, DeValue::String(text)) => Ok(text.to_string()),
            ("compress", DeValue::Table(table)) => self.compression(table),
            // Unknown keys are told as such, whatever their value.
            (key, _) if !KNOWN.contains(&key) => Ok(self.source(value).to_owned()),
            ("near" | "far" | "prefix" | "codec" | "keys", _) => refused("text in quotes"),
            ("compress", _) => refused("text in quotes, or `{ algorithm = .., level = .., min_len = .. }`"),
            (_, DeValue::Integer(number)) => Ok(match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.to_string(),
                Err(_) => number.as_str().to_owned(),
            }),
            (_, DeValue::Float(number)) => Ok(number.as_str().to_owned()),
            (_, DeValue::Boolean(truth)) => Ok(truth.to_string()),
            ("epoch", _) => refused("a whole number"),
            ("off", _) => refused("`true` or `false`"),
            (_, DeValue::Table(_) | DeValue::Array(_) | DeValue::Datetime(_)) => refused("one value, in quotes"),
        }
    }

    /// `{ algorithm = "zstd", level = 3, min_len = 1024 }` as `zstd?level=3&min_len=1024`.
    fn compression(&self, table: &DeTable<'_>) -> Result<String> {
        let mut algorithm = None;
        let mut parameters = Vec::new();
        for (key, value) in in_order(table) {
            let refused = |why: String| Err(self.refused(&why, Some(&format!("compress.{}", key.get_ref())), value));
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.as_str().to_owned(),
                _ => return refused(format!("`{}` of `compress` takes a number or text", key.get_ref())),
            };
            match &**key.get_ref() {
                "algorithm" => algorithm = Some(text),
                "level" | "min_len" => parameters.push(format!("{}={text}", key.get_ref())),
                unknown => {
                    return refused(format!("`compress` has no `{unknown}`; known are algorithm, level, min_len"));
                }
            }
        }
        let Some(algorithm) = algorithm else {
            let message = "`compress` needs its `algorithm`, such as `{ algorithm = \"zstd\", level = 3 }`";
            return Err(Error::new(Kind::Config, message).with("key", "compress"));
        };
        let mark = if parameters.is_empty() { "" } else { "?" };
        Ok(format!("{algorithm}{mark}{}", parameters.join("&")))
    }

    fn refused(&self, message: &str, key: Option<&str>, value: &Spanned<DeValue<'_>>) -> Error {
        let error = Error::new(Kind::Config, message);
        let error = key.into_iter().fold(error, |error, key| error.with("key", key));
        error.with("value", self.source(value))
    }

    /// The value as it is written, as far as its line goes.
    fn source(&self, value: &Spanned<DeValue<'_>>) -> &str {
        let written = self.text.get(value.span()).unwrap_or_default();
        written.lines().next().unwrap_or_default()
    }
}

/// A table's entries in the order of the text, so that the first mistake is told first.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<Entry<'t, 'i>> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::super::{Settings, Ttl};
    use super::*;

    fn one(text: &str) -> Settings {
        let mut regions = read("cache.toml", &format!("[regions.a]\n{text}")).unwrap();
        assert_eq!((regions.len(), regions[0].0.as_str()), (1, "a"));
        regions.remove(0).1.over(Settings::new())
    }

    fn refusal(text: &str) -> String {
        let error = read("cache.toml", text).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        error.to_string()
    }

    #[test]
    fn a_table_says_what_methods_say() {
        let text = "ttl = \"1h\"\nnear = \"memory://\"\nfar = \"memcached://a\"\njitter = 0.5\npatience = \"5s\"\n\
                    lease = \"20s\"\nmax_staleness = \"250ms\"\nprefix = \"staging:\"\nepoch = 1_000\n\
                    keys = \"readable\"\ncompress = \"none\"\nmax_value = 0x100000\noff = false";
        let methods = Settings::new()
            .ttl(Duration::from_secs(3600))
            .near("memory://")
            .far("memcached://a")
            .jitter(0.5)
            .patience(Duration::from_secs(5))
            .lease(Duration::from_secs(20))
            .max_staleness(Duration::from_millis(250))
            .prefix("staging:")
            .epoch(1000)
            .keys(crate::key::ReadableKeys)
            .compress(crate::record::Compression::None)
            .max_value(1 << 20);
        assert_eq!(one(text).settled(), methods);
        assert_eq!(
            one("max_value = \"1MiB\"\nepoch = \"7\"\njitter = \"5%\""),
            Settings::new().max_value(1 << 20).epoch(7).jitter(0.05)
        );
        assert_eq!(one("ttl = \"never\""), Settings::new().ttl(Ttl::Never));
        assert_eq!(one("off = true"), Settings::off());
        let off = read("cache.toml", "regions.a = \"off\"").unwrap().remove(0).1;
        assert_eq!(off.over(Settings::new()), Settings::off());
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn compression_is_a_name_or_a_table() {
        use crate::record::Compression;
        let own = "compress = { algorithm = \"zstd\", level = 9, min_len = \"4KiB\" }";
        assert_eq!(one(own), Settings::new().compress(Compression::Zstd { level: 9, min_len: 4096 }));
        let part = "[regions.a.compress]\nalgorithm = \"zstd\"\nmin_len = 10";
        assert_eq!(one(part), Settings::new().compress(Compression::Zstd { level: 3, min_len: 10 }));
        assert_eq!(one("compress = \"zstd\""), Settings::new().compress(Compression::default()));
        assert!(refusal("[regions.a]\ncompress = { algorithm = \"zstd\", level = 30 }").contains("1 to 22"));
        let unknown = refusal("[regions.a]\ncompress = { algorithm = \"zstd\", window = 3 }");
        assert!(unknown.contains("algorithm, level, min_len") && unknown.contains("cache.toml:2"), "{unknown}");
        assert!(refusal("[regions.a]\ncompress = { level = 3 }").contains("needs its `algorithm`"));
    }

    #[test]
    fn what_is_refused_is_told_in_full() {
        assert_eq!(
            refusal("[regions.a]\nttl = \"1m\"\n\n[regions.b]\n# a comment\nttl = 30\n"),
            "configuration: `ttl` takes a duration with its unit, such as `30s`, `10m` or `250ms` (time unit needed, for \
             example 30sec or 30ms), or `never` (key: ttl, value: 30, file: cache.toml:6, region: b)"
        );
        assert_eq!(
            refusal("[regions.a]\nnear = 5"),
            "configuration: `near` takes text in quotes (key: near, value: 5, file: cache.toml:2, region: a)"
        );
        assert_eq!(
            refusal("[region.a]\nttl = \"1m\""),
            "configuration: there is no `region` at the top of the file; known is `[regions.NAME]` (file: cache.toml:1)"
        );
        assert_eq!(
            refusal("[regions.a]\ntll = [1]"),
            "configuration: there is no setting `tll`; known are ttl, near, far, stale_while_revalidate, \
             stale_if_error, throttle, jitter, patience, lease, max_staleness, prefix, epoch, codec, keys, compress, max_value, off (key: tll, value: [1], file: cache.toml:2, region: a)"
        );
        assert_eq!(
            refusal("\n[regions]\na = 5"),
            "configuration: a region is a table of settings, or the text \"off\" (value: 5, file: cache.toml:3, region: a)"
        );
    }

    #[test]
    fn every_other_mistake_has_its_line_too() {
        for (text, line, told) in [
            ("[regions.a]\nttl = ", 2, "not TOML"),
            ("[regions.a]\nttl = '1m'\nttl = '2m'", 3, "not TOML"),
            ("regions = 5", 1, "`[regions.NAME]`"),
            ("[regions.a]\nttl = 2020-01-01", 2, "one value"),
            ("[regions.a]\nttl = true", 2, "`never`"),
            ("[regions.a]\nepoch = 1.5", 2, "whole number"),
            ("[regions.a]\nepoch = []", 2, "whole number"),
            ("[regions.a]\njitter = 2", 2, "from 0 to 1"),
            ("[regions.a]\njitter = nan", 2, "from 0 to 1"),
            ("[regions.a]\nmax_value = -1", 2, "64MiB"),
            ("[regions.a]\noff = 'yes'", 2, "`true` or `false`"),
            ("[regions.a]\nkeys = 'md5'", 2, "`readable`"),
            ("[regions.a]\ncodec = 'xml'", 2, "xml"),
            ("[regions.a]\ncompress = 3", 2, "algorithm"),
            ("[regions.a]\nttl = 'x'\n[regions.a.near]\nurl = 'x'", 2, "`never`"),
            ("[regions.a]\nttl = '1m'\n[regions.a.near]\nurl = 'x'", 3, "text in quotes"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(told) && refusal.contains(&format!("file: cache.toml:{line}")), "{refusal}");
        }
    }

    #[test]
    fn a_file_without_regions_says_nothing() {
        assert!(read("cache.toml", "").unwrap().is_empty());
        assert!(read("cache.toml", "# none\n[regions]\n").unwrap().is_empty());
    }

    #[test]
    fn a_table_that_names_a_tier_says_where_the_region_is() {
        let code = Settings::new().near("memory://").ttl(Duration::from_secs(60));
        let far = read("f", "[regions.a]\nfar = 'x://'").unwrap().remove(0).1;
        assert_eq!(far.over(code), Settings::new().far("x://").ttl(Duration::from_secs(60)));
    }
}
