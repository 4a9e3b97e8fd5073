//! Settings of a region, as they come from code: checked as a whole when the region is configured.

mod parse;
mod settings;
mod url;

pub(crate) use settings::{Checked, On};
pub use settings::{Settings, Ttl};
pub use url::BackendUrl;
