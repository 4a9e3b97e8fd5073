//! One namespace of a region: its generation, its counters, and which functions keep their results under it.

use std::any::TypeId;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::FixedState;

use crate::generation::{Born, LocalGeneration};
use crate::key::{FarKey, Shape};
use crate::observe::{Counters, Counts};

/// How many of a namespace's first values are read back before they are written far, and how rarely one is after that.
const READ_BACK_FIRST: u32 = 16;
const READ_BACK_EVERY: u32 = 1024;

/// A namespace of one region.
#[derive(Debug)]
pub struct NamespaceState {
    name: String,
    /// Ends with each invalidation of the namespace or the region in this process.
    generation: Arc<LocalGeneration>,
    /// What was made lately was born so.
    born: Mutex<Born>,
    /// The far scopes of its entries, in the order of their generations: the region, the namespace.
    pub(crate) scopes: Vec<FarKey>,
    pub(crate) counters: Counters,
    sites: Mutex<Vec<SiteShape>>,
    /// A hash of the function and the type that were noted last: read before the lock is taken, by every miss.
    noted_last: AtomicU64,
    writes: AtomicU32,
    /// Whether a value came back from the codec as another one: from then on nothing is written far.
    unreadable: AtomicBool,
}

/// What the first call of a cached function showed.
#[derive(Debug, Clone)]
pub struct SiteShape {
    /// The function's path.
    pub function: &'static str,
    /// The number and kinds of the arguments in its key.
    pub shape: Shape,
    /// The type that it keeps.
    pub value: ValueType,
    site: SiteAddress,
}

impl SiteShape {
    /// Whether both are of one function: of two types of it, if it is generic.
    pub(super) fn is_of_function_of(&self, other: &Self) -> bool {
        self.site == other.site
    }
}

/// Where a cached function's site is. It tells functions apart that have one path, as methods of one name in a module
/// have, and is the same for all types of a generic function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SiteAddress(pub(crate) usize);

/// A type, to be compared and to be named.
#[derive(Debug, Clone, Copy)]
pub struct ValueType {
    id: TypeId,
    name: &'static str,
}

impl ValueType {
    /// The type `V`.
    pub fn of<V: 'static>() -> Self {
        ValueType { id: TypeId::of::<V>(), name: std::any::type_name::<V>() }
    }

    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl PartialEq for ValueType {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl NamespaceState {
    pub(super) fn new(name: &str, scopes: Vec<FarKey>) -> Self {
        let generation = Arc::new(LocalGeneration::new());
        NamespaceState {
            name: name.to_owned(),
            born: Mutex::new(Born::now(&generation)),
            generation,
            scopes,
            counters: Counters::new(),
            sites: Mutex::default(),
            noted_last: AtomicU64::new(0),
            writes: AtomicU32::new(0),
            unreadable: AtomicBool::new(false),
        }
    }

    /// What is made without tags from now on is born so.
    pub(crate) fn born_now(&self) -> Born {
        let mut born = self.born.lock().unwrap_or_else(PoisonError::into_inner);
        if !born.is_current() {
            *born = Born::now(&self.generation);
        }
        born.clone()
    }

    /// Ends everything that was made so far.
    pub(crate) fn end_generation(&self) {
        self.generation.bump();
    }

    /// The namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes a function that keeps its results here, and returns another one that keeps another type here, if there is
    /// one. The types of one generic function are told apart by its key, or else are met under one.
    /// `shape` is made only for a function that is not the one that was noted last, which is nearly always the same.
    pub(crate) fn register(
        &self,
        function: &'static str,
        site: SiteAddress,
        value: ValueType,
        shape: impl FnOnce() -> Shape,
    ) -> Option<SiteShape> {
        let noted = FixedState::default().hash_one((site, value.id));
        if self.noted_last.load(Ordering::Relaxed) == noted {
            return None;
        }
        let site = SiteShape { function, shape: shape(), value, site };
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let clashes = |known: &&SiteShape| !known.is_of_function_of(&site) && known.value != site.value;
        let clash = sites.iter().find(clashes).cloned();
        if !sites.iter().any(|known| known.function == site.function && known.value == site.value) {
            sites.push(site);
        }
        self.noted_last.store(noted, Ordering::Relaxed);
        clash
    }

    /// The functions that were called so far.
    pub(crate) fn sites(&self) -> Vec<SiteShape> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the value in hand is to be read back before it is written far: the first ones, then a sample. Debug
    /// builds read back every one.
    pub(crate) fn reads_back(&self) -> bool {
        let write = self.writes.fetch_add(1, Ordering::Relaxed);
        cfg!(debug_assertions) || write < READ_BACK_FIRST || write.is_multiple_of(READ_BACK_EVERY)
    }

    /// Whether the codec can be trusted with the namespace's values.
    pub(crate) fn is_readable(&self) -> bool {
        !self.unreadable.load(Ordering::Relaxed)
    }

    pub(crate) fn found_unreadable(&self) {
        self.unreadable.store(true, Ordering::Relaxed);
    }

    /// What the namespace counted so far.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.counters.add_to(&mut counts);
        counts
    }
}
