//! Simulates processes on a simulated far tier until so many invalidations were made, and fails if anything is found.
//!
//! ```sh
//! cargo run --release -p cache-core --example simulate --features testkit -- --invalidations 10000000
//! cargo run --release -p cache-core --example simulate --features testkit -- --seed 4711
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/simulation/world/mod.rs"]
#[allow(dead_code)]
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cache_core::testkit::Tally;
use world::plot::Flaw;
use world::plots::{PLOTS, plot_of};

const USAGE: &str = "simulate [--invalidations N] [--threads N] [--first SEED] [--virtual-seconds N] [--seed SEED] \
                     [--without RULE]";

/// What may be left out.
const FLAWS: [Flaw; 17] = [
    Flaw::Unfenced,
    Flaw::UnfencedSet,
    Flaw::Generations,
    Flaw::TagGenerations,
    Flaw::GenerationsAfterLoad,
    Flaw::EveryVerdictHeld,
    Flaw::LateProof,
    Flaw::LatePut,
    Flaw::DropBeforeVoid,
    Flaw::DropFirst,
    Flaw::SameEpoch,
    Flaw::Unbounded,
    Flaw::LaxNesting,
    Flaw::MemoryRejects,
    Flaw::EveryTakeWins,
    Flaw::PendingIsDone,
    Flaw::SlowAnswers,
];

struct Arguments {
    invalidations: u64,
    threads: usize,
    first: u64,
    lasts: Duration,
    /// Only this one.
    seed: Option<u64>,
    /// What is left out, to see whether it is missed.
    flaw: Flaw,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        invalidations: 1_000_000,
        threads: thread::available_parallelism().map_or(1, usize::from),
        first: 0,
        lasts: Duration::from_secs(30),
        seed: None,
        flaw: Flaw::None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().unwrap_or_default();
        if name == "--without" {
            let flaw = FLAWS.into_iter().find(|flaw| format!("{flaw:?}") == value);
            arguments.flaw = flaw.ok_or_else(|| format!("`--without` is one of {FLAWS:?}"))?;
            continue;
        }
        let value = value.replace('_', "").parse::<u64>().ok();
        let value = value.ok_or_else(|| format!("`{name}` needs a number\n{USAGE}"))?;
        match name.as_str() {
            "--invalidations" => arguments.invalidations = value,
            "--threads" => arguments.threads = value.max(1) as usize,
            "--first" => arguments.first = value,
            "--virtual-seconds" => arguments.lasts = Duration::from_secs(value),
            "--seed" => arguments.seed = Some(value),
            _ => return Err(format!("`{name}` is not known\n{USAGE}")),
        }
    }
    Ok(arguments)
}

/// What all threads have come to.
#[derive(Default)]
struct Total {
    seeds: u64,
    tally: Tally,
    /// By plot: what was counted, and how long it took.
    plots: Vec<(Tally, Duration)>,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let next = AtomicU64::new(arguments.seed.unwrap_or(arguments.first));
    let (failed, enough) = (AtomicBool::new(false), AtomicBool::new(false));
    let total = Mutex::new(Total { plots: vec![Default::default(); PLOTS as usize], ..Total::default() });
    let work = || {
        while !enough.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let (name, plot) = plot_of(seed, arguments.lasts);
            let start = Instant::now();
            let outcome = world::run(seed, &plot.without(arguments.flaw));
            let Ok(mut total) = total.lock() else { return };
            total.seeds += 1;
            total.tally.add(&outcome.tally);
            let (of_plot, took) = &mut total.plots[(seed % PLOTS) as usize];
            of_plot.add(&outcome.tally);
            *took += start.elapsed();
            if !outcome.is_clean() {
                failed.store(true, Ordering::Relaxed);
                eprintln!("seed {seed} ({name}): {}", outcome.tally);
                outcome.findings.iter().for_each(|finding| eprintln!("    {finding}"));
                outcome.stuck.iter().for_each(|stuck| eprintln!("    {stuck}"));
                let seconds = arguments.lasts.as_secs();
                eprintln!("    again: simulate --seed {seed} --virtual-seconds {seconds}");
            }
            let is_enough = total.tally.invalidations >= arguments.invalidations || arguments.seed.is_some();
            enough.fetch_or(is_enough, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let threads = if arguments.seed.is_some() { 1 } else { arguments.threads };
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let Ok(total) = total.into_inner() else { return ExitCode::FAILURE };
    for (number, (tally, took)) in total.plots.iter().enumerate().filter(|(_, (tally, _))| tally.reads > 0) {
        let (name, _) = plot_of(number as u64, arguments.lasts);
        eprintln!("{name}: {tally} thread_seconds={:.1}", took.as_secs_f64());
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("seeds={} {} seconds={seconds:.1}", total.seeds, total.tally);
    if failed.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
