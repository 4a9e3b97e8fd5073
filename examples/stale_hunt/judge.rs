//! Judges what the processes tell, by the promises: no read is stale, no load is double, no call fails.
//!
//! Stale: an invalidation was called at *c* and returned `Ok` at *r*; a read that began after *r* + `max_staleness` returned a
//! value whose load began before *c*. Double: two loads of one slot overlap, and neither an invalidation, nor the end of a
//! lease, nor spent patience, nor a far tier that failed or forgot explains why the second was begun.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::damage::Damage;
use crate::log::{self, Answer, Load, Read, Record, Text, Way};
use crate::worker::{LEASE, PATIENCE};

/// A call that takes longer hangs: patience may be spent twice, and then the function runs.
const HANGS: Duration = Duration::from_secs(2 * PATIENCE.as_secs() + 2);
/// An invalidation that was pending is repeated, and so is one whose connection ended; both may be carried out, and the first may
/// be the later one: a node stood still, or the bytes were on their way. That costs a load, and is no double one.
const REPEATED: Duration = Duration::from_secs(2);
/// Findings that are told one by one.
const TOLD: usize = 5;

#[derive(Debug, Default)]
pub struct Verdict {
    pub invalidations: u64,
    pub pending: u64,
    pub reads: u64,
    pub stale: u64,
    pub double_loads: u64,
    pub errors: u64,
    pub loads: u64,
    pub p99: Duration,
    /// The first of each kind, for people.
    pub findings: Vec<String>,
}

/// What is known before the reads are judged.
#[derive(Debug)]
struct History {
    bound: u64,
    loads: HashMap<u64, Load>,
    /// By slot: what was acknowledged, from when on, and up to which load it counts.
    acknowledged: Vec<Highest>,
    verdict: Verdict,
}

/// By slot, while the logs are read.
#[derive(Debug, Clone, Default)]
struct Slot {
    /// When invalidations had returned, and when they were called.
    acknowledged: Vec<(u64, u64)>,
    /// When invalidations were called, and until when they may have had their effect.
    voids: Vec<(u64, u64)>,
}

/// For instants in their order, the highest of what was noted with any of them so far.
#[derive(Debug, Default)]
struct Highest(Vec<(u64, u64)>);

/// Judges the logs of one hunt.
pub fn judge(logs: &[(u64, PathBuf)], slots: usize, max_staleness: Duration, damage: &Damage) -> io::Result<Verdict> {
    let mut history = History::read(logs, slots, max_staleness, damage)?;
    let mut took = Vec::new();
    for (worker, path) in logs {
        log::read(path, |record| {
            if let Record::Read(read) = record {
                took.push(history.judge(&read, *worker, damage));
            }
        })?;
    }
    let History { mut verdict, .. } = history;
    took.sort_unstable();
    verdict.reads = took.len() as u64;
    verdict.p99 = Duration::from_nanos(took.get(took.len() * 99 / 100).copied().unwrap_or_default());
    Ok(verdict)
}

impl History {
    /// Everything but the reads, which are many.
    fn read(logs: &[(u64, PathBuf)], slots: usize, max_staleness: Duration, damage: &Damage) -> io::Result<Self> {
        let (mut by_slot, mut ends) = (vec![Slot::default(); slots], HashMap::new());
        let (mut loads, mut verdict) = (HashMap::new(), Verdict::default());
        for (_, path) in logs {
            let mut pending = Vec::new();
            log::read(path, |record| match record {
                Record::Began(load) => drop(loads.insert(load.id, load)),
                Record::Ended { load, at } => drop(ends.insert(load, at)),
                Record::Read(_) => {}
                Record::Failed { why } => verdict.note(|verdict| &mut verdict.errors, || why),
                Record::Invalidated { slots, called, returned, answer: Answer::Done } => {
                    verdict.invalidations += 1;
                    let repeated = if damage.was_cut(called, returned) { nanos(REPEATED) } else { 0 };
                    by_slot[slots].iter_mut().for_each(|slot| slot.done(called, returned, returned + repeated));
                }
                Record::Invalidated { slots, called, returned, answer: Answer::Pending } => {
                    verdict.invalidations += 1;
                    verdict.pending += 1;
                    pending.push((slots, called, returned));
                }
                Record::Flushed { called, returned } => pending.retain(|(slots, at, answered)| {
                    let flushed = *answered <= called;
                    if flushed {
                        let until = returned + nanos(REPEATED);
                        by_slot[slots.clone()].iter_mut().for_each(|slot| slot.done(*at, returned, until));
                    }
                    !flushed
                }),
            })?;
            for (slots, called, _) in pending {
                by_slot[slots].iter_mut().for_each(|slot| slot.voids.push((called, u64::MAX)));
            }
        }
        let (acknowledged, voids): (Vec<_>, Vec<_>) =
            by_slot.into_iter().map(|slot| (Highest::of(slot.acknowledged), Highest::of(slot.voids))).unzip();
        verdict.loads = loads.len() as u64;
        verdict.count_double_loads(&loads, &ends, &voids, damage);
        Ok(History { bound: nanos(max_staleness), loads, acknowledged, verdict })
    }

