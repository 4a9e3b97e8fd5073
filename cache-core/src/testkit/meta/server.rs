//! One simulated memcached node: a map under one lock that answers as memcached 1.6.18 does.
//!
//! Invariant: what it answers depends on nothing but the commands it was given, in their order, and the clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Code, Command, Left, MetaArithmetic, MetaDelete, MetaGet, MetaServer, MetaSet, Mode, Reply};
use crate::clock::{ManualClock, Tick};
use crate::key::FarKey;

/// What an item takes beside its key and value: header, CAS, two separators (memcached on 64 bits).
const ITEM_OVERHEAD: usize = 48 + 8 + 1 + 2;
/// What client flags other than 0 take.
const FLAGS_OVERHEAD: usize = 4;
/// A TTL above this many seconds is taken for an absolute time, which is long past.
const LONGEST_TTL: u32 = 30 * 24 * 60 * 60;

/// How a node was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSettings {
    /// The largest item in bytes, key and overhead included (`-I`). Default 1 MiB.
    pub item_limit: usize,
    /// How many items it holds before it evicts the one used longest ago. Default: no bound.
    pub max_items: usize,
    /// How many bytes its items may take before it evicts (`-m`). Default: no bound.
    pub max_bytes: usize,
    /// Whether items have a CAS. Default on.
    pub cas: Cas,
    /// How far the server's seconds are ahead of those of the clock: a second of its own begins that much earlier.
    pub phase: Duration,
}

/// Whether items have a CAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cas {
    /// They have.
    On,
    /// They have none (`-C`): it reads as 0 everywhere, and compares with nothing.
    Off,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            item_limit: 1024 * 1024,
            max_items: usize::MAX,
            max_bytes: usize::MAX,
            cas: Cas::On,
            phase: Duration::ZERO,
        }
    }
}

/// A simulated memcached node.
#[derive(Debug)]
pub struct SimServer {
    clock: ManualClock,
    store: Mutex<Store>,
}

impl SimServer {
    /// An empty node whose seconds are those of `clock`.
    pub fn new(clock: ManualClock, settings: ServerSettings) -> Self {
        let store = Store {
            settings,
            room: Room::Ample,
            items: BTreeMap::new(),
            bytes: 0,
            last_cas: 0,
            last_use: 0,
            evicted: 0,
            incarnation: 0,
        };
        SimServer { clock, store: Mutex::new(store) }
    }

    /// Answers `command` as of the instant `at`.
    pub fn execute_at(&self, at: Tick, command: &Command) -> Reply {
        let mut store = self.store();
        let now = store.seconds(at);
        match command {
            Command::Get(get) => store.get(now, get),
            Command::Set(set) => store.set(now, set),
            Command::Delete(delete) => store.delete(now, delete),
            Command::Arithmetic(arithmetic) => store.arithmetic(now, arithmetic),
            Command::Noop => Reply::of(Code::Mn),
            Command::ClassicGet(key) => store.classic_get(now, key),
            Command::ClassicTouch(key, ttl) => store.classic_touch(now, key, *ttl),
        }
    }

    /// Ends the server and starts it again: everything is gone, and CAS numbers begin at 1 again.
    pub fn restart(&self) {
        let mut store = self.store();
        store.clear();
        store.last_cas = 0;
        store.incarnation += 1;
    }

    /// Removes every item (`flush_all`); CAS numbers go on.
    pub fn flush_all(&self) {
        self.store().clear();
    }

    /// Removes one item as if room had been needed, and says whether it was there.
    pub fn evict(&self, key: &FarKey) -> bool {
        let mut store = self.store();
        let was_there = store.remove(key).is_some();
        store.evicted += u64::from(was_there);
        was_there
    }

    /// Removes one of its items, whichever this number says, as if room had been needed.
    pub fn evict_one(&self, number: usize) -> bool {
        let mut store = self.store();
        let key = store.items.keys().nth(number % store.items.len().max(1)).cloned();
        let was_there = key.is_some_and(|key| store.remove(&key).is_some());
        store.evicted += u64::from(was_there);
        was_there
    }

    /// Takes away, or gives back, the room for new items: see [`Room`].
    pub fn set_room(&self, room: Room) {
        self.store().room = room;
    }

