//! A region without the attribute: a typed namespace, a registry of one's own, and an observer that is told everything.
//!
//! `cargo run --release --example without_macro`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use cache::{Count, Event, Namespace, Observer, Region, Registry, Settings};
use serde::{Deserialize, Serialize};

/// A registry is a value: a library can have its own beside the program's.
static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let registry = Registry::builder().observer(Arc::new(Tally)).build();
    cache::open_known_schemes(&registry);
    registry
});

static FILES: LazyLock<Region> = LazyLock::new(|| REGISTRY.region("files"));

/// What a source file has of each kind of line.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lines {
    code: usize,
    comments: usize,
    blank: usize,
}

/// The slow part: reads a file and looks at each of its lines.
fn count(path: &str) -> io::Result<Lines> {
    let mut lines = Lines { code: 0, comments: 0, blank: 0 };
    for line in fs::read_to_string(path)?.lines().map(str::trim) {
        match line {
            "" => lines.blank += 1,
            comment if comment.starts_with("//") => lines.comments += 1,
            _ => lines.code += 1,
        }
    }
    Ok(lines)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    REGISTRY.configure("files", Settings::new().ttl(Duration::from_secs(60)).near("memory://?entries=1000"))?;

    // The arguments and the values have types: what does not fit does not compile.
    let lines: Namespace<&str, Lines> = FILES.namespace("lines");

    let sources = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")))?;
    for _ in 0..3 {
        for path in &sources {
            lines.get_or_create(&path.as_str(), || count(path))?;
        }
    }
    println!("{} files, each asked for three times:", sources.len());
    report();

    let path = sources.first().ok_or("there are no sources here")?.as_str();
    println!("\nkept for one of them:         {:?}", lines.get(&path).wait()?);
    println!("set it by hand:               {:?}", lines.set(&path, Lines { code: 0, comments: 0, blank: 0 }).wait()?);
    println!("kept for it now:              {:?}", lines.get(&path).wait()?);
    println!("invalidate it, which reaches: {:?}", lines.invalidate(&path).wait()?);
    println!("kept for it now:              {:?}", lines.get(&path).wait()?);
    println!("invalidate the namespace:     {:?}", lines.invalidate_all().wait()?);

    // A failed load is its caller's, in the caller's own error type, and is not kept.
    let missing = lines.get_or_create(&"no/such/file.rs", || count("no/such/file.rs"));
    println!("a file that is not there:     {}\n", missing.map_or_else(|error| error.to_string(), |_| "found".into()));
    report();
    Ok(())
}

/// The Rust sources of the crates in `workspace`.
fn sources(workspace: &Path) -> io::Result<Vec<String>> {
    let mut sources = Vec::new();
    for member in ["cache-core", "cache-macros", "cache-memory"] {
        let files = fs::read_dir(workspace.join(member).join("src"))?;
        let paths = files.map(|file| file.map(|file| file.path())).collect::<io::Result<Vec<_>>>()?;
        let rust = paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        sources.extend(rust.map(|path| path.to_string_lossy().into_owned()));
    }
    Ok(sources)
}

/// Counts what it is told; one would hand it to a metrics library. Near hits are not told, only counted.
#[derive(Debug)]
struct Tally;

static TOLD: Mutex<BTreeMap<(String, Count), u64>> = Mutex::new(BTreeMap::new());

impl Observer for Tally {
    fn observe(&self, event: &Event<'_>) {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        *told.entry((event.namespace.to_owned(), event.what)).or_default() += 1;
    }
}

fn report() {
    for ((namespace, what), times) in &*TOLD.lock().unwrap_or_else(PoisonError::into_inner) {
        println!("    {namespace:<8} {:<22} {times:>5}", what.name());
    }
    println!("    {:<8} {:<22} {:>5}", "lines", "near_hits", FILES.stats().unwrap_or_default().total.near_hits);
}