    /// Judges a read, and says how long it took while its process ran.
    fn judge(&mut self, read: &Read, worker: u64, damage: &Damage) -> u64 {
        let Read { slot, called, returned, load, began, version, text } = *read;
        let calm = called.saturating_sub(self.bound);
        if let Some(since) = self.acknowledged[slot].before(calm).filter(|since| began < *since) {
            let tell = || format!("stale: {read:?} of process {worker}, invalidated at {since}");
            self.verdict.note(|verdict| &mut verdict.stale, tell);
        }
        let known = self.loads.get(&load);
        if text == Text::Damaged || known.is_none_or(|l| (l.slot, l.began, l.version) != (slot, began, version)) {
            let tell = || format!("not what the function returned: {read:?} of process {worker}, of {known:?}");
            self.verdict.note(|verdict| &mut verdict.errors, tell);
        }
        let took = (returned - called).saturating_sub(damage.stood_still(worker, called, returned));
        if took > nanos(HANGS) {
            let tell = || format!("hung for {:?}: {read:?} of process {worker}", Duration::from_nanos(took));
            self.verdict.note(|verdict| &mut verdict.errors, tell);
        }
        took
    }
}

impl Slot {
    fn done(&mut self, called: u64, returned: u64, until: u64) {
        self.acknowledged.push((returned, called));
        self.voids.push((called, until));
    }
}

impl Verdict {
    fn note(&mut self, count: impl Fn(&mut Verdict) -> &mut u64, tell: impl FnOnce() -> String) {
        *count(self) += 1;
        if *count(self) <= TOLD as u64 {
            self.findings.push(tell());
        }
    }

    fn count_double_loads(
        &mut self,
        loads: &HashMap<u64, Load>,
        ends: &HashMap<u64, u64>,
        voids: &[Highest],
        damage: &Damage,
    ) {
        // What has no end was being loaded when its process was killed, or hangs.
        let end =
            |load: &Load| ends.get(&load.id).copied().or_else(|| damage.killed(worker_of(load))).unwrap_or(u64::MAX);
        let mut in_order: Vec<&Load> = loads.values().collect();
        in_order.sort_unstable_by_key(|load| (load.slot, load.began));
        let mut running: Vec<&Load> = Vec::new();
        for second in in_order {
            running.retain(|first| first.slot == second.slot && end(first) > second.began);
            for first in &running {
                if !is_explained(first, second, &voids[second.slot], damage) {
                    let tell = || format!("double load: {second:?} began within {first:?}, to {}", end(first));
                    self.note(|verdict| &mut verdict.double_loads, tell);
                }
            }
            running.push(second);
        }
    }

    /// Whether the promises held, and enough was tried.
    pub fn is_good(&self, least: u64) -> bool {
        self.stale == 0 && self.errors == 0 && self.double_loads == 0 && self.invalidations >= least
    }
}

/// The line that a script can read.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { invalidations, pending, reads, stale, double_loads, errors, loads, p99, .. } = self;
        write!(
            f,
            "invalidations={invalidations} pending={pending} reads={reads} stale={stale} double_loads={double_loads} \
             errors={errors} p99_ms={:.1} loads_per_invalidation={:.2}",
            p99.as_secs_f64() * 1e3,
            *loads as f64 / (*invalidations).max(1) as f64,
        )
    }
}

