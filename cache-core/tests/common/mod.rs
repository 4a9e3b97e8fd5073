//! What the tests share: processes on one simulated network, the two faces of a call, and a watchdog.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod warnings;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use cache_core::backend::{AsyncBytesBackend, BytesBackend};
use cache_core::clock::{Clock, ManualClock};
use cache_core::config::{BackendUrl, Settings};
use cache_core::error::Result;
use cache_core::observe::Count;
use cache_core::outcome::{Outcome, Sharing};
use cache_core::policy::OwnPolicy;
use cache_core::region::{Get, Invalidate, Reached, Region, Set, SetOutcome};
use cache_core::registry::{OpenContext, Opened, Registry};
use cache_core::rt::{self, KeyBuffer, KeyWriter, Serde, Site, SiteSpec, Terms, Wire};
use cache_core::state::Strictness;
use cache_core::testkit::meta::ServerSettings;
use cache_core::testkit::{Faults, MapBackend, SimFar, SimNodes};

#[allow(unused_imports, reason = "not every test looks at warnings")]
pub use warnings::warnings;

pub const SECOND: Duration = Duration::from_secs(1);
/// The `ttl` of every region, unless a test says otherwise.
pub const TTL: Duration = Duration::from_secs(60);

/// Which tiers a region has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiers {
    Near,
    Far,
    Both,
}

pub const ALL: [Tiers; 3] = [Tiers::Near, Tiers::Far, Tiers::Both];
pub const SHARED: [Tiers; 2] = [Tiers::Far, Tiers::Both];

/// Nodes that several processes share, and their clock.
pub struct Network {
    pub clock: ManualClock,
    pub nodes: SimNodes,
}

/// What differs from process to process.
pub struct Setup {
    pub tiers: Tiers,
    pub capacity: u64,
    pub clock: Clock,
    pub strictness: Strictness,
    pub settings: fn(Settings) -> Settings,
    pub faults: Faults,
    /// What stands before the simulated client, if anything.
    pub tasks: Option<Wrap>,
}

/// Puts something before a client.
pub type Wrap = Box<dyn FnOnce(SimFar) -> Arc<dyn AsyncBytesBackend>>;

/// One simulated process: a registry with the region `r`.
pub struct Process {
    pub tiers: Tiers,
    pub clock: ManualClock,
    pub registry: Registry,
    pub far: SimFar,
    pub region: Arc<Region>,
}

impl Network {
    pub fn new() -> Self {
        Self::of(1, ServerSettings::default())
    }

    pub fn of(nodes: usize, settings: ServerSettings) -> Self {
        Self::seeded(1, nodes, settings)
    }

    pub fn seeded(seed: u64, nodes: usize, settings: ServerSettings) -> Self {
        let clock = ManualClock::new();
        Network { nodes: SimNodes::new(seed, clock.clone(), nodes, settings), clock }
    }

    /// What a process is by default: lenient, with ample capacity and no faults.
    pub fn setup(&self, tiers: Tiers) -> Setup {
        Setup {
            tiers,
            capacity: u64::MAX,
            clock: Clock::Manual(self.clock.clone()),
            strictness: Strictness::Lenient,
            settings: |settings| settings,
            faults: Faults::none(),
            tasks: None,
        }
    }

    pub fn process(&self, tiers: Tiers) -> Process {
        self.process_of(self.setup(tiers))
    }

    pub fn process_with(&self, tiers: Tiers, settings: fn(Settings) -> Settings) -> Process {
        self.process_of(Setup { settings, ..self.setup(tiers) })
    }

