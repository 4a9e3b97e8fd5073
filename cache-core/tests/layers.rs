//! The order of the layers, and what must not be where: read from the source itself.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file of Rust below `place`.
fn files(place: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text before the tests, which stand last, without comments. Nothing of a file that is all tests.
fn product(path: &Path) -> String {
    if path.components().any(|part| ["tests", "tests.rs", "runs.rs"].iter().any(|name| part.as_os_str() == *name)) {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let end = ["#[cfg(test)]\nmod tests {", "#[cfg(all(test", "#[cfg(test)]\npub(crate) mod tests"]
        .iter()
        .filter_map(|start| text.find(start))
        .min()
        .unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules in the order in which `lib.rs` names them.
fn layers() -> Vec<String> {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let names = lib.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "))?;
        rest.strip_suffix(';').map(str::to_owned)
    });
    names.collect()
}

/// The layer that a file belongs to.
fn layer(path: &Path) -> Option<String> {
    let first = path.strip_prefix(source()).unwrap().components().next()?;
    let name = first.as_os_str().to_string_lossy();
    Some(name.strip_suffix(".rs").unwrap_or(&name).to_owned())
}

/// Each module that the text names by `crate::`, also inside braces.
fn imported(text: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut name = true;
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => name = true,
                        c if name && c.is_alphabetic() => {
                            found.push(word(&list[at..]));
                            name = false;
                        }
                        _ => {}
                    }
                }
            }
            None => found.push(word(rest)),
        }
    }
    found
}

#[test]
fn no_import_runs_upwards() {
    let layers = layers();
    assert!(layers.len() > 20, "{layers:?}");
    let height = |name: &str| layers.iter().position(|layer| layer == name);
    let mut downward = 0;
    for path in files(&source()) {
        let Some(from) = layer(&path).and_then(|layer| height(&layer)) else { continue };
        for name in imported(&product(&path)) {
            let to = height(&name).unwrap_or_else(|| panic!("{} imports {name}, which is no layer", path.display()));
            assert!(to <= from, "{} imports upwards, from `{name}`", path.display());
            downward += usize::from(to < from);
        }
    }
    assert!(downward > 100, "only {downward} imports were read");
}

#[test]
fn imports_are_read_in_every_form() {
    let text = "use crate::{a, b::{c, d}, e};\nuse crate::f::G;\nlet x = crate::h::i();\nuse other_crate::j;";
    assert_eq!(imported(text), ["a", "b", "e", "f", "h"]);
}

#[test]
fn the_plan_reads_no_clock_no_socket_and_no_executor() {
    for path in files(&source().join("plan")) {
        let text = product(&path);
        for word in ["Instant", "SystemTime", "Clock", "tokio", "std::net", "std::thread", "async ", "Mutex", ".await"]
        {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn no_crate_may_be_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest = |place: &Path| fs::read_to_string(place.join("Cargo.toml")).unwrap_or_default();
    // Forbidden, it cannot be allowed again further down.
    assert!(manifest(root).contains("unsafe_code = \"forbid\""));
    let mut crates: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    crates.retain(|place| place.join("src").is_dir() && manifest(place).contains("[package]"));
    crates.push(root.to_owned());
    assert!(crates.len() >= 5, "{crates:?}");
    for place in crates {
        let text = manifest(&place);
        let own = text.contains("unsafe_code = \"forbid\"");
        assert!(own || text.contains("[lints]\nworkspace = true"), "{} has lints of its own", place.display());
    }
}
