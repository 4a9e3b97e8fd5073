//! One configured region: its tiers, its policy, its board, and what it has seen.
//!
//! Everything that a call needs is reached from here, and nothing here knows of the registry that made it.

mod lost_claims;
mod namespace;
mod node_watch;
mod overdue;
mod tags;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use self::lost_claims::LostClaims;
pub(crate) use self::lost_claims::Shown;
use self::node_watch::NodeWatch;
use crate::backend::{AsyncBytesBackend, BytesBackend, NodeStats, Object, ObjectBackend, Put};
use crate::board::Board;
use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::key::{FarKey, KeyGenerator, KeyPlace, KeyRef, Scope, scope_key};
use crate::observe::{Complaints, Count, Counters, Event, Observer, Stats};
use crate::plan::Tiers;
use crate::policy::{OwnPolicy, Policy};
use crate::reach::Reach;
use crate::record::{Codec, Compression, Fingerprint};

pub(crate) use namespace::SiteAddress;
pub use namespace::{NamespaceState, SiteShape, ValueType};
pub(crate) use overdue::Overdue;
pub use tags::TagList;
pub(crate) use tags::{TagTable, Tagged};

/// Whether calls of a region use the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// They do.
    Open,
    /// They load through; invalidations still go out.
    Paused,
    /// They load through, and there is nothing to invalidate.
    Off,
}

/// How strictly misuse is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// With a warning and a counter.
    #[default]
    Lenient,
    /// With an error.
    Strict,
}

/// A configured region.
pub struct RegionState {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) near: Option<Arc<dyn ObjectBackend>>,
    pub(crate) far: Option<Far>,
    pub(crate) board: Arc<Board>,
    pub(crate) clock: Clock,
    pub(crate) strictness: Strictness,
    pub(crate) overdue: Overdue,
    pub(crate) lost_claims: LostClaims,
    gate: AtomicU8,
    observer: Option<Arc<dyn Observer>>,
    complaints: Complaints,
    node_watch: NodeWatch,
    namespaces: RwLock<HashMap<String, Arc<NamespaceState>>>,
    pub(crate) tags: TagTable,
    /// What is counted of the region as a whole.
    counters: Counters,
}

/// The far tier of a region, and how its records are made.
#[derive(Debug)]
pub struct Far {
    /// The face for blocking callers.
    pub(crate) blocking: Option<Arc<dyn BytesBackend>>,
    /// The face for tasks.
    pub(crate) tasks: Option<Arc<dyn AsyncBytesBackend>>,
    pub(crate) generator: Arc<dyn KeyGenerator>,
    pub(crate) prefix: String,
    /// The operator's epoch: part of every digest.
    pub(crate) epoch: u32,
    pub(crate) codec: Codec,
    pub(crate) compression: Compression,
    /// The largest decoded value, in bytes.
    pub(crate) max_value: usize,
}

impl Far {
    /// The largest record that the backend stores, where it is known.
    pub(crate) fn size_limit(&self) -> Option<usize> {
        let blocking = self.blocking.as_ref().and_then(|backend| backend.size_limit());
        blocking.or_else(|| self.tasks.as_ref().and_then(|backend| backend.size_limit()))
    }

    /// How many invalidations its nodes have not carried out.
    pub(crate) fn pending(&self) -> usize {
        let blocking = self.blocking.as_ref().map(|backend| backend.pending());
        blocking.or_else(|| self.tasks.as_ref().map(|backend| backend.pending())).unwrap_or(0)
    }

    fn nodes(&self) -> Vec<NodeStats> {
        let blocking = self.blocking.as_ref().map(|backend| backend.nodes());
        blocking.or_else(|| self.tasks.as_ref().map(|backend| backend.nodes())).unwrap_or_default()
    }

    fn place<'a>(&'a self, region: &'a str) -> KeyPlace<'a> {
        KeyPlace { prefix: &self.prefix, region }
    }
}

/// What a region is made of.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) near: Option<Arc<dyn ObjectBackend>>,
    pub(crate) far: Option<Far>,
    pub(crate) clock: Clock,
    pub(crate) strictness: Strictness,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) gate: Gate,
}

