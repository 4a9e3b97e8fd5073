//! A function-result cache.

#[cfg(feature = "macros")]
pub use cache_macros::cached;

/// Tries the examples in the attribute's documentation.
#[cfg(all(doctest, feature = "macros"))]
#[doc = include_str!("../cache-macros/src/cached.md")]
mod examples_of_the_attribute {}

pub use cache_core::site::{Entry, Region};

/// What the attribute's output may touch.
#[doc(hidden)]
pub use cache_core::rt as __private;