    pub fn process_of(&self, setup: Setup) -> Process {
        let Setup { tiers, capacity, clock, strictness, settings, faults, tasks } = setup;
        let registry = Registry::builder().clock(clock).strictness(strictness).build();
        let far = self.nodes.client(faults);
        let near = Arc::new(MapBackend::new(capacity));
        let open_near = move |_: &BackendUrl, _: &OpenContext| -> Result<Opened> { Ok(Opened::Near(near.clone())) };
        let blocking: Option<Arc<dyn BytesBackend>> = tasks.is_none().then(|| Arc::new(far.clone()) as _);
        let tasks = match tasks {
            Some(wrap) => wrap(far.clone()),
            None => Arc::new(far.clone()),
        };
        let open_far = move |_: &BackendUrl, _: &OpenContext| -> Result<Opened> {
            Ok(Opened::Far { blocking: blocking.clone(), tasks: Some(tasks.clone()) })
        };
        registry.register_scheme("map", open_near).unwrap();
        registry.register_scheme("sim", open_far).unwrap();
        registry.configure("r", settings(tiers.settings())).unwrap();
        let region = Arc::new(registry.region("r"));
        Process { tiers, clock: self.clock.clone(), registry, far, region }
    }
}

impl Tiers {
    pub fn settings(self) -> Settings {
        let settings = Settings::new().ttl(TTL).jitter(0.0);
        match self {
            Tiers::Near => settings.near("map://"),
            Tiers::Far => settings.far("sim://"),
            Tiers::Both => settings.near("map://").far("sim://"),
        }
    }
}

impl Process {
    /// Every count that is not zero, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let total = self.region.stats().expect("configured").total;
        total.iter().filter(|(_, _, count)| *count > 0).map(|(name, _, count)| (name, count)).collect()
    }

    pub fn count(&self, name: &str) -> u64 {
        self.counts().get(name).copied().unwrap_or(0)
    }

    /// The counts are these, and no others; but for the bytes that were sent, which are some if records were stored.
    #[track_caller]
    pub fn expect(&self, counts: &[(&'static str, u64)]) {
        let expected: BTreeMap<_, _> = counts.iter().copied().filter(|(_, count)| *count > 0).collect();
        let mut counts = self.counts();
        let sent = counts.remove(Count::SentBytes.name());
        assert!(sent.is_some() || !counts.contains_key("stored"), "records were stored, and nothing was sent");
        assert_eq!(counts, expected, "counts of a region with tiers {:?}", self.tiers);
    }

    /// The misses by reason are these, and no others.
    #[track_caller]
    pub fn expect_reasons(&self, reasons: &[(&'static str, u64)]) {
        let found = self.region.stats().expect("configured").total.misses_by_reason;
        assert_eq!(found, reasons.iter().copied().collect(), "reasons, tiers {:?}", self.tiers);
    }
}

/// How a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    Blocking,
    /// On a tokio runtime of one thread.
    OneThread,
    /// In a task of a tokio runtime with two workers.
    ManyThreads,
}

impl Face {
    pub fn call<R, O, S, W>(
        self,
        site: &'static Site,
        region: &Region,
        arguments: impl FnOnce(&mut KeyWriter<'_>),
        terms: Terms<R, O, S, W>,
        load: impl FnOnce() -> R,
    ) -> R
    where
        O: Outcome<R>,
        O::Value: Clone + Send + Sync + 'static,
        S: Sharing<O::Failure>,
        W: Wire<O::Value>,
    {
        let mut buffer = KeyBuffer::new();
        let mut key = site.begin(&mut buffer);
        arguments(&mut key);
        match self {
            Face::Blocking => rt::call(site, region, &mut key, terms, (), |()| load()),
            _ => self.block_on(rt::call_async(site, region, &mut key, terms, (), |()| async move { load() })),
        }
    }

    pub fn get<V, W: Wire<V>>(self, get: Get<V, W>) -> Result<Option<V>>
    where
        V: Clone + Send + Sync + 'static,
    {
        if self == Face::Blocking { get.wait() } else { self.block_on(get) }
    }

    pub fn set<V, W: Wire<V>>(self, set: Set<V, W>) -> Result<SetOutcome>
    where
        V: Clone + Send + Sync + 'static,
    {
        if self == Face::Blocking { set.wait() } else { self.block_on(set) }
    }

    pub fn invalidate(self, invalidate: Invalidate) -> Result<Reached> {
        if self == Face::Blocking { invalidate.wait() } else { self.block_on(invalidate) }
    }

    pub fn block_on<F: Future>(self, future: F) -> F::Output {
        match self {
            Face::ManyThreads => many_threads(2).block_on(future),
            _ => one_thread().block_on(future),
        }
    }
}

pub fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

pub fn many_threads(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_time().build().unwrap()
}

/// A function as the attribute describes it.
pub fn function(name: &'static str, namespace: &'static str) -> SiteSpec {
    SiteSpec { function: name, namespace, arguments: &["n"], version: 0, policy: OwnPolicy::NONE }
}

pub fn site(spec: SiteSpec) -> &'static Site {
    Box::leak(Box::new(Site::new(spec)))
}

/// The terms that the attribute would write for a function that returns `$result`.
#[macro_export]
macro_rules! terms {
    ($result:ty) => {
        terms!($result, cache_core::rt::Serde)
    };
    ($result:ty, $wire:expr) => {{
        #[allow(unused_imports)]
        use cache_core::rt::{OutcomeOfOther, OutcomeOfResult, Returns, SharingOfClone, SharingOfOther, Terms};
        let returns = Returns::<$result>::new();
        Terms::new(returns, (&returns).outcome(), (&returns).sharing(), $wire)
    }};
}

/// The terms of a function whose result is a value.
pub fn whole<V>() -> Terms<V, rt::Whole, rt::Alone, Serde> {
    Terms::new(rt::Returns::new(), rt::Whole, rt::Alone, Serde)
}

/// Runs `test` in a thread and fails if it does not end in time: nothing may hang.
#[track_caller]
pub fn in_time<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = test();
        let _ = done.send(());
        result
    });
    match ended.recv_timeout(Duration::from_secs(60)) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        },
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
    }
}

