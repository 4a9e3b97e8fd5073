//! Bytes that an entry requests from the allocator beyond its key and its value, a `u64` under `(u64, &str)`.

use std::time::Duration;

use allocation_counter::measure;
use cache::key::KeyWriter;
use cache::{Region, Settings, cached};
use cached::{Cached, LruTtlCache};

use super::{NODES, configured, far_counts, servers, url};
use crate::harness::{Better, Effort, Record, Role, Row, tell};
use crate::load::{Pair, pairs};

const TTL: Duration = Duration::from_secs(3600);
const NAMESPACE: &str = "profile";

static NEAR: Region = Region::named("cost_near");
static BOTH: Region = Region::named("cost_both");

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

pub fn run(effort: Effort) -> Vec<Record> {
    let mut records = Vec::new();
    for count in [1_000, 100_000, 1_000_000] {
        let keys = pairs(count);
        let mut rows = vec![near_alone(keys)];
        if far_counts(effort).contains(&count) {
            rows.push(near_over_far(keys, 1));
        }
        rows.extend(peers(keys));
        records.extend(tell("cost", &format!("beyond key and value, {count} entries"), "B", rows, Better::Less));
    }
    let keys = pairs(1_000);
    let rows = NODES.map(|nodes| near_over_far(keys, nodes));
    records.extend(tell("cost", "beyond key and value, 1000 entries, by nodes", "B", rows.into(), Better::Less));
    records
}

fn near_alone(keys: &[Pair]) -> Row {
    let settings = Settings::new().ttl(TTL).near(format!("memory://?entries={}", room(keys)));
    configured("cost_near", settings, || {
        near(0, "a first call");
        row("cache: near", Role::Ours, own_bytes(keys), keys, || keys.iter().for_each(|(id, name)| _ = near(*id, name)))
    })
}

fn near_over_far(keys: &[Pair], nodes: usize) -> Row {
    let servers = servers(nodes);
    let settings = Settings::new().ttl(TTL).near(format!("memory://?entries={}", room(keys))).far(url(&servers));
    let name = format!("cache: near over far, {nodes} node(s)");
    configured("cost_both", settings, || {
        // What is kept for each node, whatever it holds, is there before the entries are.
        (0..10 * nodes as u64).for_each(|n| _ = both(n, "a first call"));
        row(&name, Role::Ours, own_bytes(keys), keys, || keys.iter().for_each(|(id, name)| _ = both(*id, name)))
    })
}

fn peers(keys: &[Pair]) -> Vec<Row> {
    let owned = |(id, name): &Pair| (*id, (*name).to_owned());
    let bytes = keys.iter().map(|(_, name)| 8 + name.len()).sum();
    let row = |name: &str, role, fill: &mut dyn FnMut()| row(name, role, bytes, keys, fill);

    let moka: moka::sync::Cache<(u64, String), u64> =
        moka::sync::Cache::builder().max_capacity(room(keys)).time_to_live(TTL).build();
    let mut fill_moka = || {
        keys.iter().for_each(|key| moka.insert(owned(key), key.0));
        moka.run_pending_tasks();
    };
    // As much room as there will be entries is what it is told to expect; it takes that much at once.
    let mut quick = None;
    let mut fill_quick = || {
        let cache = quick.insert(quick_cache::sync::Cache::<(u64, String), u64>::new(room(keys) as usize));
        keys.iter().for_each(|key| cache.insert(owned(key), key.0));
    };
    let papaya: papaya::HashMap<(u64, String), u64> = papaya::HashMap::new();
    let mut fill_papaya = || keys.iter().for_each(|key| _ = papaya.pin().insert(owned(key), key.0));
    let mut cached = None;
    let mut fill_cached = || {
        let built = LruTtlCache::builder().max_size(room(keys) as usize).ttl(TTL).build();
        let cache: &mut LruTtlCache<(u64, String), u64> = cached.insert(built.expect("a size and a time"));
        keys.iter().for_each(|key| _ = cache.cache_set(owned(key), key.0));
    };
    vec![
        row("cached LruTtlCache, size and ttl", Role::Peer, &mut fill_cached),
        row("moka, size and ttl", Role::Peer, &mut fill_moka),
        row("quick_cache, size, no ttl", Role::Beside, &mut fill_quick),
        row("papaya, no bound, no ttl", Role::Limit, &mut fill_papaya),
    ]
}

/// Room for so many that nothing has to leave, where entries are spread over parts of their own.
fn room(keys: &[Pair]) -> u64 {
    2 * keys.len() as u64
}

/// What our keys have as bytes.
fn own_bytes(keys: &[Pair]) -> usize {
    let bytes = |key: &Pair| KeyWriter::key_of(NAMESPACE, key).expect("a key").as_ref().bytes().len();
    keys.iter().map(bytes).sum()
}

/// What `fill` requests and does not give back, for each key, without the bytes of keys and values.
fn row(name: &str, role: Role, key_bytes: usize, keys: &[Pair], fill: impl FnOnce()) -> Row {
    let requested = measure(fill).bytes_current;
    let beyond = (requested - key_bytes as i64) as f64 / keys.len() as f64 - size_of::<u64>() as f64;
    (name.to_owned(), role, beyond, beyond)
}
