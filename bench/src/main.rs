//! Measures the cache beside its peers: `bench <family>.. [--quick] [--json FILE] [--trace FILE]..`.
//!
//! Families, one file each: `hit` (a hit in process), `engine` (the index under the near backend), `trace` (which
//! share of look-ups hits when not everything fits), `storm` (many callers of one cold key), `far-latency` (one caller of
//! a memcached), `far-throughput` (many callers of one), `far-multi` (many keys at once). A build with `--features counting`
//! has `storm-memory` too, and counts in the others what need not be counted. Compare figures of one run with each other,
//! never with another's.

#[cfg(feature = "counting")]
mod counting;
mod engine;
mod far;
mod harness;
mod hit;
mod load;
mod storm;
mod trace;

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use harness::{Effort, Record};

/// What a family measures at an effort.
type Family = fn(Effort) -> Vec<Record>;

const FAMILIES: &[(&str, Family)] = &[
    ("hit", hit::run),
    ("engine", engine::run),
    ("trace", trace::run),
    ("storm", storm::run),
    #[cfg(feature = "counting")]
    ("storm-memory", storm::memory),
    ("far-latency", far::latency::run),
    ("far-throughput", far::throughput::run),
    ("far-multi", far::multi::run),
];

fn main() -> ExitCode {
    if storm::is_child() {
        return ExitCode::SUCCESS;
    }
    match run(env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let names: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
    let usage = || format!("usage: bench <{}>.. [--quick] [--json FILE] [--trace FILE]..", names.join("|"));
    let (mut effort, mut json, mut chosen) = (Effort::Full, None, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => effort = Effort::Quick,
            "--trace" => add_trace(&args.next().ok_or_else(usage)?)?,
            "--json" => json = Some(args.next().ok_or_else(usage)?),
            name => chosen.push(*FAMILIES.iter().find(|(family, _)| *family == name).ok_or_else(usage)?),
        }
    }
    if chosen.is_empty() {
        return Err(usage());
    }
    for path in env::var_os("BENCH_TRACE").iter().flat_map(env::split_paths) {
        add_trace(&path.to_string_lossy())?;
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

fn add_trace(path: &str) -> Result<(), String> {
    trace::add_file(path).map_err(|error| format!("{path}: {error}"))
}

fn append(path: &str, records: &[Record]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    records.iter().try_for_each(|record| writeln!(file, "{}", record.to_json()))
}
