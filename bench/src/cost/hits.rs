//! How often a hit allocates: never near, and far as often whatever the number of entries and of nodes.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use cache::{Region, Settings, cached};

use super::{NODES, configured, far_counts, servers, url};
use crate::harness::{Better, Effort, Record, Role, Row, tell};
use crate::load::{Pair, pairs};

pub const TTL: Duration = Duration::from_secs(3600);
/// How many keys are asked for; each was asked for before.
const ASKED: usize = 1_000;

pub static NEAR: Region = Region::named("cost_near_hits");
pub static FAR: Region = Region::named("cost_far_hits");

#[cached(NEAR, "blocking")]
pub fn near(id: u64, name: &str) -> u64 {
    let _ = name;
    id
}

#[cached(NEAR, "async")]
pub async fn near_async(id: u64, name: &str) -> u64 {
    let _ = name;
    id
}

#[cached(FAR, "blocking")]
pub fn far(id: u64, name: &str) -> u64 {
    let _ = name;
    id
}

#[cached(FAR, "async")]
async fn far_async(id: u64, name: &str) -> u64 {
    let _ = name;
    id
}

pub fn run(effort: Effort) -> Vec<Record> {
    let mut records = Vec::new();
    for count in [1_000, 100_000, 1_000_000] {
        let keys = pairs(count);
        let near = Settings::new().ttl(TTL).near(format!("memory://?entries={}", 4 * count));
        let mut rows = configured("cost_near_hits", near, || near_hits(keys));
        if far_counts(effort).contains(&count) {
            rows.extend(far_hits_of(keys, 1));
        }
        records.extend(tell("cost", &format!("allocations of a hit, {count} entries"), "", rows, Better::Less));
    }
    let rows = NODES.iter().flat_map(|nodes| far_hits_of(pairs(ASKED as u64), *nodes));
    records.extend(tell("cost", "allocations of a hit, 1000 entries, by nodes", "", rows.collect(), Better::Less));
    records
}

fn near_hits(keys: &[Pair]) -> Vec<Row> {
    let blocking = |(id, name): &Pair| assert_eq!(near(*id, name), *id);
    // A hit is there at the first poll.
    let awaited = |(id, name): &Pair| {
        let ready = pin!(near_async(*id, name)).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(ready, Poll::Ready(*id));
    };
    keys.iter().for_each(blocking);
    keys.iter().for_each(awaited);
    let asked = &keys[..ASKED];
    let loads = loads(&NEAR);
    let rows = vec![
        row("cache: near, blocking", || asked.iter().for_each(blocking)),
        row("cache: near, async", || asked.iter().for_each(awaited)),
    ];
    assert_eq!(self::loads(&NEAR), loads, "hits only");
    assert!(rows.iter().all(|(_, _, allocations, _)| *allocations == 0.0), "a near hit allocates nothing");
    rows
}

fn far_hits_of(keys: &[Pair], nodes: usize) -> Vec<Row> {
    let servers = servers(nodes);
    configured("cost_far_hits", Settings::new().ttl(TTL).far(url(&servers)), || far_hits(keys, nodes))
}

fn far_hits(keys: &[Pair], nodes: usize) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let blocking = |keys: &[Pair]| keys.iter().for_each(|(id, name)| assert_eq!(far(*id, name), *id));
    let awaited = |keys: &[Pair]| {
        runtime.block_on(async {
            for (id, name) in keys {
                assert_eq!(far_async(*id, name).await, *id);
            }
        })
    };
    let asked = &keys[..ASKED];
    blocking(keys);
    awaited(keys);
    // Connections and what is kept for each node are there now.
    blocking(asked);
    awaited(asked);
    let loads = loads(&FAR);
    let rows = vec![
        row(&format!("cache: far, blocking, {nodes} node(s)"), || blocking(asked)),
        row(&format!("cache: far, async, {nodes} node(s)"), || awaited(asked)),
    ];
    assert_eq!(self::loads(&FAR), loads, "hits only");
    rows
}

fn loads(region: &Region) -> u64 {
    region.stats().expect("it is configured").total.loads
}

/// How often each of `ASKED` calls allocates.
fn row(name: &str, calls: impl FnOnce()) -> Row {
    let allocations = measure(calls).count_total as f64 / ASKED as f64;
    (name.to_owned(), Role::Ours, allocations, allocations)
}