impl RegionState {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { name, policy, near, far, clock, strictness, observer, gate } = parts;
        RegionState {
            name,
            policy,
            near,
            far,
            board: Arc::new(Board::new()),
            clock,
            strictness,
            overdue: Overdue::default(),
            lost_claims: LostClaims::default(),
            gate: AtomicU8::new(gate as u8),
            observer,
            complaints: Complaints::default(),
            node_watch: NodeWatch::default(),
            namespaces: RwLock::default(),
            tags: TagTable::default(),
            counters: Counters::new(),
        }
    }

    /// The policy of a function that differs by `own` from its region's; `None` if it does not.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if there can be no such policy in this region.
    pub(crate) fn policy_of(&self, own: &OwnPolicy) -> Result<Option<Box<Policy>>> {
        if *own == OwnPolicy::NONE {
            return Ok(None);
        }
        let mut policy = own.over(&self.policy);
        if self.near.is_none() || self.far.is_none() {
            // Said for the day when the region has both tiers.
            policy.max_staleness = Duration::ZERO;
        }
        let reach = if self.far.is_some() { Reach::Everywhere } else { Reach::Near };
        policy.check(reach).map(|()| Some(Box::new(policy))).map_err(|error| error.with("region", &*self.name))
    }

    /// Which tiers there are; `None` for a region that is off.
    pub(crate) fn tiers(&self) -> Option<Tiers> {
        match (&self.near, &self.far) {
            (Some(_), None) => Some(Tiers::Near),
            (None, Some(_)) => Some(Tiers::Far),
            (Some(_), Some(_)) => Some(Tiers::NearOverFar),
            (None, None) => None,
        }
    }

    /// The tiers that values of this reach can be in; `None` if there are none.
    pub(crate) fn tiers_within(&self, reach: Reach) -> Option<Tiers> {
        match (self.tiers()?, reach) {
            (tiers, Reach::Everywhere) => Some(tiers),
            (Tiers::Near | Tiers::NearOverFar, Reach::Near) => Some(Tiers::Near),
            (Tiers::Far, Reach::Near) => None,
        }
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.gate.load(Ordering::Relaxed) == Gate::Open as u8
    }

    pub(crate) fn gate(&self) -> Gate {
        match self.gate.load(Ordering::Relaxed) {
            gate if gate == Gate::Open as u8 => Gate::Open,
            gate if gate == Gate::Paused as u8 => Gate::Paused,
            _ => Gate::Off,
        }
    }

    /// Opens or closes the gate; a region that is off stays off.
    pub(crate) fn set_gate(&self, gate: Gate) {
        if self.gate() != Gate::Off {
            self.gate.store(gate as u8, Ordering::Relaxed);
        }
    }

    /// The namespace of this name, made at its first use.
    pub(crate) fn namespace(&self, name: &str) -> Arc<NamespaceState> {
        let known = self.namespaces.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(NamespaceState::new(name, self.scopes(name)));
            namespaces.entry(name.to_owned()).or_insert_with(new).clone()
        })
    }

    pub(crate) fn all_namespaces(&self) -> Vec<Arc<NamespaceState>> {
        self.namespaces.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Where the far tier keeps `key`.
    pub(crate) fn far_key(&self, key: KeyRef<'_>) -> Result<FarKey, Error> {
        match &self.far {
            Some(far) => far.generator.far_key(far.place(&self.name), key),
            None => Err(Error::new(Kind::Backend, "the region has no far tier").with("region", &*self.name)),
        }
    }

    /// Where the far tier keeps the generation of the whole region.
    pub(crate) fn region_scope(&self) -> Option<FarKey> {
        self.far.as_ref().map(|far| scope_key(far.place(&self.name), Scope::Region))
    }

    /// Where the far tier keeps the generation of a tag.
    pub(crate) fn tag_scope(&self, tag: &str) -> Option<FarKey> {
        self.far.as_ref().map(|far| scope_key(far.place(&self.name), Scope::Tag(tag)))
    }

    /// The scopes of a call with these tags; `None` if it has none, and its scopes are its namespace's.
    pub(crate) fn tagged(&self, namespace: &NamespaceState, tags: &TagList) -> Option<Box<Tagged>> {
        if tags.is_empty() {
            return None;
        }
        let here: Vec<_> = tags.iter().map(|tag| self.tags.tag(tag)).collect();
        let far = namespace.scopes.iter().cloned().chain(tags.iter().filter_map(|tag| self.tag_scope(tag))).collect();
        Some(Box::new(Tagged { came: namespace.born_now().tagged(&here), here, far }))
    }

    /// The scopes of a namespace's entries: the region and the namespace. None without a far tier.
    fn scopes(&self, namespace: &str) -> Vec<FarKey> {
        let place = self.far.as_ref().map(|far| far.place(&self.name));
        place.map_or_else(Vec::new, |place| {
            vec![scope_key(place, Scope::Region), scope_key(place, Scope::Namespace(namespace))]
        })
    }

    /// Stores `object` near, unless what is there was proved later. Call it under the key's lock on the board.
    pub(crate) fn put_near(&self, namespace: &NamespaceState, key: KeyRef<'_>, object: Arc<Object>) {
        let Some(near) = &self.near else { return };
        let mut newer = false;
        near.visit(key, &mut |there| newer = there.is_current() && there.proved() > object.proved());
        if newer {
            return;
        }
        let weight = object.weight();
        if let Put::TooLarge { limit } = near.put(key, object, self.clock.now_or_just_after()) {
            let detail = format_args!("a value of {weight} bytes is larger than the near tier admits ({limit} bytes)");
            self.observe(namespace, Count::TooLarge, Some(detail));
        }
    }

    /// What is near may be served from now on only while somebody reloads it.
    pub(crate) fn soften_near(&self, key: KeyRef<'_>) {
        if let Some(near) = &self.near {
            near.visit(key, &mut |object| object.soften());
        }
    }

    pub(crate) fn drop_near(&self, key: KeyRef<'_>) {
        if let Some(near) = &self.near {
            near.remove(key);
        }
    }

    /// Counts what happened, tells the observer, and logs it.
    pub(crate) fn observe(&self, namespace: &NamespaceState, what: Count, detail: Option<fmt::Arguments<'_>>) {
        namespace.counters.add(what);
        self.tell(namespace.name(), what, detail);
    }

    /// The same for what concerns no single namespace: observers are told of one without a name.
    pub(crate) fn observe_whole(&self, what: Count, detail: Option<fmt::Arguments<'_>>) {
        self.counters.add(what);
        self.tell("", what, detail);
    }

    /// A call found nothing to serve, for this reason.
    pub(crate) fn miss(&self, namespace: &NamespaceState, reason: &'static str) {
        namespace.counters.miss(reason);
        self.tell(namespace.name(), Count::Miss, Some(format_args!("{reason}")));
    }

    /// Two functions keep values of different types in `namespace`, or one generic function keeps them under one key.
    pub(crate) fn complain_of_types(&self, namespace: &NamespaceState) {
        let (name, sites) = (namespace.name(), namespace.sites());
        let advice = match &sites[..] {
            [first, others @ ..] if !others.is_empty() && others.iter().all(|other| other.is_of_function_of(first)) => {
                "the function's key must tell its types apart, as `key(std::any::type_name::<T>(), ..)` does"
            }
            _ => "give each its own namespace, or raise `version` if the type has changed",
        };
        let sites = keepers(&sites);
        self.complain(
            "type",
            name,
            format_args!("values of different types stand in namespace `{name}`: {sites}; {advice}"),
        );
    }

    /// A record of another type than `kept` stands in `namespace`. If no function of this process can have stored it, it
    /// was another program, or another build of this one: whose type is known by its fingerprint alone.
    pub(crate) fn complain_of_record(
        &self,
        namespace: &NamespaceState,
        kept: ValueType,
        found: Fingerprint,
        expected: Fingerprint,
    ) {
        let sites = namespace.sites();
        if sites.iter().any(|site| site.value != kept) {
            return self.complain_of_types(namespace);
        }
        let (name, kept) = (namespace.name(), kept.name());
        let sites = if sites.is_empty() { format!("a call by name keeps `{kept}`") } else { keepers(&sites) };
        let advice = "if the type has changed, raise `version`, or each build overwrites what the other has stored";
        self.complain(
            "type",
            name,
            format_args!(
                "a record of another type stands in namespace `{name}`: {sites}, of fingerprint {expected}, and another \
                 build or program has stored a type of fingerprint {found} there; {advice}"
            ),
        );
    }

    /// Warns of `cause` about `subject`, at most once a minute.
    pub(crate) fn complain(&self, cause: &'static str, subject: &str, message: fmt::Arguments<'_>) {
        if let Some(unsaid) = self.complaints.due(cause, subject, self.clock.now_or_just_after()) {
            let region = &*self.name;
            tracing::warn!(region, cause, unsaid, "{message}");
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats { region: self.name.clone(), ..Stats::default() };
        for namespace in self.all_namespaces() {
            namespace.counters.add_to(&mut stats.total);
            namespace.counters.add_to(stats.namespaces.entry(namespace.name().to_owned()).or_default());
        }
        self.counters.add_to(&mut stats.total);
        stats.near = self.near.as_ref().map(|near| near.stats());
        stats.nodes = self.far.as_ref().map_or_else(Vec::new, Far::nodes);
        stats
    }

    fn tell(&self, namespace: &str, what: Count, detail: Option<fmt::Arguments<'_>>) {
        let region = &*self.name;
        match detail {
            Some(detail) => tracing::debug!(region, namespace, what = what.name(), "{detail}"),
            None => tracing::trace!(region, namespace, what = what.name()),
        }
        if let Some(observer) = &self.observer {
            observer.observe(&Event { what, region, namespace, detail });
        }
    }
}

impl fmt::Debug for RegionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionState").field("name", &self.name).field("gate", &self.gate()).finish_non_exhaustive()
    }
}

/// Which function keeps which type, for people.
fn keepers(sites: &[SiteShape]) -> String {
    let keeps = |site: &SiteShape| format!("`{}` keeps `{}`", site.function, site.value.name());
    sites.iter().map(keeps).collect::<Vec<_>>().join(", ")
}
