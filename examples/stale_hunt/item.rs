//! What the functions return, and how they make it: a value that says which load it comes from, and when that began.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::now;
use crate::log::{Load, Read, Record, Text};
use crate::random::Random;
use crate::trouble;
use crate::worker::Worker;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    slot: usize,
    version: u64,
    load: u64,
    began: u64,
    /// What a value of this slot, version and load must say; some are long.
    text: String,
}

/// A call on its way, for the function that may run in it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub worker: &'a Worker,
    pub called: u64,
}

/// A function that has asked the source, and has not returned yet.
#[derive(Debug)]
pub struct Loading<'a> {
    worker: &'a Worker,
    item: Item,
    /// How long the rest of it takes.
    pub takes: Duration,
}

impl<'a> Call<'a> {
    pub fn of(worker: &'a Worker) -> Self {
        Call { worker, called: now() }
    }

    /// The function begins. It asks the source at once and returns late, so that what it knows has time to become old.
    pub fn begin(self, slot: usize) -> Loading<'a> {
        let Call { worker, called } = self;
        let (began, way) = (now(), trouble::met());
        let version = worker.version(slot);
        let id = worker.next_load();
        worker.log.note(&Record::Began(Load { id, slot, called, began, version, way }));
        let takes = Random::new(id, 0).micros(500, 2_000);
        Loading { worker, item: Item { slot, version, load: id, began, text: text(slot, version, id) }, takes }
    }

    /// The call has returned this.
    pub fn returned(self, slot: usize, item: &Item) {
        let returned = now();
        let &Item { load, began, version, .. } = item;
        let sound = item.slot == slot && item.text == text(slot, version, load);
        let text = if sound { Text::Sound } else { Text::Damaged };
        let read = Read { slot, called: self.called, returned, load, began, version, text };
        self.worker.log.note(&Record::Read(read));
    }
}

impl Loading<'_> {
    pub fn end(self) -> Item {
        self.worker.log.note(&Record::Ended { load: self.item.load, at: now() });
        self.item
    }
}

fn text(slot: usize, version: u64, load: u64) -> String {
    let mut text = String::new();
    for line in 0..1 + load % 16 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "slot {slot} version {version} load {load} line {line}");
    }
    text
}
