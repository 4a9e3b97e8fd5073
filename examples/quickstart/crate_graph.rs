//! What a workspace is built from: its crates, which needs which, and their files.
//!
//! Slow to find out: cargo resolves the whole workspace and writes it as JSON, and the sources of every crate are looked
//! through.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{fmt, fs};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CrateGraph {
    pub crates: Vec<Crate>,
    pub edges: Vec<Node>,
}

impl CrateGraph {
    /// Of the workspace in this directory, with what only its tests need or without.
    pub fn of(workspace: &str, with_dev: bool) -> Result<Self, Failure> {
        let metadata = cargo_metadata(workspace, &["--offline"]).or_else(|_| cargo_metadata(workspace, &[]))?;
        let Metadata { packages, resolve } = serde_json::from_slice(&metadata)?;
        let mut graph = CrateGraph { crates: packages, edges: resolve.nodes };
        for node in &mut graph.edges {
            node.deps.retain(|edge| with_dev || edge.dep_kinds.iter().any(|of| of.kind.as_deref() != Some("dev")));
        }
        for package in &mut graph.crates {
            package.files = files(Path::new(&package.manifest_path).parent())?;
        }
        Ok(graph)
    }
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
pub struct Crate {
    id: String,
    description: Option<String>,
    license: Option<String>,
    manifest_path: String,
    features: BTreeMap<String, Vec<String>>,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
    #[serde(default)]
    pub files: Vec<File>,
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
pub struct File {
    path: String,
    bytes: usize,
    lines: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    id: String,
    features: Vec<String>,
    pub deps: Vec<Edge>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

/// Why there is no graph. It can be cloned, so all who wait for a load that fails get its error.
#[derive(Clone)]
pub struct Failure(pub Arc<str>);

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
