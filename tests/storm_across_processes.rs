//! Storms on keys that are not there, or no longer, over a real memcached: several processes, each with many threads or tasks;
//! and what becomes of them when the one that loads is killed, stands still, or holds the claim on a stale value.
//!
//! A load takes a number by creating a file, so that all processes together count from 1 for each key. The value is the number.

#![cfg(all(
    unix,
    feature = "macros",
    feature = "memcached",
    feature = "memory",
    feature = "testkit",
    feature = "tokio"
))]
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cache::testkit::{isolated, isolated_async};
use cache::{Region, Registry, Settings, cached, open_known_schemes, registry};
use memcached_server::Server;

static STORM: Region = Region::named("storm");

const LOAD: Duration = Duration::from_millis(50);
/// The shortest there is.
const LEASE: Duration = Duration::from_secs(2);
/// memcached counts whole seconds, and is asked for one more: a lease of 2 s may last up to 3 s there.
const SECOND: Duration = Duration::from_secs(1);
/// What a busy machine may take beside, and whoever waits between two looks.
const BESIDE: Duration = Duration::from_secs(4);
/// No process of these tests lives longer, so that nothing waits for it without a bound.
const LIFE: Duration = Duration::from_secs(60);

/// Where the loads of a test are counted, and what holds them up.
#[derive(Debug, Clone)]
struct Loads {
    directory: PathBuf,
}

