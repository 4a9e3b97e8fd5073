//! A cached function, as the attribute knows it: one `static` beside each.

use std::sync::{Arc, OnceLock};

use crate::key::{KeyBuffer, KeyWriter};
use crate::policy::OwnPolicy;
use crate::region::StateRef;
use crate::state::{NamespaceState, RegionState, SiteAddress};

/// What the attribute knows of a cached function.
#[derive(Debug)]
pub struct SiteSpec {
    /// Its path, for messages.
    pub function: &'static str,
    /// The namespace of its results.
    pub namespace: &'static str,
    /// The names of the arguments in its key, in order.
    pub arguments: &'static [&'static str],
    /// Its `version`.
    pub version: u16,
    /// Where it differs from the region's policy.
    pub policy: OwnPolicy,
}

/// A cached function, and where its results were found to be kept.
#[derive(Debug)]
pub struct Site {
    spec: SiteSpec,
    bound: OnceLock<(Arc<RegionState>, Arc<NamespaceState>)>,
}

impl Site {
    /// The site of a function.
    pub const fn new(spec: SiteSpec) -> Self {
        Site { spec, bound: OnceLock::new() }
    }

    /// Starts the key of a call. The attribute's output begins it by itself, with a namespace that the compiler knows.
    pub fn begin<'b>(&self, buffer: &'b mut KeyBuffer) -> KeyWriter<'b> {
        buffer.begin(self.spec.namespace, self.spec.arguments.len())
    }

    pub(crate) fn spec(&self) -> &SiteSpec {
        &self.spec
    }

    /// What tells it from every other.
    pub(crate) fn address(&self) -> SiteAddress {
        SiteAddress(std::ptr::from_ref(self).addr())
    }

    /// The namespace in the region, if it was found before.
    #[inline]
    pub(crate) fn remembered(&self, state: &Arc<RegionState>) -> Option<&Arc<NamespaceState>> {
        self.bound.get().filter(|(bound, _)| Arc::ptr_eq(bound, state)).map(|(_, namespace)| namespace)
    }

    /// The namespace in the region that was found. The first region that a region handle remembers is remembered here.
    pub(crate) fn namespace(&self, state: &StateRef<'_>) -> Arc<NamespaceState> {
        if let Some(namespace) = self.remembered(state.as_arc()) {
            return namespace.clone();
        }
        let namespace = state.as_arc().namespace(self.spec.namespace);
        if let StateRef::Remembered(state) = state {
            let _ = self.bound.set((Arc::clone(state), namespace.clone()));
        }
        namespace
    }
}
