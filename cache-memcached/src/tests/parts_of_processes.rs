//! Records in parts between processes: this program started again, for a part of its own.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cache_core::backend::{BytesBackend, Claim, FillOutcome, Strength};
use cache_core::clock::Clock;
use cache_core::record;

use memcached_server::Server;

use super::parts::{client, fill, key, read};
use super::{config, region};
use crate::{Config, Memcached};

/// What a process that a test starts has to do, and with which server; in the environment.
const PART: &str = "PARTS_PART";
const PORT: &str = "PARTS_PORT";
/// No process of these tests lives longer.
const LIFE: Duration = Duration::from_secs(60);

const LARGE: usize = 20 << 20;
/// What a server takes, and how long the records are that overwrite each other: two of them are more than that.
const LIMIT: &str = "512k";
const LENGTHS: [usize; 3] = [2_600_000, 100, 2_100_000];
/// How often the record is read at least, and each of those that may be there.
const READS: usize = 1000;
const OF_EACH: usize = 20;

/// So many bytes that tell `n`, cheap to make and to compare.
fn record(n: u8, len: usize) -> Vec<u8> {
    vec![n + 1; len]
}

/// A process that plays this part.
fn process(server: &Server, part: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::parts_of_processes::processes_play_their_parts", "--nocapture"]);
    command.env(PART, part).env(PORT, server.port().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// The numbers that it tells when it has ended well.
fn told(process: Child) -> Vec<usize> {
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let told = text.lines().find_map(|line| line.strip_prefix("told "));
    told.unwrap_or_else(|| panic!("{text}")).split(' ').map(|number| number.parse().unwrap()).collect()
}

/// What the processes of the other tests do.
#[test]
fn processes_play_their_parts() {
    let Ok(part) = std::env::var(PART) else { return };
    std::thread::spawn(|| {
        std::thread::sleep(LIFE);
        std::process::exit(3);
    });
    let port = std::env::var(PORT).unwrap().parse().unwrap();
    let config = Config { io_timeout: LIFE, ..config(&[port]) };
    let client = Memcached::of_another_process(config, Clock::System).unwrap();
    let numbers = match part.as_str() {
        "write" => {
            let token = read(&client).token.unwrap();
            let outcome = fill(&client, &record(7, LARGE), token);
            assert!(matches!(outcome, FillOutcome::Stored(_)), "{outcome:?}");
            vec![LARGE]
        }
        "read" => {
            let seen = read(&client);
            assert_eq!(seen.claim, Claim::Nobody);
            let found = seen.record.unwrap();
            assert!(found == record(7, LARGE), "{} bytes of something else", found.len());
            vec![found.len()]
        }
        "watch" => watch(&client),
        other => panic!("there is no part {other:?}"),
    };
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    println!("\ntold {}", numbers.join(" "));
}

/// The records that overwrite each other.
fn records() -> [Vec<u8>; 3] {
    [0, 1, 2].map(|n| record(n as u8, LENGTHS[n]))
}

/// Reads again and again: how often it saw each of the records, a dead one, and none.
fn watch(client: &Memcached) -> Vec<usize> {
    let (records, mut seen) = (records(), vec![0; 5]);
    // Small ones are read while large ones are written, so most that are seen are small.
    while seen.iter().sum::<usize>() < READS || seen[..3].iter().any(|count| *count < OF_EACH) {
        let kind = match read(client).record {
            None => 4,
            Some(found) => match records.iter().position(|record| *record == found) {
                Some(whole) => whole,
                None if found[0] == record::SPLIT => 3,
                None => panic!("{} bytes that nobody wrote", found.len()),
            },
        };
        seen[kind] += 1;
    }
    seen
}

#[test]
fn twenty_megabytes_written_by_one_process_are_read_by_another() {
    let server = Server::start(&["-m", "256"]);
    assert_eq!(told(process(&server, "write")), [LARGE]);
    assert_eq!(told(process(&server, "read")), [LARGE]);
}

#[test]
fn a_record_that_smaller_ones_overwrite_is_to_another_process_one_of_them_or_dead() {
    let server = Server::start(&["-m", "256", "-I", LIMIT]);
    let writer = client(&server);
    let records = records();
    let mut watching = process(&server, "watch");
    let mut written = 0;
    while watching.try_wait().unwrap().is_none() {
        let seen = read(&writer);
        let outcome = fill(&writer, &records[written % 3], seen.token.unwrap());
        written += usize::from(matches!(outcome, FillOutcome::Stored(_)));
    }
    let seen = told(watching);
    assert!(seen.iter().sum::<usize>() >= READS, "{seen:?}");
    assert!(written > OF_EACH / 2, "{seen:?}, {written} times overwritten");
    drop(BytesBackend::invalidate(&writer, &[key()], Strength::Hard, &region()));
    assert_eq!(read(&writer).record, None);
}
