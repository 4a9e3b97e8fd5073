//! One key of one namespace of a configured region: what every operation works on.

use std::sync::Arc;

use serde::Serialize;

use crate::backend::{Invalidated, Strength};
use crate::drive::Access;
use crate::error::{Error, Kind, Result};
use crate::key::{FarKey, Key, KeyWriter};
use crate::observe::Count;
use crate::state::{NamespaceState, RegionState, Strictness};

use super::{EntryTerms, Region};

/// Where an operation works.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) state: Arc<RegionState>,
    pub(crate) namespace: Arc<NamespaceState>,
    pub(crate) key: Key,
}

impl Bound {
    /// The entry that a call with `arguments` makes in `namespace`; `None` in a region that is switched off.
    ///
    /// # Errors
    ///
    /// [`Kind::Unconfigured`], [`Kind::Key`], and in a strict registry [`Kind::Arguments`].
    pub(crate) fn by_name<A: Serialize + ?Sized>(
        region: &Region,
        namespace: &str,
        arguments: &A,
    ) -> Result<Option<Self>> {
        let Some(state) = region.configured()? else { return Ok(None) };
        let key = KeyWriter::key_of(namespace, arguments).map_err(|error| {
            let error = Error::new(Kind::Key, error.to_string());
            error.with("region", region.name()).with("namespace", namespace)
        })?;
        let namespace = state.namespace(namespace);
        let bound = Bound { state, namespace, key };
        bound.check_shape()?;
        Ok(Some(bound))
    }

    /// What cannot reach the entry of any function that keeps its results here is told.
    fn check_shape(&self) -> Result<()> {
        let sites = self.namespace.sites();
        let arguments = self.key.as_ref().arguments();
        if sites.is_empty() || sites.iter().any(|site| site.shape.admits(arguments)) {
            return Ok(());
        }
        let (name, given) = (self.namespace.name(), arguments.shape());
        let takes: Vec<String> = sites.iter().map(|site| format!("`{}` takes {}", site.function, site.shape)).collect();
        let message = format!("{given} can reach nothing in namespace `{name}`: {}", takes.join(", "));
        self.state.observe(&self.namespace, Count::Unreachable, None);
        if self.state.strictness == Strictness::Strict {
            return Err(Error::new(Kind::Arguments, message).with("region", &*self.state.name));
        }
        self.state.complain("arguments", name, format_args!("{message}"));
        Ok(())
    }

    /// The entry, to be read or written on these terms.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if the region cannot keep it on these terms.
    pub(crate) fn access(self, terms: EntryTerms) -> Result<Access> {
        let policy = self.state.policy_of(&terms.policy)?;
        let Bound { state, namespace, key } = self;
        Ok(Access { state, namespace, key, policy, version: terms.version, max_staleness: None })
    }

    /// The key as the far tier knows it, if there is one.
    pub(crate) fn far_key(&self) -> Result<Option<FarKey>> {
        if self.state.far.is_none() {
            return Ok(None);
        }
        self.state.far_key(self.key.as_ref()).map(Some)
    }

    /// Rule R5, its second half: voids the flight and drops (or softens) the near copy, in one step.
    pub(crate) fn void(&self, strength: Strength) {
        let key = self.key.as_ref();
        self.state.board.void(key, || match strength {
            Strength::Hard => self.state.drop_near(key),
            Strength::Soft => self.state.soften_near(key),
        });
        self.state.observe(&self.namespace, Count::Invalidation, None);
    }
}

/// One scope of a configured region.
#[derive(Debug, Clone)]
pub(crate) struct BoundScope {
    pub(crate) state: Arc<RegionState>,
    /// A namespace, or else the whole region.
    pub(crate) namespace: Option<Arc<NamespaceState>>,
}

impl BoundScope {
    /// The far key of the scope's generation.
    pub(crate) fn far_key(&self) -> Option<FarKey> {
        match &self.namespace {
            // The region's scope stands first, the namespace's second.
            Some(namespace) => namespace.scopes.get(1).cloned(),
            None => self.state.region_scope(),
        }
    }

    /// Rule R5 for all entries of the scope.
    pub(crate) fn void(&self) {
        let namespaces = match &self.namespace {
            Some(namespace) => vec![namespace.clone()],
            None => self.state.all_namespaces(),
        };
        // The generation first: a flight that lands in between finds itself void, or its entry outdated.
        for namespace in &namespaces {
            namespace.generation.bump();
            self.state.observe(namespace, Count::ScopeInvalidation, None);
        }
        self.state.board.void_all(self.namespace.as_ref().map(|namespace| namespace.name()));
        if let (None, Some(near)) = (&self.namespace, &self.state.near) {
            near.clear();
        }
    }
}

/// What all nodes answered.
pub(crate) fn all_done(answers: Vec<Invalidated>, region: &str) -> Result<()> {
    for answer in answers {
        if let Invalidated::Pending(cause) = answer {
            let message = "the invalidation has not reached its node; it is queued and will be repeated";
            return Err(Error::new(Kind::Pending, message).with("region", region).caused_by(cause));
        }
    }
    Ok(())
}
