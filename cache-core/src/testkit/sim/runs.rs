//! Whole runs: processes that read through the simulated far tier by its rules, and what the checker says of them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::backend::{AsyncBytesBackend, Claim, Fill, Invalidated, Lease, Read, Recall, Seen, Strength};
use crate::clock::ManualClock;
use crate::generation::GenerationDigest;
use crate::key::FarKey;
use crate::testkit::meta::ServerSettings;
use crate::testkit::{History, LoadEnd, LoadId, Report, Returned, SimExecutor, check};

/// What a process leaves out, to show that the checker would notice.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    /// Fills use whatever CAS stands there when the load is over.
    Fence,
    /// Records are believed whatever generation they were made under.
    Generations,
    /// Pending invalidations count as done.
    Pending,
}

const KEYS: [&str; 3] = ["k0", "k1", "k2"];

struct Process {
    number: u32,
    far: SimFar,
    clock: ManualClock,
    history: History,
    executor: SimExecutor,
    without: Without,
}

impl Process {
    fn scopes() -> [FarKey; 1] {
        [FarKey::new("scope").unwrap()]
    }

    async fn rest(&self, most: usize) {
        let time = Duration::from_millis(self.executor.random_below(most) as u64);
        self.clock.sleep_until(self.clock.now().after(time)).await;
    }

    async fn look(&self, key: &FarKey, lease: Lease) -> Option<Seen> {
        let (keys, scopes, grace) = (std::slice::from_ref(key), Self::scopes(), Duration::ZERO);
        let read = Read { keys, scopes: &scopes, lease, grace, recall: Recall::Never };
        AsyncBytesBackend::read(&self.far, &read).await.remove(0).ok()
    }

    async fn load(&self, name: &str) -> LoadId {
        let load = self.history.load_begins(self.number, name);
        self.rest(30).await;
        self.history.load_ends(load, LoadEnd::Loaded);
        load
    }

    async fn get(&self, name: &str) {
        let key = FarKey::new(name).unwrap();
        let noted = self.history.read_starts(self.number, name);
        let value = self.get_or_load(name, &key).await;
        self.history.read_ends(noted, Some(value));
    }

    async fn get_or_load(&self, name: &str, key: &FarKey) -> LoadId {
        for _ in 0..20 {
            let Some(seen) = self.look(key, Lease::Claim(Duration::from_secs(3))).await else { break };
            let digest = seen.generations.digest(0, &Self::scopes());
            if let Some(record) = &seen.record {
                let word = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
                if GenerationDigest(word(0)) == digest || self.without == Without::Generations {
                    return LoadId(word(8));
                }
            }
            // A dead record is overwritten by its own token: a claim on it would only save loads.
            if seen.claim != Claim::Elsewhere {
                let load = self.load(name).await;
                self.fill(key, seen, digest, load).await;
                return load;
            }
            self.rest(20).await;
        }
        self.load(name).await
    }

    async fn fill(&self, key: &FarKey, seen: Seen, digest: GenerationDigest, load: LoadId) {
        let mut token = seen.token;
        if self.without == Without::Fence {
            token = self.look(key, Lease::Claim(Duration::from_secs(3))).await.and_then(|seen| seen.token);
        }
        let Some(token) = token else { return };
        let record = [digest.0.to_le_bytes(), load.0.to_le_bytes()].concat();
        let fill = Fill { key, record: &record, token, keep: Some(Duration::from_secs(60)), grace: Duration::ZERO };
        AsyncBytesBackend::fill(&self.far, &[fill], &Self::scopes()).await;
    }

    async fn invalidate(&self, name: &str) {
        let key = FarKey::new(name).unwrap();
        let noted = self.history.invalidate_called(self.number, [name]);
        let answer =
            AsyncBytesBackend::invalidate(&self.far, &[key], Strength::Hard, &Self::scopes()[0]).await.remove(0);
        self.history.invalidate_returned(noted, self.returned(&answer));
    }