impl Highest {
    fn of(mut noted: Vec<(u64, u64)>) -> Self {
        noted.sort_unstable();
        let mut highest = 0;
        for (_, value) in &mut noted {
            highest = highest.max(*value);
            *value = highest;
        }
        Highest(noted)
    }

    fn before(&self, instant: u64) -> Option<u64> {
        let count = self.0.partition_point(|(at, _)| *at < instant);
        self.0[..count].last().map(|(_, value)| *value)
    }
}

/// Why the second of two loads was begun while the first ran.
fn is_explained(first: &Load, second: &Load, voids: &Highest, damage: &Damage) -> bool {
    // Each got its right to load between its call and its load, and the older right may be that of the second. An invalidation
    // came between if it may have had its effect after the older right was given, and before the other one was used.
    let between = |older: &Load, newer: &Load| voids.before(newer.began + 1).is_some_and(|until| until >= older.called);
    let invalidated = between(first, second) || between(second, first);
    let impatient = [first.way, second.way].contains(&Way::Impatient);
    if invalidated || impatient || worker_of(first) == worker_of(second) {
        // Within a process nothing else explains it: it knows its own loads without the far tier.
        return invalidated || impatient;
    }
    let lease = nanos(LEASE);
    let expired = second.began - first.called >= lease || second.began - second.called >= lease;
    let degraded = [first.way, second.way].contains(&Way::Degraded);
    expired || degraded || damage.forgot(first.called.min(second.called), second.began)
}

