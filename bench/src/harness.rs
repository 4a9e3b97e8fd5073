//! Runs subjects in interleaved rounds (A B C A B C ..), so that what the machine does besides falls on all of them,
//! and tells median and best with the ratios that carry over to other machines.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// How long a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Enough for figures to stand on.
    Full,
    /// Enough to see that it runs.
    Quick,
}

/// What a subject is to the others of its case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of this repository.
    Ours,
    /// A product that does the same; the best of them is what ours is compared with.
    Peer,
    /// What the others are divided by: it does less than they must.
    Limit,
    /// Told beside, compared with nothing.
    Beside,
}

/// Something that can be asked for keys.
pub trait Subject: Sync {
    fn name(&self) -> &str;

    fn role(&self) -> Role;

    /// Asks once for each key of `picks`, on this thread, and says how long that took.
    fn ask(&self, picks: &[u32]) -> Duration;
}

/// One figure.
#[derive(Clone)]
pub struct Record {
    pub family: &'static str,
    pub case: String,
    pub subject: String,
    pub role: Role,
    pub unit: &'static str,
    pub median: f64,
    pub best: f64,
    /// What the case's figures are divided by: name and ratio.
    pub to_limit: Option<Ratio>,
    pub to_best_peer: Option<Ratio>,
}

/// Of one subject's median to another's.
#[derive(Clone)]
pub struct Ratio {
    pub to: String,
    pub ratio: f64,
}

impl Record {
    pub fn to_json(&self) -> Value {
        let ratio = |ratio: &Option<Ratio>| ratio.as_ref().map(|ratio| ratio.ratio);
        let to = |ratio: &Option<Ratio>| ratio.as_ref().map(|ratio| ratio.to.clone());
        // Sorted, as serde_json does it by itself, unless a peer brings the feature that keeps the order from here.
        json!({
            "best": self.best, "best_peer": to(&self.to_best_peer), "case": self.case, "family": self.family,
            "limit": to(&self.to_limit), "median": self.median, "ratio_to_best_peer": ratio(&self.to_best_peer),
            "ratio_to_limit": ratio(&self.to_limit), "subject": self.subject, "unit": self.unit,
        })
    }
}

/// Times every subject in each round, on `threads` threads at once, and prints the case.
pub fn time(
    family: &'static str,
    case: &str,
    subjects: &[Box<dyn Subject>],
    picks: &[Vec<u32>],
    effort: Effort,
) -> Vec<Record> {
    let rounds = if effort == Effort::Full { 17 } else { 5 };
    let mut nanos = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (subject, nanos) in subjects.iter().zip(&mut nanos) {
            nanos.push(time_once(subject.as_ref(), picks));
        }
    }
    let rows = subjects.iter().zip(nanos).map(|(subject, mut nanos)| {
        nanos.sort_by(f64::total_cmp);
        (subject.name().to_owned(), subject.role(), nanos[nanos.len() / 2], nanos[0])
    });
    tell(family, case, "ns", rows.collect(), Better::Less)
}

/// Nanoseconds per call as one thread sees it. The subject's cache is passed over once just before.
fn time_once(subject: &dyn Subject, picks: &[Vec<u32>]) -> f64 {
    let barrier = Barrier::new(picks.len());
    let timed = |picks: &[u32]| {
        subject.ask(&picks[..picks.len() / 8]);
        barrier.wait();
        subject.ask(picks).as_nanos() as f64 / picks.len() as f64
    };
    let sum: f64 = thread::scope(|scope| {
        let threads: Vec<_> = picks.iter().map(|picks| scope.spawn(|| timed(picks))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a subject failed")).sum()
    });
    sum / picks.len() as f64
}

/// Which figure is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Less,
    More,
}

/// A subject's name and role, its median and its best.
pub type Row = (String, Role, f64, f64);

/// Prints one case as a table and makes its records.
pub fn tell(family: &'static str, case: &str, unit: &'static str, rows: Vec<Row>, better: Better) -> Vec<Record> {
    let of = |wanted: Role| {
        rows.iter().filter(move |(_, role, ..)| *role == wanted).map(|(name, _, median, _)| (name.clone(), *median))
    };
    let limit = of(Role::Limit).next();
    let by_median = |one: &(String, f64), other: &(String, f64)| one.1.total_cmp(&other.1);
    let best_peer = match better {
        Better::Less => of(Role::Peer).min_by(by_median),
        Better::More => of(Role::Peer).max_by(by_median),
    };
    println!("\n{case:<52} {:>9} {:>9} {:>8} {:>10}", format!("median {unit}"), "best", "/limit", "/best peer");
    for (what, to) in [("/limit", &limit), ("/best peer", &best_peer)] {
        to.iter().for_each(|(name, _)| println!("  {what}: {name}"));
    }
    let mut records = Vec::new();
    for (subject, role, median, best) in &rows {
        let ratio = |to: &Option<(String, f64)>| to.clone().map(|(to, figure)| Ratio { to, ratio: median / figure });
        let record = Record {
            family,
            case: case.to_owned(),
            subject: subject.clone(),
            role: *role,
            unit,
            median: *median,
            best: *best,
            to_limit: ratio(&limit),
            to_best_peer: ratio(&best_peer),
        };
        let told = |ratio: &Option<Ratio>| ratio.as_ref().map_or("-".to_owned(), |ratio| format!("{:.2}", ratio.ratio));
        println!(
            "  {subject:<50} {median:>9.2} {best:>9.2} {:>8} {:>10}",
            told(&record.to_limit),
            told(&record.to_best_peer)
        );
        records.push(record);
    }
    records
}
