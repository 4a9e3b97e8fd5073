//! What was done to the processes and the servers, as far as it excuses anything.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct Damage {
    /// When each killed process was last known to run.
    killed: HashMap<u64, u64>,
    /// Processes that stood still: which one, from when, and until when.
    stopped: Vec<(u64, u64, u64)>,
    /// When servers were killed, and when they answered again and knew nothing.
    forgotten: Vec<(u64, u64)>,
    /// When connections were cut.
    cut: Vec<u64>,
}

impl Damage {
    pub fn kills(&mut self, worker: u64, at: u64) {
        self.killed.insert(worker, at);
    }

    pub fn stops(&mut self, worker: u64, from: u64, to: u64) {
        self.stopped.push((worker, from, to));
    }

    pub fn forgets(&mut self, from: u64, to: u64) {
        self.forgotten.push((from, to));
    }

    pub fn cuts(&mut self, at: u64) {
        self.cut.push(at);
    }

    pub fn killed(&self, worker: u64) -> Option<u64> {
        self.killed.get(&worker).copied()
    }

    /// For how long a process stood still within this time.
    pub fn stood_still(&self, worker: u64, from: u64, to: u64) -> u64 {
        let within = |&(who, began, ended): &(u64, u64, u64)| match who == worker {
            true => ended.min(to).saturating_sub(began.max(from)),
            false => 0,
        };
        self.stopped.iter().map(within).sum()
    }

    /// Whether connections were cut within this time.
    pub fn was_cut(&self, from: u64, to: u64) -> bool {
        self.cut.iter().any(|&at| from <= at && at <= to)
    }

    /// Whether a server lost what it knew within this time.
    pub fn forgot(&self, from: u64, to: u64) -> bool {
        self.forgotten.iter().any(|&(began, ended)| began <= to && ended >= from)
    }
}
