//! The near tier of a process, with or without a flaw.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use cache_core::backend::{Object, ObjectBackend, ObjectStats, Put};
use cache_core::clock::{ManualClock, Tick};
use cache_core::key::{Key, KeyRef};
use cache_core::testkit::MapBackend;

use super::plot::{Flaw, MILLI};

pub struct FlawedNear {
    map: MapBackend,
    clock: ManualClock,
    flaw: Flaw,
    /// Puts that were let through and have not come to pass.
    late: Mutex<VecDeque<(Tick, Key, Arc<Object>)>>,
}

impl FlawedNear {
    pub fn new(clock: ManualClock, flaw: Flaw) -> Self {
        FlawedNear { map: MapBackend::new(u64::MAX), clock, flaw, late: Mutex::default() }
    }

    /// What an invalidation drops if it drops at the wrong time.
    pub fn drop_now(&self, key: KeyRef<'_>) {
        self.map.remove(key);
    }

    fn come_to_pass(&self) {
        if self.flaw != Flaw::LatePut {
            return;
        }
        let now = self.clock.now();
        let mut late = self.late.lock().unwrap();
        while late.front().is_some_and(|(due, _, _)| *due <= now) {
            let Some((_, key, object)) = late.pop_front() else { break };
            self.map.put(key.as_ref(), object, now);
        }
    }
}

impl ObjectBackend for FlawedNear {
    fn visit(&self, key: KeyRef<'_>, visit: &mut dyn FnMut(&Arc<Object>)) {
        self.come_to_pass();
        self.map.visit(key, visit);
    }

    fn put(&self, key: KeyRef<'_>, object: Arc<Object>, now: Tick) -> Put {
        if self.flaw != Flaw::LatePut {
            return self.map.put(key, object, now);
        }
        self.late.lock().unwrap().push_back((self.clock.now().after(5 * MILLI), key.to_key(), object));
        Put::Stored
    }

    fn remove(&self, key: KeyRef<'_>) -> bool {
        self.come_to_pass();
        !matches!(self.flaw, Flaw::DropBeforeVoid | Flaw::DropFirst) && self.map.remove(key)
    }

    fn clear(&self) {
        self.come_to_pass();
        self.map.clear();
    }

    fn sweep(&self, now: Tick) -> usize {
        self.map.sweep(now)
    }

    fn stats(&self) -> ObjectStats {
        self.map.stats()
    }

    fn weighs(&self) -> bool {
        false
    }
}

impl fmt::Debug for FlawedNear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlawedNear({:?}, {:?})", self.map, self.flaw)
    }
}
