//! Measures the cache beside its peers: `bench <family>.. [--quick] [--json FILE] [--results DIR] [--trace FILE]..`.
//!
//! The figures of each family, and a picture of them, are kept in `bench/results`; with `--quick` they are kept nowhere
//! unless `--results` says where. Several families run one after the other, each in a process of its own: some leave
//! traces, such as a thread that stays on its CPU. `all` is every family, each in the build that it needs.
//!
//! Families, one file each: `hit` (a hit in process), `engine` (the index under the near backend), `trace` (which
//! share of look-ups hits when not everything fits), `storm` (many callers of one cold key), `far-latency` (one caller of
//! a memcached), `far-throughput` (many callers of one), `far-multi` (many keys at once), `record` (values to bytes and
//! back), `region` (what a region adds to the far tier's items, and what a near copy saves). A build with `--features
//! counting` has `storm-memory` too, and one with `--features cost` has `cost` (what an entry and a hit cost): what they
//! count slows the others down. One with `--features hitbox` has that peer in `hit` and `storm`; it is long in compiling.
//! Compare figures of one run with each other, never with another's.

#[cfg(feature = "cost")]
mod cost;
// A program has one allocator: with both features, it counts for `cost`.
#[cfg(all(feature = "counting", not(feature = "cost")))]
mod counting;
mod engine;
mod far;
mod harness;
mod hit;
mod load;
mod plot;
mod record;
mod results;
mod storm;
mod trace;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

use harness::{Effort, Record};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a family measures at an effort.
type Family = fn(Effort) -> Vec<Record>;

const FAMILIES: &[(&str, Family)] = &[
    ("hit", hit::run),
    ("engine", engine::run),
    ("trace", trace::run),
    ("storm", storm::run),
    #[cfg(all(feature = "counting", not(feature = "cost")))]
    ("storm-memory", storm::memory),
    ("far-latency", far::latency::run),
    ("far-throughput", far::throughput::run),
    ("far-multi", far::multi::run),
    ("record", record::run),
    ("region", far::region::run),
    #[cfg(feature = "cost")]
    ("cost", cost::run),
];

/// `all`: each family with the features of the build that it is in. `engine` is for who works on it.
const ALL: &[(&str, &str)] = &[
    ("hit", "hitbox"),
    ("trace", ""),
    ("storm", "hitbox"),
    ("storm-memory", "counting,hitbox"),
    ("far-latency", ""),
    ("far-throughput", ""),
    ("far-multi", ""),
    ("record", ""),
    ("region", ""),
    ("cost", "cost"),
];

fn main() -> ExitCode {
    if storm::is_child() {
        return ExitCode::SUCCESS;
    }
    #[cfg(feature = "cost")]
    if cost::is_child() {
        return ExitCode::SUCCESS;
    }
    open_files_as_allowed();
    match run(env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Some peers open a connection for each caller, of which there are a thousand.
fn open_files_as_allowed() {
    let limit = getrlimit(Resource::Nofile);
    let allowed = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, allowed) {
        eprintln!("no more files can be opened than {:?}: {error}", limit.current);
    }
}

fn usage() -> String {
    let names: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
    format!(
        "usage: bench all|{}.. [--quick] [--json FILE] [--results DIR] [--trace FILE]..\n\
         --quick    to see that it runs; what bench/results keeps stays as it is\n\
         --json     adds the figures to this file, one JSON object per line\n\
         --results  keeps figures and pictures there instead of in bench/results, those of --quick too\n\
         --trace    for the family trace: a file with one key per line; or in BENCH_TRACE, separated by colons\n\
         A build with --features counting has the family storm-memory too, one with cost the family cost, and one with\n\
         hitbox has that peer in hit and storm; all makes these builds itself.",
        names.join("|")
    )
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut effort, mut json, mut folder, mut traces) = (Effort::Full, None, None, Vec::new());
    let (mut chosen, mut options, mut is_all) = (Vec::new(), Vec::new(), false);
    while let Some(arg) = args.next() {
        if let Some(family) = FAMILIES.iter().find(|(name, _)| *name == arg) {
            chosen.push(*family);
            continue;
        }
        options.push(arg.clone());
        let mut value = || args.next().inspect(|value| options.push(value.clone())).ok_or_else(usage);
        match arg.as_str() {
            "all" => {
                is_all = true;
                options.pop();
            }
            "--quick" => effort = Effort::Quick,
            "--json" => json = Some(value()?),
            "--results" => folder = Some(value()?),
            "--trace" => traces.push(value()?),
            _ => return Err(usage()),
        }
    }
    if is_all {
        return all(&options);
    }
    let [(name, family)] = chosen[..] else { return each_alone(&chosen, &options) };
    if let Some(more) = env::var_os("BENCH_TRACE") {
        traces.extend(env::split_paths(&more).map(|path| path.to_string_lossy().into_owned()));
    }
    for path in &traces {
        trace::add_file(path).map_err(|error| format!("{path}: {error}"))?;
    }
    println!("family {name}, {effort:?}");
    let records = family(effort);
    if let Some(path) = &json {
        results::append(path, &records).map_err(|error| format!("{path}: {error}"))?;
    }
    let folder = folder.or_else(|| results::is_kept(effort, name).then(|| results::FOLDER.to_owned()));
    let Some(folder) = folder else { return Ok(()) };
    let mut arguments = name.to_owned();
    if effort == Effort::Quick {
        arguments.push_str(" --quick");
    }
    for path in traces.iter().map(Path::new) {
        // Where it lies is nobody's concern.
        arguments.push_str(&format!(" --trace {}", path.file_name().unwrap_or_default().display()));
    }
    results::keep(&folder, name, &arguments, &records).map_err(|error| format!("{folder}: {error}"))
}

fn each_alone(chosen: &[(&str, Family)], options: &[String]) -> Result<(), String> {
    if chosen.is_empty() {
        return Err(usage());
    }
    for (name, _) in chosen {
        let program = env::current_exe().map_err(|error| error.to_string())?;
        run_to_end(name, Command::new(program).arg(name).args(options))?;
    }
    Ok(())
}

fn all(options: &[String]) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for (name, features) in ALL {
        let mut command = Command::new(&cargo);
        command.args([
            "run",
            "--release",
            "--locked",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ]);
        command.args(["--features", features, "--", name]).args(options);
        run_to_end(name, &mut command)?;
    }
    Ok(())
}

fn run_to_end(family: &str, command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("family {family}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("family {family}: {status}")) }
}
