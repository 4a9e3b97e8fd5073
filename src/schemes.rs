//! The program's registry: which backends it can open, and that it listens to the environment.

use std::sync::Once;

use cache_core::config::{BackendUrl, Environment};
use cache_core::error::Result;
use cache_core::registry::{OpenContext, Opened, Registry};

/// The program's registry, in which every backend of this build is known and the environment is listened to.
///
/// The variables of the process are read once, when this is first called: `CACHE_<REGION>` and
/// `CACHE_<REGION>__<SETTING>` override what code and files say ([`Environment`]). A registry that was made the program's
/// own with an environment of its own, be it an empty one, keeps that; so does one in which regions were configured before
/// this was first called.
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
    OPENED.call_once(|| {
        open_known_schemes(registry);
        // Refused if it has an environment, which then is what its maker wants, or if it is too late.
        let _ = registry.take_environment(Environment::of_process());
    });
    registry
}

/// Lets `registry` open every backend of this build: `memory://` with the feature `memory`, `memcached://` and
/// `memcached+unix://` with the feature `memcached`. A scheme that it knows
/// already stays as it is.
pub fn open_known_schemes(registry: &Registry) {
    let known = registry.schemes();
    for (scheme, open) in BUILT_IN.iter().filter(|(scheme, _)| !known.iter().any(|known| known == scheme)) {
        // Refused only if another thread registered it just now: then that one stays.
        let _ = registry.register_scheme(scheme, *open);
    }
}

type Open = fn(&BackendUrl, &OpenContext) -> Result<Opened>;

const BUILT_IN: &[(&str, Open)] = &[
    #[cfg(feature = "memory")]
    ("memory", open_memory),
    #[cfg(feature = "memcached")]
    ("memcached", open_memcached),
    #[cfg(feature = "memcached")]
    ("memcached+unix", open_memcached),
];

#[cfg(feature = "memory")]
fn open_memory(url: &BackendUrl, _context: &OpenContext) -> Result<Opened> {
    use cache_core::error::{Error, Kind};
    if !url.place().is_empty() {
        let message = "`memory://` is nowhere in particular: what stands before `?` must be empty";
        return Err(Error::new(Kind::Config, message).with("place", url.place()));
    }
    let backend = cache_memory::MemoryBackend::from_parameters(url.parameters())?;
    Ok(Opened::Near(std::sync::Arc::new(backend)))
}

#[cfg(feature = "memcached")]
fn open_memcached(url: &BackendUrl, context: &OpenContext) -> Result<Opened> {
    use cache_memcached::{Config, Memcached};
    let backend = std::sync::Arc::new(Memcached::new(Config::from_url(url)?, context.clock.clone())?);
    Ok(Opened::Far {
        blocking: Some(backend.clone()),
        #[cfg(feature = "tokio")]
        tasks: Some(backend),
        #[cfg(not(feature = "tokio"))]
        tasks: None,
    })
}
