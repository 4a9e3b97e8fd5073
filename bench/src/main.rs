//! Measures the cache beside its peers: `bench <family>.. [--quick] [--json FILE]`.
//!
//! Families, one file each: `hit` (a hit in process), `engine` (the index under the near backend), `ratio` (which
//! share of look-ups hits when not everything fits), `far-latency` (one caller of a memcached),
//! `far-throughput` (many callers of one), `far-multi` (many keys at once), `record` (values to bytes and back), `region` (what a
//! region adds to the far tier's items, and what a near copy saves), `cost` (what an entry and a hit allocate; built with
//! the feature `cost`). Compare figures of one run with each other, never with another's.

#[cfg(feature = "cost")]
mod cost;
mod engine;
mod far;
mod harness;
mod hit;
mod load;
mod ratio;
mod record;

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use harness::{Effort, Record};

/// What a family measures at an effort.
type Family = fn(Effort) -> Vec<Record>;

const FAMILIES: &[(&str, Family)] = &[
    ("hit", hit::run),
    ("engine", engine::run),
    ("ratio", ratio::run),
    ("far-latency", far::latency::run),
    ("far-throughput", far::throughput::run),
    ("far-multi", far::multi::run),
    ("record", record::run),
    ("region", far::region::run),
    #[cfg(feature = "cost")]
    ("cost", cost::run),
];

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let names = FAMILIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("|");
    let usage = || format!("usage: bench <{names}>.. [--quick] [--json FILE]");
    let (mut effort, mut json, mut chosen) = (Effort::Full, None, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => effort = Effort::Quick,
            "--json" => json = Some(args.next().ok_or_else(usage)?),
            name => chosen.push(*FAMILIES.iter().find(|(family, _)| *family == name).ok_or_else(usage)?),
        }
    }
    if chosen.is_empty() {
        return Err(usage());
    }
    for (name, family) in chosen {
        println!("family {name}, {effort:?}");
        let records = family(effort);
        if let Some(path) = &json {
            append(path, &records).map_err(|error| format!("{path}: {error}"))?;
        }
    }
    Ok(())
}

fn append(path: &str, records: &[Record]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    records.iter().try_for_each(|record| writeln!(file, "{}", record.to_json()))
}
