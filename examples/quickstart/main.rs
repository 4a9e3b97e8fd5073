//! A slow function, cached in memory or in memcached: what a call costs, who loads, and what an invalidation does.
//!
//! `cargo run --release --example quickstart`
//!
//! The environment may say where the results are kept, and that changes nothing here: `CACHE_LONG_TERM='memory://?entries=1'`
//! bounds them by number, `CACHE_LONG_TERM=memcached://127.0.0.1:11211` shares them with other processes, and
//! `CACHE_LONG_TERM=off` keeps none.

mod crate_graph;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use cache::{Region, Settings, cached};
use crate_graph::{CrateGraph, Failure};

static LONG_TERM: Region = Region::named("long_term");

/// What a workspace is built from: its crates, which needs which, and their files. Slow; the attribute is all that
/// caching takes.
#[cached(LONG_TERM, "crate_graph")]
fn crate_graph(workspace: &str, with_dev: bool) -> Result<Arc<CrateGraph>, Failure> {
    LOADS.fetch_add(1, Ordering::Relaxed);
    Ok(Arc::new(CrateGraph::of(workspace, with_dev)?))
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
