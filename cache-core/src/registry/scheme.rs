//! Schemes: who opens a backend for a URL.

use std::fmt;
use std::sync::Arc;

use crate::backend::{AsyncBytesBackend, BytesBackend, ObjectBackend};
use crate::clock::Clock;
use crate::config::BackendUrl;
use crate::error::Result;

/// Opens backends for the URLs of one scheme. A closure of the same shape is one.
pub trait Scheme: Send + Sync {
    /// Opens the backend of `url`. Nothing needs to be reachable yet: a server that is down now may be up at the first call.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`](crate::error::Kind::Config), naming the parameter and the value, with what is allowed.
    fn open(&self, url: &BackendUrl, context: &OpenContext) -> Result<Opened>;
}

impl<F: Fn(&BackendUrl, &OpenContext) -> Result<Opened> + Send + Sync> Scheme for F {
    fn open(&self, url: &BackendUrl, context: &OpenContext) -> Result<Opened> {
        self(url, context)
    }
}

/// What a backend is opened for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenContext {
    /// The clock that it must take its instants from.
    pub clock: Clock,
    /// The region's name, for its messages.
    pub region: String,
}

impl OpenContext {
    /// For the region `region`, by `clock`.
    pub fn new(region: impl Into<String>, clock: Clock) -> Self {
        OpenContext { clock, region: region.into() }
    }
}

/// A backend that was opened.
#[derive(Clone)]
pub enum Opened {
    /// For a near tier.
    Near(Arc<dyn ObjectBackend>),
    /// For a far tier. At least one face; a call that needs the other goes straight through.
    Far {
        /// The face for blocking callers.
        blocking: Option<Arc<dyn BytesBackend>>,
        /// The face for tasks.
        tasks: Option<Arc<dyn AsyncBytesBackend>>,
    },
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opened::Near(backend) => f.debug_tuple("Near").field(backend).finish(),
            Opened::Far { blocking, tasks } => {
                f.debug_struct("Far").field("blocking", blocking).field("tasks", tasks).finish()
            }
        }
    }
}
