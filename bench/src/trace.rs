//! Family `trace`: which share of the look-ups hits when the cache has room for a part of the keys only, and what a
//! look-up takes, with what is stored after a miss.
//!
//! The traces that are always there are made up, so they show how policies differ in kind, not what a service would see.
//! Those of services come from files: text with one key per line, in the order in which they were asked for. The limit is
//! that of caches which never hold more than they have room for: moka does between its rounds of tidying up, which for a
//! few dozen entries lifts it above.

mod policies;
mod subjects;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use crate::harness::{Better, Effort, Record, Role, Row, tell};
use crate::load::{Random, Zipf};
use policies::clairvoyant;
use subjects::{Make, SUBJECTS};

const KEYS: usize = 100_000;
const OURS: &str = "cache-memory";

/// A name, and the keys in the order in which they are asked for, numbered from 0 without gaps.
struct Trace {
    name: String,
    ids: Vec<u32>,
}

static FILES: Mutex<Vec<Trace>> = Mutex::new(Vec::new());

/// Adds a trace: each line of the file is a key, with all its bytes but the end of the line; empty lines are nothing.
pub fn add_file(path: &str) -> io::Result<()> {
    let (mut numbers, mut ids) = (HashMap::new(), Vec::new());
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let mut line = line?;
        line.pop_if(|last| *last == b'\r');
        if !line.is_empty() {
            let next = numbers.len() as u32;
            ids.push(*numbers.entry(line).or_insert(next));
        }
    }
    let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    FILES.lock().expect("nobody panics").push(Trace { name, ids });
    Ok(())
}

pub fn run(effort: Effort) -> Vec<Record> {
    let (len, rounds) = if effort == Effort::Full { (3_000_000, 15) } else { (300_000, 1) };
    let made_up =
        [("zipf 0.9", zipf(len)), ("zipf 0.9 + scan", zipf_and_scan(len)), ("shifting hot set", shifting(len))];
    let mut traces: Vec<_> = made_up.map(|(name, ids)| Trace { name: name.to_owned(), ids }).into();
    traces.append(&mut FILES.lock().expect("nobody panics"));
    let (mut records, mut cells) = (Vec::new(), Vec::new());
    for Trace { name, ids } in &traces {
        let footprint = 1 + ids.iter().copied().max().unwrap_or_default() as usize;
        for percent in [1, 5, 10, 25] {
            let capacity = (footprint * percent / 100).max(1);
            let case = format!("{name}, {percent} % of {footprint} keys");
            let (shares, nanos) = measure(ids, capacity, rounds);
            records.extend(tell("trace", &case, "% hits", shares.clone(), Better::More));
            records.extend(tell("trace", &format!("{case}, a look-up"), "ns", nanos, Better::Less));
            cells.push((case, shares));
        }
    }
    records.extend(summary(&cells));
    records
}

/// Shares of hits, and nanoseconds of those who would be used; all begin empty in each round.
fn measure(ids: &[u32], capacity: usize, rounds: usize) -> (Vec<Row>, Vec<Row>) {
    let mut seen = vec![Vec::new(); SUBJECTS.len()];
    for _ in 0..rounds {
        for ((.., make), seen) in SUBJECTS.iter().zip(&mut seen) {
            seen.push(pass(*make, ids, capacity));
        }
    }
    let limit = 100.0 * clairvoyant(ids, capacity) as f64 / ids.len() as f64;
    let mut shares = vec![("limit: clairvoyant".to_owned(), Role::Limit, limit, limit)];
    let mut nanos = Vec::new();
    for ((name, role, is_product, _), seen) in SUBJECTS.iter().zip(seen) {
        let (mut hits, mut took): (Vec<f64>, Vec<f64>) = seen.into_iter().unzip();
        hits.sort_by(f64::total_cmp);
        took.sort_by(f64::total_cmp);
        shares.push(((*name).to_owned(), *role, hits[hits.len() / 2], hits[hits.len() - 1]));
        if *is_product {
            nanos.push(((*name).to_owned(), *role, took[took.len() / 2], took[0]));
        }
    }
    (shares, nanos)
}

/// Percent of hits, and nanoseconds per look-up.
fn pass(make: Make, ids: &[u32], capacity: usize) -> (f64, f64) {
    let mut hits = make(capacity);
    let start = Instant::now();
    let hit = ids.iter().filter(|id| hits(**id)).count();
    let nanos = start.elapsed().as_nanos() as f64;
    (100.0 * hit as f64 / ids.len() as f64, nanos / ids.len() as f64)
}

/// The mean over all cells, and the cell in which ours is furthest below the best peer.
fn summary(cells: &[(String, Vec<Row>)]) -> Vec<Record> {
    let Some((_, first)) = cells.first() else { return Vec::new() };
    let mean = |at: usize| cells.iter().map(|(_, rows)| rows[at].2).sum::<f64>() / cells.len() as f64;
    let means = first.iter().enumerate().map(|(at, (name, role, ..))| (name.clone(), *role, mean(at), mean(at)));
    let mut records = tell("trace", "mean of all cells", "% hits", means.collect(), Better::More);
    let differences = cells.iter().map(|(case, rows)| {
        let ours = rows.iter().find(|(name, ..)| name == OURS).expect("ours is measured");
        let peers = rows.iter().filter(|(_, role, ..)| *role == Role::Peer);
        let peer = peers.max_by(|one, other| one.2.total_cmp(&other.2)).expect("peers are measured");
        (ours.2 - peer.2, case, &peer.0)
    });
    let (points, case, peer) = differences.min_by(|one, other| one.0.total_cmp(&other.0)).expect("there are cells");
    let row = (format!("{OURS} less {peer}"), Role::Ours, points, points);
    records.extend(tell("trace", &format!("worst cell: {case}"), "points", vec![row], Better::More));
    records
}

/// Draws by popularity, from keys in no order.
fn zipf(len: usize) -> Vec<u32> {
    let (zipf, mut random) = (Zipf::new(KEYS, 0.9), Random::new(1));
    (0..len).map(|_| zipf.draw(&mut random) as u32).collect()
}

/// The same, with a fifth of the look-ups in runs of 5000 through keys that nobody else asks for.
fn zipf_and_scan(len: usize) -> Vec<u32> {
    let (zipf, mut random) = (Zipf::new(KEYS, 0.9), Random::new(2));
    let mut scanned = 0;
    let draw = |at: usize| {
        if (at / 5000) % 5 == 4 {
            scanned = (scanned + 1) % KEYS;
            (KEYS + scanned) as u32
        } else {
            zipf.draw(&mut random) as u32
        }
    };
    (0..len).map(draw).collect()
}

/// Nine of ten look-ups go to a hot twentieth of the keys, which becomes another one six times.
fn shifting(len: usize) -> Vec<u32> {
    let mut random = Random::new(3);
    let hot = KEYS as u64 / 20;
    let draw = |at: usize| {
        let shift = (at * 6 / len) as u64 * hot;
        if random.unit() < 0.9 { (shift + random.below(hot)) as u32 } else { random.below(KEYS as u64) as u32 }
    };
    (0..len).map(draw).collect()
}
