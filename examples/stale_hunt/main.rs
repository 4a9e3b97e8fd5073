//! Hunts for stale reads: real processes read and invalidate hot keys over real memcached servers, under faults if told to, and
//! all that they did is judged by what the cache promises.
//!
//! `cargo run --release -p examples --bin stale-hunt -- --faults`
//!
//! The last line that it prints is for scripts. It ends with 0 if nothing was stale, double or wrong, and enough was tried.
//! Ctrl-C at a terminal reaches all its processes and servers. If it is killed alone, its processes end by themselves, and its
//! servers stay.

mod clock;
mod damage;
mod faults;
mod fleet;
mod item;
mod judge;
mod log;
mod naive;
mod options;
mod random;
mod reader;
mod source;
mod trouble;
mod worker;
mod writer;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use faults::Faults;
use fleet::Fleet;
use judge::{Verdict, judge};
use options::{Options, USAGE, Weather};
use source::Source;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much longer than it was told to a hunt may go on for the number of its invalidations.
const LONGER: u64 = 10;
const LOOKS: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("--worker") => work(arguments.get(1)),
        Some("--help" | "-h") => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => match Options::parse(arguments) {
            Ok(options) => hunt(&options),
            Err(mistake) => Err(format!("{mistake}\n{USAGE}").into()),
        },
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("stale-hunt: {failure}");
        ExitCode::from(2)
    })
}

fn work(job: Option<&String>) -> Result<ExitCode, Failure> {
    worker::run(serde_json::from_str(job.ok_or("--worker needs a job")?)?)?;
    Ok(ExitCode::SUCCESS)
}

fn hunt(options: &Options) -> Result<ExitCode, Failure> {
    look_for_memcached()?;
    let directory = env::temp_dir().join(format!("stale-hunt-{}", std::process::id()));
    let source = Source::open(&directory.join("source"), 2 * options.keys)?;
    let verdict = run(options, directory.clone(), &source)?;
    verdict.findings.iter().for_each(|finding| eprintln!("{finding}"));
    let good = verdict.is_good(options.invalidations);
    if good {
        fs::remove_dir_all(&directory)?;
    } else {
        eprintln!("what each process did stands in {}", directory.display());
    }
    println!("{verdict}");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Until time is up and enough was invalidated; and then what came of it.
fn run(options: &Options, directory: PathBuf, source: &Source) -> Result<Verdict, Failure> {
    let mut fleet = Fleet::start(options, directory)?;
    let mut faults = (options.weather == Weather::Foul).then(|| Faults::new(options.seed));
    let (began, time) = (Instant::now(), Duration::from_secs(options.seconds));
    let mut longest = time.saturating_mul(LONGER as u32);
    longest = longest.max(Duration::from_secs(60));
    while began.elapsed() < longest {
        // Each write is followed by an invalidation; a few may be under way.
        let enough = source.writes()? >= options.invalidations + 100;
        if !fleet.is_whole() || (enough && began.elapsed() >= time) {
            break;
        }
        if let Some(faults) = &mut faults {
            faults.act(&mut fleet)?;
        }
        thread::sleep(LOOKS);
    }
    if let Some(faults) = &mut faults {
        faults.end(&mut fleet);
    }
    fleet.end();
    let mut verdict = judge(&fleet.logs, 2 * options.keys, options.cache.max_staleness(), &fleet.damage)?;
    verdict.errors += fleet.lost;
    Ok(verdict)
}

fn look_for_memcached() -> Result<(), Failure> {
    let memcached = env::var_os("MEMCACHED").unwrap_or_else(|| "memcached".into());
    let status = Command::new(&memcached).arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "`{}` cannot be run: install memcached, 1.6.18 or newer (`apt-get install memcached`, `brew install \
             memcached`), or say where it is with MEMCACHED",
            memcached.display()
        )
        .into()),
    }
}