    async fn invalidate_all(&self) {
        let noted = self.history.invalidate_called(self.number, KEYS);
        let answer = AsyncBytesBackend::bump(&self.far, &Self::scopes(), &Self::scopes()[0]).await.remove(0);
        self.history.invalidate_returned(noted, self.returned(&answer));
    }

    fn returned(&self, answer: &Invalidated) -> Returned {
        match answer {
            Invalidated::Pending(_) if self.without != Without::Pending => Returned::Pending,
            _ => Returned::Done,
        }
    }
}

/// Three processes, two nodes of which one restarts now and then, requests that are delayed and lost.
fn run(seed: u64, without: Without) -> (Report, Vec<Executed>) {
    let clock = ManualClock::new();
    let nodes = SimNodes::new(seed, clock.clone(), 2, ServerSettings::default());
    nodes.trace();
    let executor = SimExecutor::new(seed, clock.clone());
    let history = History::new(clock.clone());
    let running = Rc::new(Cell::new(0));
    for number in 0..3 {
        let process = Rc::new(Process {
            number,
            far: nodes.client(Faults::losses()),
            clock: clock.clone(),
            history: history.clone(),
            executor: executor.clone(),
            without,
        });
        for _ in 0..2 {
            let (process, running) = (process.clone(), running.clone());
            running.set(running.get() + 1);
            executor.spawn_in(number, format!("reader {number}"), async move {
                for _ in 0..40 {
                    process.get(KEYS[process.executor.random_below(3)]).await;
                    process.rest(40).await;
                }
                running.set(running.get() - 1);
            });
        }
        executor.spawn_in(number, format!("writer {number}"), async move {
            for _ in 0..15 {
                process.rest(200).await;
                match process.executor.random_below(4) {
                    0 => process.invalidate_all().await,
                    _ => process.invalidate(KEYS[process.executor.random_below(3)]).await,
                }
            }
        });
    }
    let (troubled, time, choice) = (nodes.clone(), clock.clone(), executor.clone());
    executor.spawn("trouble", async move {
        while running.get() > 0 {
            time.sleep_until(time.now().after(Duration::from_millis(150))).await;
            match choice.random_below(8) {
                0 => troubled.restart(0),
                1 => {
                    troubled.stop(1);
                    time.sleep_until(time.now().after(Duration::from_millis(200))).await;
                    troubled.up(1);
                }
                2 => drop(troubled.server(1).evict(&FarKey::new(KEYS[choice.random_below(3)]).unwrap())),
                3 => drop(troubled.server(0).evict(&Process::scopes()[0])),
                4 => choice.stop(choice.random_below(3) as u32, Duration::from_millis(300)),
                _ => {}
            }
        }
    });
    executor.run().unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"));
    (check(&history.events(), Duration::ZERO), nodes.traced())
}

#[test]
fn equal_seeds_give_equal_runs_command_by_command() {
    let (first, second) = (run(5, Without::Nothing), run(5, Without::Nothing));
    assert!(first.1.len() > 500, "{} commands", first.1.len());
    assert_eq!(first, second);
    assert_ne!(first.1, run(6, Without::Nothing).1);
}

#[test]
fn who_keeps_the_rules_loses_no_invalidation_under_faults() {
    let mut shared = 0;
    for seed in 0..60 {
        let (report, _) = run(seed, Without::Nothing);
        assert!(report.keeps_invalidations(), "seed {seed}: {report}");
        assert!(report.reads == 240 && report.invalidations > 10, "seed {seed}: {report}");
        shared += report.reads - report.loads;
    }
    assert!(shared > 60 * 40, "only {shared} reads were answered from the far tier: too little was tried");
}

#[test]
fn whoever_leaves_a_rule_out_is_caught() {
    for without in [Without::Fence, Without::Generations, Without::Pending] {
        let caught = (0..300).any(|seed| !run(seed, without).0.lost.is_empty());
        assert!(caught, "{without:?} left out, and no run of 300 shows it");
    }
}