/// Waits, by yielding, until `condition` holds. [`in_time`] bounds it.
pub fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// One list of scenarios, each of which is a test for each face.
#[macro_export]
macro_rules! twins {
    ($($scenario:ident,)*) => {
        mod blocking {
            $(#[test] fn $scenario() { super::$scenario(super::Face::Blocking); })*
        }
        mod on_one_thread {
            $(#[test] fn $scenario() { super::$scenario(super::Face::OneThread); })*
        }
        mod on_many_threads {
            $(#[test] fn $scenario() { super::$scenario(super::Face::ManyThreads); })*
        }
    };
}

/// A function of one number that returns a number.
pub fn numbers() -> &'static Site {
    site(function("app::numbers", "numbers"))
}

/// Calls `site` in `process` with `n`; it would load `value`.
pub fn ask(face: Face, process: &Process, site: &'static Site, n: u32, value: u64) -> u64 {
    face.call(site, &process.region, |key| key.arg(&n), whole::<u64>(), || value)
}

/// Whether the function runs when it is called with `n`.
pub fn runs(face: Face, process: &Process, site: &'static Site, n: u32) -> bool {
    let ran = Cell::new(false);
    let load = || {
        ran.set(true);
        0
    };
    face.call(site, &process.region, |key| key.arg(&n), whole::<u64>(), load);
    ran.get()
}

/// Moves the clock over every short wait, for as long as it lives: nobody sleeps for real.
pub struct Ticking {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticking {
    pub fn new(clock: &ManualClock) -> Self {
        let (stop, clock) = (Arc::new(AtomicBool::new(false)), clock.clone());
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match clock.next_wake().map(|next| next.since(clock.now())) {
                    Some(wait) if wait < SECOND => clock.advance(wait),
                    _ => thread::yield_now(),
                }
            }
        });
        Ticking { stop, thread: Some(thread) }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