impl Loads {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("storm-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a directory of its own");
        Loads { directory }
    }

    fn file(&self, key: u64, number: u64) -> PathBuf {
        self.directory.join(format!("{key}-{number}"))
    }

    /// The number of a load that begins now.
    fn begin(&self, key: u64) -> u64 {
        let taken = |number: &u64| File::create_new(self.file(key, *number));
        let (number, mut file) = (1..).find_map(|number| Some((number, taken(&number).ok()?))).expect("it ends");
        write!(file, "{}", std::process::id()).expect("a number is written");
        number
    }

    fn count(&self, key: u64) -> u64 {
        (1..).take_while(|number| self.file(key, *number).exists()).count() as u64
    }

    /// Has the load of this number wait until it is let go.
    fn hold(&self, number: u64) {
        File::create_new(self.directory.join(format!("held-{number}"))).expect("it is held once");
    }

    fn let_go(&self, number: u64) {
        fs::remove_file(self.directory.join(format!("held-{number}"))).expect("it is held");
    }

    fn is_held(&self, number: u64) -> bool {
        self.directory.join(format!("held-{number}")).exists()
    }

    /// Waits for a load to begin: the process in which it runs.
    fn begun(&self, key: u64, number: u64, within: Duration) -> u32 {
        let until = Instant::now() + within;
        loop {
            let told = fs::read_to_string(self.file(key, number)).ok().and_then(|pid| pid.parse().ok());
            if let Some(pid) = told {
                return pid;
            }
            assert!(Instant::now() < until, "load {number} does not begin within {within:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cached(STORM, "page", skip(loads))]
fn page(loads: &Loads, key: u64) -> u64 {
    let number = loads.begin(key);
    thread::sleep(LOAD);
    while loads.is_held(number) {
        thread::sleep(Duration::from_millis(2));
    }
    number
}

#[cached(STORM, "page", skip(loads))]
async fn page_in_task(loads: &Loads, key: u64) -> u64 {
    let number = loads.begin(key);
    tokio::time::sleep(LOAD).await;
    while loads.is_held(number) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    number
}

/// The first value is soon stale, later ones are not.
#[cached(STORM, "brief", skip(loads), ttl_of = |number: &u64| (*number == 1).then_some(LEASE))]
fn brief(loads: &Loads, key: u64) -> u64 {
    page_uncached(loads, key)
}

/// What a process that a test starts has to do, and with which loads; in the environment.
const PART: &str = "STORM_PART";
const DIRECTORY: &str = "STORM_DIRECTORY";

/// A process of a test, until it has told what it saw. It is killed if that is not waited for.
struct Process {
    child: Child,
    told: BufReader<ChildStdout>,
}

/// What the callers of processes got, and what was counted there.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// How many got each value.
    values: BTreeMap<u64, usize>,
    counts: BTreeMap<String, u64>,
}

/// Processes that are ready to play this part each, and begin when they are told to.
fn processes(server: &Server, loads: &Loads, parts: &[&str]) -> Vec<Process> {
    let start = |part: &&str| {
        let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
        command.args(["--exact", "processes_play_their_parts", "--nocapture"]);
        command.env(PART, part).env(DIRECTORY, &loads.directory);
        // Many threads share a few connections here: the far tier must not fail because somebody had to wait for one.
        let url = format!("{}?io_timeout=20s&pool_timeout=20s&connect_timeout=20s", server.url());
        command.env("CACHE_STORM", url).env("CACHE_STORM__LEASE", "2s");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a test can be run");
        let told = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Process { child, told }
    };
    let mut processes: Vec<_> = parts.iter().map(start).collect();
    processes.iter_mut().for_each(|process| drop(process.line("ready")));
    processes
}

fn begin(processes: &mut [Process]) {
    for process in processes {
        process.child.stdin.as_mut().expect("it is a pipe").write_all(b"begin\n").expect("it listens");
    }
}

/// What these processes tell, all together.
fn told(processes: impl IntoIterator<Item = Process>) -> Told {
    let mut all = Told::default();
    for mut process in processes {
        for word in process.line("told").split_whitespace() {
            let (name, number) = word.split_once('=').expect("a name and a number");
            let number: u64 = number.parse().expect("a number");
            match name.strip_prefix("value-") {
                Some(value) => *all.values.entry(value.parse().expect("a value")).or_default() += number as usize,
                None => *all.counts.entry(name.to_owned()).or_default() += number,
            }
        }
        assert!(process.child.wait().expect("it ends").success());
    }
    all
}

impl Process {
    /// The rest of the line that begins so. It comes within the life of a process.
    fn line(&mut self, begins: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let count = self.told.read_line(&mut line).expect("it tells text");
            assert!(count > 0, "the process has ended without `{begins}`: {seen}");
            if let Some(rest) = line.strip_prefix(begins) {
                return rest.trim().to_owned();
            }
            seen.push_str(&line);
        }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("`kill` is there").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Loads {
    /// With the test; the processes that it started have ended, or will find nothing to count.
    fn drop(&mut self) {
        if std::env::var_os(PART).is_none() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

impl Told {
    fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }
}

/// What the processes of the other tests do.
#[test]
fn processes_play_their_parts() {
    let Ok(part) = std::env::var(PART) else { return };
    thread::spawn(|| {
        thread::sleep(LIFE);
        std::process::exit(3);
    });
    let settings = Settings::new().ttl(Duration::from_secs(3600)).jitter(0.0);
    registry().configure("storm", settings.stale_while_revalidate(LIFE)).expect("good settings");
    let loads = Loads { directory: std::env::var_os(DIRECTORY).expect("it is told").into() };
    println!("\nready");
    std::io::stdin().lines().next().expect("it is told to begin").expect("in text");
    let words: Vec<&str> = part.split(' ').collect();
    let number = |word: usize| words[word].parse::<u64>().expect("a number");
    let values = match words[0] {
        "threads" => in_threads(number(1), |_| vec![page(&loads, 0)]),
        "tasks" => in_tasks(number(1), &loads),
        "walk" => in_threads(number(1), |caller| {
            let step = [1, 3, 7, 9][caller as usize % 4];
            (0..number(2)).map(|n| page(&loads, (n * step + number(3) + caller) % number(2))).collect()
        }),
        "until" => in_threads(number(1), |_| {
            let mut seen = vec![brief(&loads, 0)];
            while seen.last() != Some(&number(2)) {
                thread::sleep(Duration::from_millis(5));
                let before = Instant::now();
                seen.push(brief(&loads, 0));
                // Nobody but the two that reload ever waits.
                assert!(before.elapsed() < LEASE || seen.last() == Some(&number(2)), "{:?}", before.elapsed());
            }
            seen
        }),
        other => panic!("there is no part {other:?}"),
    };
    let mut told = String::new();
    let mut counted = BTreeMap::<u64, usize>::new();
    values.into_iter().for_each(|value| *counted.entry(value).or_default() += 1);
    counted.iter().for_each(|(value, count)| told.push_str(&format!(" value-{value}={count}")));
    let counts = STORM.stats().expect("it is configured").total;
    counts.iter().for_each(|(name, _, count)| told.push_str(&format!(" {name}={count}")));
    counts.misses_by_reason.iter().for_each(|(reason, count)| told.push_str(&format!(" miss-{reason}={count}")));
    println!("\ntold{told}");
}

/// So many threads at once, and the values that they got.
fn in_threads(count: u64, call: impl Fn(u64) -> Vec<u64> + Sync) -> Vec<u64> {
    let values = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for caller in 0..count {
            let (values, call) = (&values, &call);
            let caller = move || {
                let got = call(caller);
                values.lock().expect("no panic").extend(got);
            };
            thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, caller).expect("a thread starts");
        }
    });
    values.into_inner().expect("no panic")
}

fn in_tasks(count: u64, loads: &Loads) -> Vec<u64> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let loads = Arc::new(loads.clone());
    tokio.block_on(async {
        let call = |_| {
            let loads = loads.clone();
            tokio::spawn(async move { page_in_task(&loads, 0).await })
        };
        let tasks: Vec<_> = (0..count).map(call).collect();
        let mut values = Vec::new();
        for task in tasks {
            values.push(task.await.expect("no task panics"));
        }
        values
    })
}

