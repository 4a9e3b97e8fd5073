//! The URL of a backend: a scheme, where it is, and its parameters.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::error::{Error, Kind};

/// `scheme://where/path?key=value&..`. What stands between `//` and `?` is the scheme's to read: several addresses, a
/// path, nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendUrl {
    text: String,
    scheme: String,
    place: String,
    parameters: Vec<(String, String)>,
}

impl BackendUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if it has no `://`, an empty scheme, a parameter without `=` or twice, or a bad percent escape.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            let form = "a backend is written `scheme://place?key=value&key=value`, such as `memory://?capacity=64MiB`";
            Error::new(Kind::Config, format!("{why}; {form}")).with("url", text)
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("there is no `://` in the URL"))?;
        if scheme.is_empty() || scheme.contains(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)) {
            return Err(bad(
                "the URL's scheme is empty or has characters other than letters, digits, `+`, `-` and `.`",
            ));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let decode = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
            decoded.map_err(|_| bad("a percent escape in the URL is not UTF-8"))
        };
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| bad(&format!("the parameter `{pair}` has no `=`")))?;
            let (key, value) = (decode(key)?, decode(value)?);
            if parameters.iter().any(|(known, _)| *known == key) {
                return Err(bad(&format!("the parameter `{key}` stands twice")));
            }
            parameters.push((key, value));
        }
        Ok(BackendUrl { text: text.to_owned(), scheme: scheme.to_ascii_lowercase(), place: decode(place)?, parameters })
    }

    /// What stands before `://`, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between `://` and `?`, decoded.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The parameters in their order, decoded.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url =
            BackendUrl::parse("Memcached+unix://10.0.0.1:11211,b%20c?pool_size=8&name=a%26b").expect("a good URL");
        assert_eq!((url.scheme(), url.place()), ("memcached+unix", "10.0.0.1:11211,b c"));
        assert_eq!(url.parameters().collect::<Vec<_>>(), [("pool_size", "8"), ("name", "a&b")]);
        let bare = BackendUrl::parse("memory://").expect("a good URL");
        assert_eq!((bare.place(), bare.parameters().count()), ("", 0));
        assert_eq!(bare.to_string(), "memory://");
    }

    #[test]
    fn a_bad_url_is_told_with_what_is_allowed() {
        for (text, why) in [
            ("memory", "no `://`"),
            ("://x", "scheme is empty"),
            ("me mory://", "scheme is empty or has"),
            ("memory://?capacity", "`capacity` has no `=`"),
            ("memory://?a=1&a=2", "`a` stands twice"),
            ("memory://%ff", "not UTF-8"),
        ] {
            let error = BackendUrl::parse(text).expect_err(text);
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.to_string().contains(&format!("url: {text}")), "{error}");
        }
    }
}
