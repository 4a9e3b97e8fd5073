//! Settings of a region, from code, files and the environment: merged, then checked as a whole.
//!
//! Code is overridden by files, and both by the environment. Each source is read into the same [`Settings`].

mod check;
mod configuration;
mod env;
mod layer;
pub mod parse;
mod settings;
#[cfg(feature = "toml")]
mod toml;
mod url;

pub(crate) use check::{Checked, On};
pub use configuration::Configuration;
pub use env::Environment;
pub(crate) use layer::{Layer, told};
pub use settings::{Settings, Ttl};
pub use url::BackendUrl;