const EIGHT: [&str; 8] =
    ["threads 200", "tasks 200", "threads 200", "tasks 200", "threads 200", "tasks 200", "threads 200", "tasks 200"];

/// The processes in which the load of this number does not run, and the one in which it does.
fn apart(processes: Vec<Process>, leader: u32) -> (Process, Vec<Process>) {
    let (mut leaders, others): (Vec<_>, Vec<_>) = processes.into_iter().partition(|one| one.child.id() == leader);
    (leaders.pop().expect("one of them loads"), others)
}

#[test]
fn eight_processes_of_two_hundred_callers_run_one_load() {
    let (server, loads) = (Server::start(&[]), Loads::new());
    let mut all = processes(&server, &loads, &EIGHT);
    begin(&mut all);
    let told = told(all);
    assert_eq!(told.values, BTreeMap::from([(1, 1600)]));
    assert_eq!((loads.count(0), told.count("loads"), told.count("far_errors")), (1, 1, 0), "{told:?}");
}

#[test]
fn a_leader_that_is_killed_is_followed_by_one_other_load_once_its_lease_is_over() {
    let (server, loads) = (Server::start(&[]), Loads::new());
    let mut all = processes(&server, &loads, &EIGHT);
    loads.hold(1);
    begin(&mut all);
    let leader = loads.begun(0, 1, LIFE);
    let (leader, others) = apart(all, leader);
    drop(leader);
    loads.begun(0, 2, LEASE + SECOND + BESIDE);
    let told = told(others);
    assert_eq!(told.values, BTreeMap::from([(2, 1400)]), "every caller that lives has the second's value");
    assert_eq!((loads.count(0), told.count("loads"), told.count("far_errors")), (2, 1, 0), "{told:?}");
}

#[test]
fn a_leader_that_was_only_slow_stores_nothing() {
    let (server, loads) = (Server::start(&[]), Loads::new());
    let mut all = processes(&server, &loads, &["threads 20", "tasks 20", "threads 20", "tasks 20"]);
    loads.hold(1);
    begin(&mut all);
    let leader = loads.begun(0, 1, LIFE);
    let (leader, others) = apart(all, leader);
    leader.signal("-STOP");
    loads.begun(0, 2, LEASE + SECOND + BESIDE);
    let of_others = told(others);
    assert_eq!(of_others.values, BTreeMap::from([(2, 60)]));
    loads.let_go(1);
    leader.signal("-CONT");
    let of_leader = told([leader]);
    // Who called before the late load began may have its value: nothing was invalidated.
    assert!(of_leader.values.keys().all(|value| [1, 2].contains(value)), "{of_leader:?}");
    assert_eq!(of_leader.values.values().sum::<usize>(), 20);
    assert_eq!((of_leader.count("superseded"), of_leader.count("stored")), (1, 0), "{of_leader:?}");
    let mut late = processes(&server, &loads, &["threads 1"]);
    begin(&mut late);
    assert_eq!((told(late).values, loads.count(0)), (BTreeMap::from([(2, 1)]), 2), "the second's value stays");
}

