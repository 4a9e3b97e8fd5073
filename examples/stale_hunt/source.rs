//! The source of truth: a file for each slot, whose length is the version.
//!
//! Invariant: a write appends one byte, in one step for all processes, so no version is ever lost or seen twice; and what is
//! written when `write` returns is seen by every `version` that is called later.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

#[derive(Debug)]
pub struct Source {
    files: Vec<File>,
}

impl Source {
    /// Opens the source in this directory, which one process has created.
    pub fn open(directory: &Path, slots: usize) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let open = |slot: usize| OpenOptions::new().create(true).append(true).open(directory.join(slot.to_string()));
        Ok(Source { files: (0..slots).map(open).collect::<io::Result<_>>()? })
    }

    pub fn version(&self, slot: usize) -> io::Result<u64> {
        Ok(self.files[slot].metadata()?.len())
    }

    pub fn write(&self, slot: usize) -> io::Result<()> {
        (&self.files[slot]).write_all(b"+")
    }

    /// How often it was written to.
    pub fn writes(&self) -> io::Result<u64> {
        (0..self.files.len()).map(|slot| self.version(slot)).sum()
    }
}
