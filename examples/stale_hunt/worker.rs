//! A process of the hunt: what it is told to do, what its threads and tasks share, and when it ends.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cache::{Registry, Settings};
use serde::{Deserialize, Serialize};

use crate::log::Log;
use crate::options::Cache;
use crate::source::Source;
use crate::trouble::Witness;
use crate::{Failure, naive, reader, writer};

/// The shortest there is: what a killed reader held is soon free again.
pub const LEASE: Duration = Duration::from_secs(2);
/// Longer than a lease takes to end at the server, which counts whole seconds.
pub const PATIENCE: Duration = Duration::from_secs(4);
const TTL: Duration = Duration::from_secs(60);

/// Callers of each kind in a reader.
const READING: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Reader,
    Writer,
}

/// What a process is told on its command line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// No two processes of a hunt have the same.
    pub number: u64,
    pub role: Role,
    pub cache: Cache,
    /// Where the servers are.
    pub url: String,
    pub keys: usize,
    pub seed: u64,
    /// Where the source and the logs are.
    pub directory: PathBuf,
}

/// What the callers of a process share.
#[derive(Debug)]
pub struct Worker {
    pub job: Job,
    pub log: Log,
    source: Source,
    loads: AtomicU64,
    ends: AtomicBool,
}

impl Job {
    /// Slots of the source: those of the blocking function, then those of the async one.
    pub fn slots(&self) -> usize {
        2 * self.keys
    }

    pub fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.number))
    }

    pub fn source(&self) -> PathBuf {
        self.directory.join("source")
    }

    fn settings(&self) -> Settings {
        let settings = Settings::new().ttl(TTL).lease(LEASE).patience(PATIENCE).far(&self.url);
        match self.cache {
            Cache::NearOverFar => settings.near("memory://").max_staleness(self.cache.max_staleness()),
            Cache::Far | Cache::Naive => settings,
        }
    }
}

impl Worker {
    /// Whether another call is to be made.
    pub fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }

    /// The version of a slot, by the source. Without its source a process has nothing to tell.
    pub fn version(&self, slot: usize) -> u64 {
        self.source.version(slot).unwrap_or_else(|error| gone(&error))
    }

    /// Writes a slot.
    pub fn write(&self, slot: usize) {
        self.source.write(slot).unwrap_or_else(|error| gone(&error));
    }

    /// A number that no other load of the hunt has.
    pub fn next_load(&self) -> u64 {
        self.job.number << 32 | self.loads.fetch_add(1, Ordering::Relaxed)
    }
}

/// Does the job, until the standard input ends: then the hunt is over, or the process that started this one is gone.
pub fn run(job: Job) -> Result<(), Failure> {
    let registry = Registry::builder().observer(Arc::new(Witness)).build();
    cache::open_known_schemes(&registry);
    registry.configure("hunt", job.settings())?;
    registry.make_global()?;
    let source = Source::open(&job.source(), job.slots())?;
    let log = Log::open(&job.log())?;
    let worker = Arc::new(Worker { job, log, source, loads: AtomicU64::new(0), ends: AtomicBool::new(false) });
    let told = worker.clone();
    thread::spawn(move || {
        // Nothing is ever written to it.
        let _ = std::io::stdin().read(&mut [0]);
        told.ends.store(true, Ordering::Relaxed);
    });
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let client = naive::client(&worker.job.url)?;
    let callers = if worker.job.role == Role::Reader { READING } else { 1 };
    thread::scope(|scope| {
        for caller in 0..callers {
            let (worker, client) = (&*worker, &client);
            scope.spawn(move || match worker.job.role {
                Role::Reader => reader::in_thread(worker, client, caller),
                Role::Writer => writer::in_thread(worker, client),
            });
        }
        let task = |caller| {
            let (worker, client) = (worker.clone(), client.clone());
            tokio.spawn(async move {
                match worker.job.role {
                    Role::Reader => reader::in_task(&worker, &client, caller).await,
                    Role::Writer => writer::in_task(&worker, &client).await,
                }
            })
        };
        let tasks: Vec<_> = (0..callers).map(task).collect();
        tokio.block_on(async {
            for task in tasks {
                task.await?;
            }
            Ok(())
        })
    })
}

fn gone<T>(error: &std::io::Error) -> T {
    eprintln!("stale-hunt: a process has lost its source: {error}");
    std::process::exit(2)
}
