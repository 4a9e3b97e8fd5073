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
        let own_policy = self.state.policy_of(&terms.policy)?;
        let Bound { state, namespace, key } = self;
        Ok(Access { state, namespace, key, own_policy, version: terms.version, max_staleness: None, tags: terms.tags })
    }
}

/// Keys of one namespace, to be invalidated.
#[derive(Debug, Clone)]
pub(crate) struct BoundKeys {
    pub(crate) state: Arc<RegionState>,
    pub(crate) namespace: Arc<NamespaceState>,
    pub(crate) keys: Vec<Key>,
}

impl BoundKeys {
    /// The entries that calls with each of `ids` make in `namespace`; `None` in a region that is switched off.
    ///
    /// # Errors
    ///
    /// Those of [`Bound::by_name`].
    pub(crate) fn by_name<A: Serialize>(
        region: &Region,
        namespace: &str,
        ids: impl IntoIterator<Item = A>,
    ) -> Result<Option<Self>> {
        let Some(state) = region.configured()? else { return Ok(None) };
        let bounds = ids.into_iter().filter_map(|id| Bound::by_name(region, namespace, &id).transpose());
        let keys = bounds.map(|bound| bound.map(|bound| bound.key)).collect::<Result<Vec<Key>>>()?;
        Ok(Some(BoundKeys { namespace: state.namespace(namespace), state, keys }))
    }

    /// The keys as the far tier knows them.
    pub(crate) fn far_keys(&self) -> Result<Vec<FarKey>> {
        self.keys.iter().map(|key| self.state.far_key(key.as_ref())).collect()
    }

    /// Rule R5, its second half: voids each flight and drops (or softens) the near copy, in one step.
    pub(crate) fn void(&self, strength: Strength) {
        for key in self.keys.iter().map(Key::as_ref) {
            self.state.board.void(key, || match strength {
                Strength::Hard => self.state.drop_near(key),
                Strength::Soft => self.state.soften_near(key),
            });
            self.state.observe(&self.namespace, Count::Invalidation, None);
        }
    }
}

/// One scope of a configured region.
#[derive(Debug, Clone)]
pub(crate) struct BoundScope {
    pub(crate) state: Arc<RegionState>,
    pub(crate) whole: Whole,
}

/// What is invalidated as a whole.
#[derive(Debug, Clone)]
pub(crate) enum Whole {
    Region,
    Namespace(Arc<NamespaceState>),
    Tag(String),
}

impl BoundScope {
    /// The far keys of the scope's generation, and of its region's.
    pub(crate) fn far_keys(&self) -> Option<(FarKey, FarKey)> {
        let region = self.state.region_scope()?;
        let scope = match &self.whole {
            // The region's scope stands first, the namespace's second.
            Whole::Namespace(namespace) => namespace.scopes.get(1).cloned(),
            Whole::Region => Some(region.clone()),
            Whole::Tag(tag) => self.state.tag_scope(tag),
        };
        Some((scope?, region))
    }

    /// Rule R5 for all entries of the scope.
    pub(crate) fn void(&self) {
        // The generation first: a flight that lands in between finds itself void, or its entry outdated.
        match &self.whole {
            Whole::Region => {
                self.state.all_namespaces().iter().for_each(|namespace| self.end(namespace));
                self.state.board.void_all(None);
                if let Some(near) = &self.state.near {
                    near.clear();
                }
            }
            Whole::Namespace(namespace) => {
                self.end(namespace);
                self.state.board.void_all(Some(namespace.name()));
            }
            // Whose flights are whose is not known on the board: each finds out when it lands.
            Whole::Tag(tag) => {
                self.state.tags.bump(tag);
                self.state.observe_whole(Count::ScopeInvalidation, None);
            }
        }
    }

    fn end(&self, namespace: &NamespaceState) {
        namespace.end_generation();
        self.state.observe(namespace, Count::ScopeInvalidation, None);
    }
}

/// What all nodes answered.
pub(crate) fn all_done(answers: Vec<Invalidated>, region: &str) -> Result<()> {
    let total = answers.len();
    let mut pending = answers.into_iter().filter_map(|answer| match answer {
        Invalidated::Pending(cause) => Some(cause),
        Invalidated::Done => None,
    });
    let Some(cause) = pending.next() else { return Ok(()) };
    let message = match (total, 1 + pending.count()) {
        (1, _) => "the invalidation has not reached its node; it is queued and will be repeated".to_owned(),
        (total, some) => {
            format!(
                "{some} of {total} invalidations have not reached their nodes; they are queued and will be repeated"
            )
        }
    };
    Err(Error::new(Kind::Pending, message).with("region", region).caused_by(cause))
}