    /// How many times the server was restarted.
    pub fn incarnation(&self) -> u64 {
        self.store().incarnation
    }

    /// How many items it holds, expired ones that nobody asked for included.
    pub fn len(&self) -> usize {
        self.store().items.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items made room for others.
    pub fn evicted(&self) -> u64 {
        self.store().evicted
    }

    /// How it was started.
    pub fn settings(&self) -> ServerSettings {
        self.store().settings
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetaServer for SimServer {
    fn execute(&self, _connection: usize, command: &Command) -> Reply {
        self.execute_at(self.clock.now(), command)
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// Whether there is room for new items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is, if need be after an eviction.
    Ample,
    /// There is none: `mg N` of a missing key answers a plain `EN`; `ms` fails, and the item that was there is gone.
    None,
}

#[derive(Debug)]
struct Store {
    settings: ServerSettings,
    room: Room,
    items: BTreeMap<FarKey, Item>,
    bytes: usize,
    last_cas: u64,
    last_use: u64,
    evicted: u64,
    incarnation: u64,
}

#[derive(Debug, Clone)]
struct Item {
    value: Vec<u8>,
    client_flags: u32,
    cas: u64,
    /// The second in which it is gone; `None`: never.
    gone_at: Option<u64>,
    stale: bool,
    token_sent: bool,
    used: u64,
}

impl Item {
    fn new(value: Vec<u8>, client_flags: u32, gone_at: Option<u64>) -> Self {
        Item { value, client_flags, cas: 0, gone_at, stale: false, token_sent: false, used: 0 }
    }
}

impl Store {
    fn get(&mut self, now: u64, get: &MetaGet) -> Reply {
        if let Some(error) = bad_flag(get.flags, "vctfsk") {
            return error;
        }
        let echo = get.flags.contains('k').then(|| get.key.clone());
        let mut created = false;
        if self.live(now, &get.key).is_none() {
            match get.vivify {
                Some(ttl) if self.room == Room::Ample => {
                    self.link(&get.key, Item::new(Vec::new(), 0, gone_at(now, ttl)));
                    created = true;
                }
                _ => return Reply { key: echo, ..Reply::of(Code::En) },
            }
        }
        let used = self.next_use();
        let Some(item) = self.items.get_mut(&get.key) else { return Reply::of(Code::En) };
        item.used = used;
        let mut won = created;
        if let Some(ttl) = get.touch {
            item.gone_at = gone_at(now, ttl);
        }
        if let (Some(limit), Some(gone), false) = (get.recache, item.gone_at, created || item.token_sent) {
            won |= gone < now + u64::from(limit);
        }
        let mut reply = Reply { key: echo, token_out: item.token_sent, stale: item.stale, ..Reply::of(Code::Hd) };
        for flag in get.flags.chars() {
            match flag {
                'v' => {
                    reply.code = Code::Va;
                    reply.value = Some(item.value.clone());
                }
                'c' => reply.cas = Some(item.cas),
                't' => reply.left = Some(left(now, item.gone_at)),
                'f' => reply.client_flags = Some(item.client_flags),
                's' => reply.size = Some(item.value.len() as u32),
                _ => {}
            }
        }
        // Any read of a stale item whose token is not out is given it, asked for or not.
        reply.won = won || (item.stale && !item.token_sent);
        item.token_sent |= reply.won;
        reply
    }

    fn set(&mut self, now: u64, set: &MetaSet) -> Reply {
        if let Some(error) = bad_flag(set.flags, "ckI") {
            return error;
        }
        let too_large = self.size_of(&set.key, set.value.len(), set.client_flags) > self.settings.item_limit;
        if too_large || self.room == Room::None {
            // As in memcached, in every mode: the old value does not outlive a new one that could not be kept.
            self.remove(&set.key);
            return Reply::of(Code::ServerError(if too_large {
                "object too large for cache"
            } else {
                "out of memory storing object"
            }));
        }
        let code = self.store(now, set);
        let mut reply = Reply::of(code);
        reply.key = set.flags.contains('k').then(|| set.key.clone());
        if set.flags.contains('c') {
            let stored = self.items.get(&set.key).filter(|_| code == Code::Hd);
            reply.cas = Some(stored.map_or(0, |item| item.cas));
        }
        reply
    }

    fn store(&mut self, now: u64, set: &MetaSet) -> Code {
        // Without CAS on the server every comparison is with nothing.
        let wanted = set.cas.filter(|_| self.settings.cas == Cas::On).unwrap_or(0);
        let new = Item::new(set.value.clone(), set.client_flags, gone_at(now, set.ttl.unwrap_or(0)));
        let compares = set.cas.is_some() && matches!(set.mode, Mode::Set | Mode::Replace);
        let Some(old) = self.live(now, &set.key).map(|item| item.clone()) else {
            return match set.mode {
                Mode::Set | Mode::Replace if compares => Code::Nf,
                Mode::Set | Mode::Add => self.link(&set.key, new),
                Mode::Replace | Mode::Append | Mode::Prepend => Code::Ns,
            };
        };
        match set.mode {
            Mode::Set | Mode::Replace if !compares => self.link(&set.key, new),
            Mode::Set | Mode::Replace if wanted != 0 && wanted == old.cas => self.link(&set.key, new),
            Mode::Set | Mode::Replace if wanted != 0 && wanted < old.cas && set.flags.contains('I') => {
                let (gone_at, token_sent) = (old.gone_at, old.token_sent);
                self.link(&set.key, Item { gone_at, token_sent, stale: true, ..new })
            }
            Mode::Set | Mode::Replace => Code::Ex,
            Mode::Add => {
                let used = self.next_use();
                self.items.entry(set.key.clone()).and_modify(|item| item.used = used);
                Code::Ns
            }
            Mode::Append | Mode::Prepend if wanted != 0 && wanted != old.cas => Code::Ex,
            Mode::Append | Mode::Prepend => {
                let (front, back) =
                    if set.mode == Mode::Append { (old.value, new.value) } else { (new.value, old.value) };
                let value = [front, back].concat();
                if self.size_of(&set.key, value.len(), old.client_flags) > self.settings.item_limit {
                    return Code::Ns;
                }
                self.link(&set.key, Item::new(value, old.client_flags, old.gone_at))
            }
        }
    }

    fn delete(&mut self, now: u64, delete: &MetaDelete) -> Reply {
        if let Some(error) = bad_flag(delete.flags, "Ik") {
            return error;
        }
        let cas = self.next_cas_if(delete.flags.contains('I'));
        let Some(item) = self.live(now, &delete.key) else { return Reply::of(Code::Nf) };
        if delete.cas.is_some_and(|wanted| wanted != item.cas) {
            return Reply::of(Code::Ex);
        }
        if let Some(cas) = cas {
            if let Some(ttl) = delete.ttl {
                item.gone_at = gone_at(now, ttl);
            }
            item.stale = true;
            item.token_sent = false;
            item.cas = cas;
            self.last_cas = self.last_cas.max(cas);
        } else {
            self.remove(&delete.key);
        }
        Reply::of(Code::Hd)
    }

    fn arithmetic(&mut self, now: u64, arithmetic: &MetaArithmetic) -> Reply {
        if let Some(error) = bad_flag(arithmetic.flags, "vc") {
            return error;
        }
        let cas = self.next_cas_if(true).unwrap_or(0);
        let Some(item) = self.live(now, &arithmetic.key) else { return Reply::of(Code::Nf) };
        let number = std::str::from_utf8(&item.value).ok().and_then(|text| text.trim_end().parse::<u64>().ok());
        let Some(number) = number else {
            return Reply::of(Code::ClientError("cannot increment or decrement non-numeric value"));
        };
        let number = match u64::try_from(arithmetic.delta) {
            Ok(delta) => number.wrapping_add(delta),
            Err(_) => number.saturating_sub(arithmetic.delta.unsigned_abs()),
        };
        let mut text = number.to_string().into_bytes();
        let told = text.clone();
        if text.len() <= item.value.len() {
            // In place, padded with blanks: the item's bits stay.
            text.resize(item.value.len(), b' ');
            item.value = text;
            item.cas = cas;
            self.last_cas = self.last_cas.max(cas);
        } else {
            let new = Item::new(text, item.client_flags, item.gone_at);
            self.link(&arithmetic.key, new);
        }
        let mut reply = Reply::of(Code::Hd);
        if arithmetic.flags.contains('v') {
            reply.code = Code::Va;
            reply.value = Some(told);
        }
        if arithmetic.flags.contains('c') {
            reply.cas = self.items.get(&arithmetic.key).map(|item| item.cas);
        }
        reply
    }

    fn classic_get(&mut self, now: u64, key: &FarKey) -> Reply {
        let used = self.next_use();
        let Some(item) = self.live(now, key) else { return Reply::of(Code::En) };
        item.used = used;
        let (value, client_flags) = (Some(item.value.clone()), Some(item.client_flags));
        Reply { value, client_flags, ..Reply::of(Code::Va) }
    }

    fn classic_touch(&mut self, now: u64, key: &FarKey, ttl: u32) -> Reply {
        let Some(item) = self.live(now, key) else { return Reply::of(Code::Nf) };
        item.gone_at = gone_at(now, ttl);
        Reply::of(Code::Hd)
    }

    /// The item under `key` that has not expired; one that has is removed.
    fn live(&mut self, now: u64, key: &FarKey) -> Option<&mut Item> {
        if self.items.get(key).and_then(|item| item.gone_at).is_some_and(|gone| gone <= now) {
            self.remove(key);
        }
        self.items.get_mut(key)
    }

    /// Stores `item` with a new CAS and evicts what has no room beside it.
    fn link(&mut self, key: &FarKey, mut item: Item) -> Code {
        if let Some(cas) = self.next_cas_if(true) {
            item.cas = cas;
            self.last_cas = self.last_cas.max(cas);
        }
        item.used = self.next_use();
        self.remove(key);
        self.bytes += self.size_of(key, item.value.len(), item.client_flags);
        self.items.insert(key.clone(), item);
        while self.items.len() > self.settings.max_items || self.bytes > self.settings.max_bytes {
            let oldest = self.items.iter().filter(|(other, _)| *other != key).min_by_key(|(_, item)| item.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.remove(&oldest);
            self.evicted += 1;
        }
        Code::Hd
    }

    fn remove(&mut self, key: &FarKey) -> Option<Item> {
        let item = self.items.remove(key)?;
        self.bytes -= self.size_of(key, item.value.len(), item.client_flags);
        Some(item)
    }

    fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }

    /// The CAS that the next change gives, if this is one: 0 where the server keeps none.
    fn next_cas_if(&self, changes: bool) -> Option<u64> {
        changes.then(|| if self.settings.cas == Cas::On { self.last_cas + 1 } else { 0 })
    }

    fn next_use(&mut self) -> u64 {
        self.last_use += 1;
        self.last_use
    }

    fn size_of(&self, key: &FarKey, value: usize, client_flags: u32) -> usize {
        let flags = if client_flags == 0 { 0 } else { FLAGS_OVERHEAD };
        key.as_str().len() + value + ITEM_OVERHEAD + flags
    }

    fn seconds(&self, at: Tick) -> u64 {
        at.after(self.settings.phase).as_nanos() / 1_000_000_000
    }
}

/// The largest value that fits into an item of `item_limit` bytes under any key, with client flags.
pub(in crate::testkit) fn largest_value(item_limit: usize) -> usize {
    item_limit.saturating_sub(250 + ITEM_OVERHEAD + FLAGS_OVERHEAD)
}

/// The second in which an item that is given `ttl` seconds in the second `now` is gone.
fn gone_at(now: u64, ttl: u32) -> Option<u64> {
    match ttl {
        0 => None,
        ttl if ttl > LONGEST_TTL => Some(now),
        ttl => Some(now + u64::from(ttl)),
    }
}

fn left(now: u64, gone_at: Option<u64>) -> Left {
    gone_at.map_or(Left::Forever, |gone| Left::Seconds(u32::try_from(gone.saturating_sub(now)).unwrap_or(u32::MAX)))
}

/// The server's answer to a flag it does not know, or to one that stands twice.
fn bad_flag(flags: &str, known: &str) -> Option<Reply> {
    let repeated = flags.char_indices().any(|(at, flag)| flags[..at].contains(flag));
    if repeated {
        return Some(Reply::of(Code::ClientError("duplicate flag")));
    }
    (!flags.chars().all(|flag| known.contains(flag))).then(|| Reply::of(Code::ClientError("invalid flag")))
}
