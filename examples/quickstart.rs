//! A slow function, cached in memory or in memcached: what a call costs, who loads, and what an invalidation does.
//!
//! `cargo run --release --example quickstart`
//!
//! The environment may say where the results are kept, and that changes nothing here: `CACHE_LONG_TERM='memory://?entries=1'`
//! bounds them by number, `CACHE_LONG_TERM=memcached://127.0.0.1:11211` shares them with other processes, and
//! `CACHE_LONG_TERM=off` keeps none.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, fs, io, thread};

use cache::{Region, Settings, cached};
use serde::{Deserialize, Serialize};

static LONG_TERM: Region = Region::named("long_term");

/// What a workspace is built from: its crates, which needs which, and their files.
///
/// Slow: cargo resolves the whole workspace and writes it as JSON, and the sources of every crate are looked through.
/// The attribute is all that caching takes.
#[cached(LONG_TERM, "crate_graph")]
fn crate_graph(workspace: &str, with_dev: bool) -> Result<Arc<CrateGraph>, Failure> {
    LOADS.fetch_add(1, Ordering::Relaxed);
    let metadata = cargo_metadata(workspace, &["--offline"]).or_else(|_| cargo_metadata(workspace, &[]))?;
    let Metadata { packages, resolve } = serde_json::from_slice(&metadata)?;
    let mut graph = CrateGraph { crates: packages, edges: resolve.nodes };
    for node in &mut graph.edges {
        node.deps.retain(|edge| with_dev || edge.dep_kinds.iter().any(|of| of.kind.as_deref() != Some("dev")));
    }
    for package in &mut graph.crates {
        package.files = files(Path::new(&package.manifest_path).parent())?;
    }
    Ok(Arc::new(graph))
}

fn main() -> Result<(), Failure> {
    // In a service this is done once, at its start. The rest of the program does not know where its results are kept; the
    // variable CACHE_LONG_TERM overrides what is said here.
    let settings = Settings::new().ttl(Duration::from_secs(600)).near("memory://?capacity=64MiB");
    cache::registry().configure("long_term", settings)?;
    let backends = cache::registry().backends("long_term").unwrap_or_default();
    println!("The results are kept in: {}\n", if backends.is_empty() { "nothing".into() } else { backends.join(", ") });
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

    println!("{:<57} {:>12} {:>18}", "", "took", "the function ran");
    let graph = show("the first call runs the function", || crate_graph(workspace, true))?;
    show("the second finds what the first returned", || crate_graph(workspace, true))?;

    crate_graph_entry(workspace, false).invalidate().wait()?; // another process may have left it
    show("1,000 threads ask at once for what is not there yet", || storm(workspace))?;

    crate_graph_entry(workspace, true).invalidate().wait()?; // typed: a wrong argument does not compile
    show("the first call after `crate_graph_entry(..).invalidate()`", || crate_graph(workspace, true))?;

    LONG_TERM.invalidate("crate_graph", (workspace, true)).wait()?; // by name: from anywhere
    show("the first call after `invalidate(\"crate_graph\", ..)`", || crate_graph(workspace, true))?;
    show("and the one after that", || crate_graph(workspace, true))?;

    let (crates, edges) = (graph.crates.len(), graph.edges.iter().map(|node| node.deps.len()).sum::<usize>());
    let files = graph.crates.iter().map(|of| of.files.len()).sum::<usize>();
    println!("\nThis workspace is built from {crates} crates with {edges} dependencies among them, and {files} files.");
    let stats = LONG_TERM.stats().unwrap_or_default();
    println!("{:<57} {:>12}", "as JSON, this is", told(serde_json::to_vec(&graph)?.len() as u64));
    if let Some(size) = stats.total.sent_bytes.checked_div(stats.total.stored) {
        println!("{:<57} {:>12}", "as a record in the far tier", told(size));
    }
    println!("\n{stats}");
    Ok(())
}

/// A thousand callers of one key that nobody has asked for: one runs the function, the others wait for its result.
fn storm(workspace: &str) -> Result<(), Failure> {
    thread::scope(|scope| {
        let call = || crate_graph(workspace, false).map(|_| ());
        let caller = |_| thread::Builder::new().stack_size(512 * 1024).spawn_scoped(scope, call);
        let callers = (0..1000).map(caller).collect::<io::Result<Vec<_>>>()?;
        callers.into_iter().try_for_each(|caller| caller.join().map_err(|_| Failure("a caller panicked".into()))?)
    })
}

/// What cargo knows of a workspace, as JSON.
fn cargo_metadata(workspace: &str, options: &[&str]) -> Result<Vec<u8>, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let command = ["metadata", "--format-version", "1", "--locked"];
    let output = Command::new(cargo).args(command).args(options).current_dir(workspace).output()?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(Failure(String::from_utf8_lossy(&output.stderr).into())),
    }
}

/// The files of a crate, in no order that matters, but for what is built from them.
fn files(root: Option<&Path>) -> Result<Vec<File>, Failure> {
    let (mut files, mut directories) = (Vec::new(), Vec::from_iter(root.map(Path::to_owned)));
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            if kind.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
                directories.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path)?;
                let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
                files.push(File { path: path.display().to_string(), bytes: bytes.len(), lines });
            }
        }
    }
    Ok(files)
}

/// A number of bytes for people.
fn told(bytes: u64) -> String {
    format!("{:.1} KB", bytes as f64 / 1e3)
}

/// Calls, and prints how long that took and how often the function ran meanwhile.
fn show<T>(what: &str, call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let (loads, start) = (LOADS.load(Ordering::Relaxed), Instant::now());
    let result = call()?;
    let (took, loads) = (start.elapsed(), LOADS.load(Ordering::Relaxed) - loads);
    let times = if loads == 1 { "time" } else { "times" };
    println!("{what:<57} {:>12} {loads:>12} {times}", format!("{took:.1?}"));
    Ok(result)
}

static LOADS: AtomicUsize = AtomicUsize::new(0);

/// What `cargo metadata` says, as far as it is used here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CrateGraph {
    crates: Vec<Crate>,
    edges: Vec<Node>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Crate {
    id: String,
    description: Option<String>,
    license: Option<String>,
    manifest_path: String,
    features: BTreeMap<String, Vec<String>>,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
    #[serde(default)]
    files: Vec<File>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Dependency {
    name: String,
    req: String,
    kind: Option<String>,
    optional: bool,
    uses_default_features: bool,
    features: Vec<String>,
    target: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: String,
    edition: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct File {
    path: String,
    bytes: usize,
    lines: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Node {
    id: String,
    features: Vec<String>,
    deps: Vec<Edge>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

/// Why there is no graph. It can be cloned, so all who wait for a load that fails get its error.
#[derive(Clone)]
struct Failure(Arc<str>);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string().into())
    }
}