#[test]
fn a_killed_reloader_of_a_stale_value_is_followed_by_one_and_the_others_are_served_meanwhile() {
    let (server, loads) = (Server::start(&[]), Loads::new());
    let mut all = processes(&server, &loads, &["until 5 3"; 4]);
    loads.hold(2);
    begin(&mut all);
    let leader = loads.begun(0, 2, LEASE + SECOND + BESIDE);
    let (leader, others) = apart(all, leader);
    drop(leader);
    // Those who meet the claim time it, each process from when it first saw it.
    loads.begun(0, 3, LEASE + BESIDE);
    let told = told(others);
    assert_eq!(loads.count(0), 3, "{told:?}");
    assert!(told.values.keys().eq(&[1, 3]) && told.values[&3] == 15, "{told:?}");
    assert!(told.count("stale_hits") > 100, "they are served meanwhile: {told:?}");
}

#[test]
fn after_an_invalidation_of_all_there_is_one_load_for_each_key() {
    const KEYS: u64 = 50;
    let (server, loads) = (Server::start(&[]), Loads::new());
    let walk = |calls: usize| {
        let parts: Vec<_> = (0..4).map(|offset| format!("walk 8 {KEYS} {}", offset * 11)).collect();
        let mut all = processes(&server, &loads, &parts.iter().map(String::as_str).collect::<Vec<_>>());
        begin(&mut all);
        let told = told(all);
        assert_eq!(told.values.values().sum::<usize>(), calls);
        assert_eq!(told.count("far_errors"), 0, "{told:?}");
        told
    };
    assert_eq!(walk(1600).count("loads"), KEYS);
    let registry = Registry::new();
    open_known_schemes(&registry);
    let settings = Settings::new().ttl(Duration::from_secs(3600)).far(server.url());
    registry.configure("storm", settings).expect("good settings");
    registry.region("storm").invalidate_namespace("page").wait().expect("the server is there");
    let told = walk(1600);
    assert_eq!((told.count("loads"), told.values), (KEYS, BTreeMap::from([(2, 1600)])), "the records are dead");
    assert!((0..KEYS).all(|key| loads.count(key) == 2));
}

/// Far alone, near alone, and both; with default settings, so that the bounds and times of the connection have to do.
#[test]
fn a_hundred_thousand_tasks_of_one_process_run_one_load() {
    let server = Server::start(&[]);
    let far = server.url();
    let settings = Settings::new().ttl(Duration::from_secs(3600)).patience(2 * LIFE);
    a_storm_of_tasks(0, settings.clone().far(&far));
    a_storm_of_tasks(1, settings.clone().near("memory://"));
    a_storm_of_tasks(2, settings.far(&far).near("memory://"));
}

fn a_storm_of_tasks(key: u64, settings: Settings) {
    const TASKS: usize = 100_000;
    let (registry, loads) = (Registry::new(), Arc::new(Loads::new()));
    open_known_schemes(&registry);
    registry.configure("storm", settings).expect("good settings");
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut values = BTreeMap::new();
    tokio.block_on(async {
        let call = |_| {
            let (registry, loads) = (registry.clone(), loads.clone());
            tokio::spawn(async move { isolated_async(&registry, page_in_task(&loads, key)).await })
        };
        for task in (0..TASKS).map(call).collect::<Vec<_>>() {
            *values.entry(task.await.expect("no task panics")).or_insert(0) += 1;
        }
    });
    let counts = isolated(&registry, || STORM.stats()).expect("it is configured").total;
    assert_eq!((loads.count(key), counts.loads), (1, 1), "storm {key}: {values:?} {counts:?}");
    assert_eq!(values, BTreeMap::from([(1, TASKS)]));
}
