//! Family `region`: what a region adds to the items that it reads, and what a near copy saves.
//!
//! One blocking caller, client and server on one CPU, so that what counts is how much work there is.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cache::key::{KeyPlace, KeyWriter, Scope, scope_key};
use cache::{Compression, FarKey, KeyGenerator, Region, Settings, Sha1Keys, cached, registry};
use memcached_server::Server;

use super::latency::{calls, measure};
use super::ours::{self, Lookup};
use super::{Placement, cpus, placed};
use crate::harness::{self, Effort, Record, Role};
use crate::hit;
use crate::load::{pairs, picks};

const TTL: Duration = Duration::from_secs(3600);
/// A value that its server keeps in one item.
const LARGE: usize = 900_000;
/// How many keys near hits are spread over.
const NEAR_KEYS: u64 = 10_000;

static FAR: Region = Region::named("region_far");
static NEAR: Region = Region::named("region_near");
static BOTH: Region = Region::named("region_both");
static PROVED: Region = Region::named("region_proved");

#[cached(FAR, "texts")]
fn text(size: usize) -> Arc<str> {
    text_of(size)
}

/// Its near copy is asked about in each call.
#[cached(PROVED, "texts")]
fn proved_text(size: usize) -> Arc<str> {
    text_of(size)
}

#[cached(NEAR, "profile")]
fn near(id: u64, name: &str) -> u64 {
    let _ = name;
    id
}

#[cached(BOTH, "profile")]
fn both(id: u64, name: &str) -> u64 {
    let _ = name;
    id
}

/// Digits in no order.
fn text_of(size: usize) -> Arc<str> {
    let (mut text, mut random) = (String::with_capacity(size + 16), crate::load::Random::new(size as u64));
    while text.len() < size {
        write!(text, "{:016x}", random.next()).expect("text can be written");
    }
    text.truncate(size);
    text.into()
}

pub fn run(effort: Effort) -> Vec<Record> {
    let server = placed(Placement::Together, cpus());
    configure(&server);
    let mut records = far_hit(&server, effort);
    records.extend(near_hit(effort));
    records.extend(validation(effort));
    records
}

fn configure(server: &Server) {
    let far = || Settings::new().ttl(TTL).compress(Compression::None).far(server.url());
    let near = format!("memory://?entries={}", 4 * NEAR_KEYS);
    let regions = [
        ("region_far", far()),
        ("region_near", Settings::new().ttl(TTL).near(&near)),
        ("region_both", far().near(&near).max_staleness(TTL)),
        ("region_proved", far().near("memory://").max_staleness(Duration::ZERO)),
    ];
    for (name, settings) in regions {
        registry().configure(name, settings).expect("good settings");
    }
}

/// Through the attribute, beside the client that reads the same items: the record and the generations of its scopes.
fn far_hit(server: &Server, effort: Effort) -> Vec<Record> {
    const SIZE: usize = 4 << 10;
    assert_eq!(text(SIZE).len(), SIZE);
    let [record, region, namespace] = items_of("texts", SIZE);
    let (client, keys) = (ours::plain(server, ""), [record.clone(), region.clone(), namespace.clone()].map(named));
    let bare = move || {
        let items = client.get_many(&keys).wait();
        let lengths = items.into_iter().map(|item| item.expect("an answer").expect("an item").value.len());
        lengths.max().expect("three items") & !0xff
    };
    let (backend, lookup) = (ours::client(server), Lookup::of(record, vec![region, namespace]));
    let read = move || lookup.ask(&backend) & !0xff;
    let subjects = vec![
        calls("limit: cache: Client, the same 3 items", Role::Limit, SIZE, bare),
        calls("cache: the far backend, record and generations", Role::Ours, SIZE, read),
        calls("cache: the attribute", Role::Ours, SIZE, || text(SIZE).len()),
    ];
    let loads = count(&FAR, |total| total.loads);
    let records = measure("region", "far hit of 4 KiB, one CPU, blocking", subjects, effort);
    assert_eq!(count(&FAR, |total| total.loads), loads, "hits only");
    records
}

fn named(key: FarKey) -> String {
    key.as_str().to_owned()
}

/// The far keys of a call with one argument, and of its scopes.
fn items_of(namespace: &str, argument: usize) -> [FarKey; 3] {
    let place = KeyPlace { prefix: "", region: FAR.name() };
    let key = KeyWriter::key_of(namespace, &(argument,)).expect("a key");
    [
        Sha1Keys.far_key(place, key.as_ref()).expect("a far key"),
        scope_key(place, Scope::Region),
        scope_key(place, Scope::Namespace(namespace)),
    ]
}

/// A near hit where a far tier stands behind it, and the proof is good for long.
fn near_hit(effort: Effort) -> Vec<Record> {
    let keys = pairs(NEAR_KEYS);
    let subjects = [
        hit::calls("limit: near alone", Role::Limit, keys, near),
        hit::calls("cache: near over far", Role::Ours, keys, both),
    ];
    let all: Vec<u32> = (0..keys.len() as u32).collect();
    subjects.iter().for_each(|subject| _ = subject.ask(&all));
    let calls = if effort == Effort::Full { 1 << 18 } else { 1 << 15 };
    let loads = count(&BOTH, |total| total.loads);
    let picks = [picks(keys.len(), 1.0, calls, 1)];
    let records = harness::time("region", "near hit of u64, 1 thr, sync", &subjects, &picks, effort);
    assert_eq!(count(&BOTH, |total| total.loads + total.validated + total.far_hits), loads, "near hits only");
    records
}

/// A near copy that is shown to be current, beside the value that is read and decoded again.
fn validation(effort: Effort) -> Vec<Record> {
    assert_eq!((text(LARGE).len(), proved_text(LARGE).len()), (LARGE, LARGE));
    let validated = count(&PROVED, |total| total.validated);
    let near_hits = count(&PROVED, |total| total.near_hits);
    let subjects = vec![
        calls("cache: read and decoded", Role::Ours, LARGE, || text(LARGE).len()),
        calls("cache: near copy validated", Role::Limit, LARGE, || proved_text(LARGE).len()),
    ];
    let records = measure("region", "value of 900 kB, one CPU, blocking", subjects, effort);
    assert!(count(&PROVED, |total| total.validated) > validated, "validations ran");
    assert_eq!(count(&PROVED, |total| total.near_hits), near_hits, "no call was answered without one");
    records
}

fn count(region: &Region, of: impl Fn(&cache::Counts) -> u64) -> u64 {
    of(&region.stats().expect("it is configured").total)
}
