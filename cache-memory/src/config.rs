//! Settings: how much a memory backend may hold, from code or from the parameters of a URL.
//!
//! Invariant: a backend is bounded. There is no setting for "as much as comes".

use std::fmt;

use bytesize::ByteSize;
use cache_core::error::{Error, Kind, Result};

use crate::memory::MemoryBackend;
use crate::weigh::Capacity;

/// The capacity unless one is set, in bytes: 64 MiB.
pub const DEFAULT_CAPACITY: u64 = 64 << 20;

const SCHEME: &str = "memory";
const CAPACITY: &str = "capacity";
const ENTRIES: &str = "entries";
const ALLOWED: &str = "`capacity` (bytes, such as 64MiB) or `entries` (a number), one of them, above 0";

/// Makes a [`MemoryBackend`]: bounded in bytes (64 MiB unless set) or in entries.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct MemoryBackendBuilder {
    bytes: Option<u64>,
    entries: Option<u64>,
}

impl MemoryBackendBuilder {
    /// Bounds the backend to so many bytes: values as they were weighed, keys, and
    /// [`ENTRY_OVERHEAD`](crate::ENTRY_OVERHEAD) per entry. Default [`DEFAULT_CAPACITY`].
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Bounds the backend to so many entries, whatever they weigh. By default it is bounded in bytes.
    pub fn entries(mut self, entries: u64) -> Self {
        self.entries = Some(entries);
        self
    }

    /// The backend, empty.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if the bound is 0, or both bounds are set.
    pub fn build(self) -> Result<MemoryBackend> {
        match (self.bytes, self.entries) {
            (Some(bytes), Some(entries)) => Err(refused("both bounds are set", CAPACITY, ByteSize(bytes))
                .with("key", ENTRIES)
                .with("value", entries.to_string())),
            (Some(0), None) => Err(refused("a backend of no capacity holds nothing", CAPACITY, 0)),
            (None, Some(0)) => Err(refused("a backend of no capacity holds nothing", ENTRIES, 0)),
            (None, Some(entries)) => Ok(MemoryBackend::with_capacity(Capacity::Entries(entries))),
            (bytes, None) => Ok(MemoryBackend::with_capacity(Capacity::Bytes(bytes.unwrap_or(DEFAULT_CAPACITY)))),
        }
    }
}

impl MemoryBackend {
    /// A backend with other settings than the default ones.
    pub fn builder() -> MemoryBackendBuilder {
        MemoryBackendBuilder::default()
    }

    /// The backend of `memory://?…` with these parameters: `capacity` (bytes, with a unit such as `64MiB` or without;
    /// default 64 MiB) or `entries` (a number).
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if a parameter is unknown, given twice, not a size or number, 0, or if both are given. The
    /// error names the parameter, its value and what is allowed.
    pub fn from_parameters<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut builder = Self::builder();
        for (name, value) in parameters {
            let setting = match name {
                CAPACITY => builder.bytes.replace(bytes(value)?),
                ENTRIES => builder.entries.replace(entries(value)?),
                _ => return Err(refused("unknown parameter", name, value)),
            };
            if setting.is_some() {
                return Err(refused("the parameter is given twice", name, value));
            }
        }
        builder.build()
    }
}

fn bytes(value: &str) -> Result<u64> {
    match value.parse() {
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(_) => Err(refused("not a size in bytes", CAPACITY, value)),
    }
}

fn entries(value: &str) -> Result<u64> {
    value
        .parse()
        .map_err(|error: std::num::ParseIntError| refused("not a number of entries", ENTRIES, value).caused_by(error))
}

fn refused(message: &str, name: &str, value: impl fmt::Display) -> Error {
    Error::new(Kind::Config, message)
        .with("scheme", SCHEME)
        .with("key", name)
        .with("value", value.to_string())
        .with("allowed", ALLOWED)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cache_core::backend::ObjectBackend;

    use super::*;

    fn capacity(parameters: &[(&str, &str)]) -> (u64, bool) {
        let backend = MemoryBackend::from_parameters(parameters.iter().copied()).unwrap();
        (backend.stats().capacity, backend.weighs())
    }

    #[test]
    fn sizes_have_units_and_a_default() {
        assert_eq!(capacity(&[]), (64 << 20, true));
        assert_eq!(capacity(&[("capacity", "256MiB")]), (256 << 20, true));
        assert_eq!(capacity(&[("capacity", "1 kB")]), (1000, true));
        assert_eq!(capacity(&[("capacity", "12345")]), (12345, true));
        assert_eq!(capacity(&[("entries", "10000")]), (10000, false));
    }

    /// Parameters, and the name and value that the error must tell.
    type Refused<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

    #[test]
    fn what_is_refused_is_named_with_what_is_allowed() {
        let refused: [Refused<'_>; 9] = [
            (&[("capacity", "0")], "capacity", "0"),
            (&[("entries", "0")], "entries", "0"),
            (&[("capacity", "much")], "capacity", "much"),
            (&[("capacity", "-1MiB")], "capacity", "-1MiB"),
            (&[("entries", "10k")], "entries", "10k"),
            (&[("entries", "-1")], "entries", "-1"),
            (&[("capacity", "1MiB"), ("entries", "7")], "entries", "7"),
            (&[("entries", "6"), ("entries", "7")], "entries", "7"),
            (&[("size", "1MiB")], "size", "1MiB"),
        ];
        for (parameters, name, value) in refused {
            let error = MemoryBackend::from_parameters(parameters.iter().copied()).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{parameters:?}");
            let facts: Vec<_> = error.context().collect();
            assert!(facts.contains(&("key", name)), "{error}");
            assert!(facts.contains(&("value", value)), "{error}");
            assert!(facts.contains(&("allowed", ALLOWED)), "{error}");
        }
    }

    #[test]
    fn a_builder_refuses_what_a_url_does() {
        assert_eq!(MemoryBackend::builder().build().unwrap().stats().capacity, DEFAULT_CAPACITY);
        assert!(MemoryBackend::builder().capacity_bytes(0).build().is_err());
        assert!(MemoryBackend::builder().entries(0).build().is_err());
        assert!(MemoryBackend::builder().entries(1).capacity_bytes(1).build().is_err());
    }
}
