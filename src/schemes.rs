//! Which backends a registry of this build can open.

use std::sync::{Arc, Once};

use cache_core::registry::Registry;

/// The program's registry, in which every backend of this build is known.
///
/// ```
/// use cache::{Settings, registry};
/// use std::time::Duration;
///
/// registry().configure("short_term", Settings::new().ttl(Duration::from_secs(30)).near("memory://?capacity=16MiB"))?;
/// # Ok::<(), cache::Error>(())
/// ```
pub fn registry() -> &'static Registry {
    static OPENED: Once = Once::new();
    let registry = Registry::global();
    OPENED.call_once(|| open_known_schemes(registry));
    registry
}

/// Lets `registry` open every backend of this build: `memory://` with the feature `memory`. A scheme that it knows
/// already stays as it is.
pub fn open_known_schemes(registry: &Registry) {
    #[cfg(feature = "memory")]
    {
        let _ = registry.register_scheme("memory", memory);
    }
    #[cfg(not(feature = "memory"))]
    let _ = (registry, Arc::<()>::default);
}

#[cfg(feature = "memory")]
fn memory(
    url: &cache_core::config::BackendUrl,
    _context: &cache_core::registry::OpenContext,
) -> cache_core::error::Result<cache_core::registry::Opened> {
    let backend = cache_memory::MemoryBackend::from_parameters(url.parameters())?;
    Ok(cache_core::registry::Opened::Near(Arc::new(backend)))
}
