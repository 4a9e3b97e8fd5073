//! A function-result cache.

#[cfg(feature = "macros")]
pub use cache_macros::cached;
pub use cache_core::site::{Entry, Region};

/// What the attribute's output may touch.
#[doc(hidden)]
pub use cache_core::rt as __private;