fn worker_of(load: &Load) -> u64 {
    load.id >> 32
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Log;

    /// The verdict on what one process tells, or several.
    fn of(max_staleness: u64, damage: &Damage, told: &[&[Record]]) -> Verdict {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("stale-hunt-judge-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        let log = |(worker, records): (usize, &&[Record])| {
            let path = directory.join(worker.to_string());
            let log = Log::open(&path).unwrap();
            records.iter().for_each(|record| log.note(record));
            (worker as u64, path)
        };
        let logs: Vec<_> = told.iter().enumerate().map(log).collect();
        let verdict = judge(&logs, 4, Duration::from_nanos(max_staleness), damage).unwrap();
        std::fs::remove_dir_all(directory).unwrap();
        verdict
    }

    fn began(worker: u64, slot: usize, began: u64) -> Record {
        let id = worker << 32 | began;
        Record::Began(Load { id, slot, called: began - 1, began, version: 1, way: Way::Plain })
    }

    fn ended(worker: u64, began: u64, at: u64) -> Record {
        Record::Ended { load: worker << 32 | began, at }
    }

    fn read(slot: usize, called: u64, began: u64) -> Record {
        let text = Text::Sound;
        Record::Read(Read { slot, called, returned: called + 1, load: began, began, version: 1, text })
    }

    fn invalidated(slots: std::ops::RangeInclusive<usize>, called: u64, returned: u64, answer: Answer) -> Record {
        Record::Invalidated { slots, called, returned, answer }
    }

    #[test]
    fn a_read_is_stale_if_it_began_after_an_invalidation_of_its_load() {
        let none = Damage::default();
        let judged = |answer, slots, called| {
            let told = [began(0, 1, 10), ended(0, 10, 20), invalidated(slots, 30, 40, answer), read(1, called, 10)];
            of(5, &none, &[&told]).stale
        };
        assert_eq!(judged(Answer::Done, 1..=1, 46), 1);
        assert_eq!(judged(Answer::Done, 0..=3, 46), 1, "a scope");
        assert_eq!(judged(Answer::Done, 1..=1, 45), 0, "within the bound");
        assert_eq!(judged(Answer::Done, 2..=3, 46), 0, "another slot");
        assert_eq!(judged(Answer::Pending, 1..=1, 46), 0, "nobody promised anything");
        let late = [invalidated(1..=1, 5, 40, Answer::Done), began(0, 1, 10), ended(0, 10, 20), read(1, 50, 10)];
        assert_eq!(of(0, &none, &[&late]).stale, 0, "the load began after the call");
    }

    #[test]
    fn what_was_pending_counts_once_it_was_flushed() {
        let judged = |flush, called| {
            let pending = invalidated(1..=1, 30, 40, Answer::Pending);
            let flushed = Record::Flushed { called: flush, returned: flush + 10 };
            of(0, &Damage::default(), &[&[began(0, 1, 10), ended(0, 10, 20), pending, flushed, read(1, called, 10)]])
        };
        assert_eq!((judged(50, 61).stale, judged(50, 60).stale, judged(35, 61).stale), (1, 0, 0));
        assert_eq!((judged(50, 61).invalidations, judged(50, 61).pending), (1, 1));
    }

    #[test]
    fn loads_that_overlap_need_a_reason() {
        let judged =
            |damage: &Damage, first: &[Record], second: &[Record]| of(0, damage, &[first, second]).double_loads;
        let (none, first, second) = (Damage::default(), [began(0, 1, 10), ended(0, 10, 30)], [began(1, 1, 20)]);
        assert_eq!(judged(&none, &first, &second), 1);
        assert_eq!(judged(&none, &first, &[began(1, 2, 20)]), 0, "another slot");
        assert_eq!(judged(&none, &first, &[began(1, 1, 30)]), 0, "one after the other");
        assert_eq!(judged(&none, &[began(0, 1, 10)], &second), 1, "the first has no end");
        for (called, returned, doubles) in [(5, 15, 0), (20, 40, 0), (21, 40, 1), (2, 8, 1)] {
            let voided = [began(1, 1, 20), invalidated(0..=3, called, returned, Answer::Done)];
            assert_eq!(judged(&none, &first, &voided), doubles, "invalidated from {called} to {returned}");
        }
        let waited = Load { id: 1 << 32, slot: 1, called: 2, began: 20, version: 1, way: Way::Plain };
        let voided = [Record::Began(waited), invalidated(1..=1, 3, 4, Answer::Done)];
        assert_eq!(judged(&none, &first, &voided), 0, "the second had its right first, and lost it");
        let way = |way| [Record::Began(Load { id: 1 << 32, slot: 1, called: 19, began: 20, version: 1, way })];
        assert_eq!(judged(&none, &first, &way(Way::Degraded)), 0);
        assert_eq!(judged(&none, &first, &way(Way::Impatient)), 0);
        let mut damage = Damage::default();
        damage.kills(0, 15);
        assert_eq!(judged(&damage, &[began(0, 1, 10)], &second), 0, "the first was killed");
        let mut damage = Damage::default();
        damage.forgets(12, 14);
        assert_eq!(judged(&damage, &first, &second), 0, "the server forgot who loads");
        let mut damage = Damage::default();
        damage.cuts(6);
        let voided = [began(1, 1, 20), invalidated(0..=3, 5, 8, Answer::Done)];
        assert_eq!(judged(&damage, &first, &voided), 0, "it was sent twice");
        let late = 10 + nanos(LEASE);
        assert_eq!(
            judged(&none, &[began(0, 1, 10), ended(0, 10, late + 9)], &[began(1, 1, late)]),
            0,
            "the lease ended"
        );
    }

    #[test]
    fn a_process_has_no_excuse_in_the_far_tier_for_two_loads_of_its_own() {
        let second = Load { id: 20, slot: 1, called: 19, began: 20, version: 1, way: Way::Degraded };
        let told = [began(0, 1, 10), ended(0, 10, 30), Record::Began(second)];
        assert_eq!(of(0, &Damage::default(), &[&told]).double_loads, 1);
    }

    #[test]
    fn what_no_function_returned_and_what_hangs_are_errors() {
        let none = Damage::default();
        assert_eq!(of(0, &none, &[&[read(1, 50, 10)]]).errors, 1, "nobody loaded it");
        assert_eq!(of(0, &none, &[&[began(0, 2, 10), ended(0, 10, 20), read(1, 50, 10)]]).errors, 1, "another slot's");
        assert_eq!(of(0, &none, &[&[Record::Failed { why: "it did".to_owned() }]]).errors, 1);
        let (text, returned) = (Text::Sound, 50 + nanos(HANGS) + 2);
        let long = Record::Read(Read { slot: 1, called: 50, returned, load: 10, began: 10, version: 1, text });
        let told = [began(0, 1, 10), ended(0, 10, 20), long];
        assert_eq!(of(0, &none, &[&told]).errors, 1);
        let mut stopped = Damage::default();
        stopped.stops(0, 60, 70);
        assert_eq!(of(0, &stopped, &[&told]).errors, 0, "it stood still meanwhile");
    }
}
