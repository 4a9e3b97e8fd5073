//! What is kept of a run: for each family its figures, one JSON object per line, and a picture of them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::harness::{Effort, Record};
use crate::plot;

/// Where, unless the command line says otherwise.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");

/// The feature that a build counts with, if it does, and the family that it is for.
const COUNTS: Option<(&str, &str)> = match (cfg!(feature = "cost"), cfg!(feature = "counting")) {
    (true, _) => Some(("cost", "cost")),
    (false, true) => Some(("counting", "storm-memory")),
    (false, false) => None,
};

/// Cases that have a picture of their own, for a reader in a hurry: `<family>-in-brief.svg`.
const IN_BRIEF: [(&str, &[&str]); 2] = [
    ("hit", &["u64, 1 thr, sync", "String 100 B, 1 thr, sync"]),
    ("storm", &["2,000 tasks, p99", "4 processes x 10 threads, memcached, p99"]),
];

/// Whether a run's figures are worth it. A build that counts keeps what is counted, and no times.
pub fn is_kept(effort: Effort, family: &str) -> bool {
    effort == Effort::Full && COUNTS.is_none_or(|(_, counted)| counted == family)
}

/// Figures and picture, in place of those from before. `arguments` are those of the command that makes them again.
pub fn keep(folder: &str, family: &str, arguments: &str, records: &[Record]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let path = |rest: &str| Path::new(folder).join(format!("{family}{rest}"));
    let lines: String = records.iter().map(|record| format!("{}\n", record.to_json())).collect();
    fs::write(path(".json"), lines)?;
    let has_hitbox = cfg!(feature = "hitbox") && ["hit", "storm", "storm-memory"].contains(&family);
    let features = COUNTS.map(|(feature, _)| feature).into_iter().chain(has_hitbox.then_some("hitbox"));
    let features: String = features.map(|feature| format!("--features {feature} ")).collect();
    let command = format!("cargo run --release --manifest-path bench/Cargo.toml {features}-- {arguments}");
    fs::write(path(".svg"), plot::svg(family, records, &command))?;
    let Some((_, cases)) = IN_BRIEF.iter().find(|(name, _)| *name == family) else { return Ok(()) };
    let records: Vec<Record> = records.iter().filter(|record| cases.contains(&&*record.case)).cloned().collect();
    fs::write(path("-in-brief.svg"), plot::svg(family, &records, &command))
}

/// Behind what the file has already.
pub fn append(path: &str, records: &[Record]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    records.iter().try_for_each(|record| writeln!(file, "{}", record.to_json()))
}
