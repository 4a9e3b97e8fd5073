//! What can go wrong where a caller is told: configuration, the direct API, codecs.
//!
//! A cached function never returns this type: it keeps its own. Trouble of the cache itself is observed
//! (see [`observe`](crate::observe)) and the function's own result is returned.

use std::error::Error as StdError;
use std::fmt;

/// The result of an operation on a region.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble an [`Error`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A setting is missing, unknown, or has a value that is not allowed.
    Config,
    /// The region has not been configured in this registry.
    Unconfigured,
    /// The arguments cannot be written as a key.
    Key,
    /// The arguments have another number or kind than the cached function of that namespace takes.
    Arguments,
    /// The backend could not be reached, or answered that it failed.
    Backend,
    /// The backend was asked, and not all of its answer came: it may have done what it was asked, or may do it yet.
    Unanswered,
    /// A value could not be encoded or decoded.
    Codec,
    /// The operation needs the blocking (or the async) face of a backend that has only the other one.
    MissingFace,
    /// The invalidation has not reached its node yet; it is queued and will be repeated.
    Pending,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Config => "configuration",
            Kind::Unconfigured => "region not configured",
            Kind::Key => "key",
            Kind::Arguments => "arguments",
            Kind::Backend => "backend",
            Kind::Unanswered => "no answer",
            Kind::Codec => "codec",
            Kind::MissingFace => "missing face",
            Kind::Pending => "pending",
        })
    }
}

/// What happened, to which region, key and node, and what to do about it.
pub struct Error {
    // Boxed, so that a `Result` of an operation stays as small as its value.
    parts: Box<Parts>,
}

struct Parts {
    kind: Kind,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind that says `message`: what happened, and what to do.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Error { parts: Box::new(Parts { kind, message, context: Vec::new(), source: None }) }
    }

    /// The same error, with one more fact: `("region", "long_term")`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parts.context.push((name, value.into()));
        self
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.parts.source = Some(source.into());
        self
    }

    /// The same trouble, told once more; its cause is told in words.
    pub(crate) fn again(&self) -> Self {
        let Parts { kind, message, context, source } = &*self.parts;
        let source = source.as_ref().map(|source| source.to_string().into());
        Error { parts: Box::new(Parts { kind: *kind, message: message.clone(), context: context.clone(), source }) }
    }

    /// What kind of trouble this is.
    pub fn kind(&self) -> Kind {
        self.parts.kind
    }

    /// What happened, without the context.
    pub fn message(&self) -> &str {
        &self.parts.message
    }

    /// The facts that were added with [`with`](Error::with), oldest first.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.parts.context.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Whether the same call may succeed later without a change to the program or its configuration.
    pub fn may_retry(&self) -> bool {
        matches!(self.parts.kind, Kind::Backend | Kind::Unanswered | Kind::Pending)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.parts.kind, self.parts.message)?;
        for (i, (name, value)) in self.parts.context.iter().enumerate() {
            f.write_str(if i == 0 { " (" } else { ", " })?;
            write!(f, "{name}: {value}")?;
        }
        if !self.parts.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match &self.parts.source {
            Some(source) => write!(f, ": {source:?}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.parts.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_one_sentence_with_its_facts() {
        let error = Error::new(Kind::Config, "`ttl` must be above 0").with("region", "users").with("value", "0s");
        assert_eq!(error.to_string(), "configuration: `ttl` must be above 0 (region: users, value: 0s)");
        assert_eq!(error.context().count(), 2);
    }

    #[test]
    fn only_trouble_that_passes_may_be_retried() {
        assert!(Error::new(Kind::Backend, "timed out").may_retry());
        assert!(Error::new(Kind::Pending, "queued").may_retry());
        for kind in [Kind::Config, Kind::Unconfigured, Kind::Key, Kind::Arguments, Kind::Codec, Kind::MissingFace] {
            assert!(!Error::new(kind, "x").may_retry(), "{kind}");
        }
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
