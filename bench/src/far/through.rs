//! Hits in memcached through the attribute, beside the bare client that reads the same items: the record, and the two
//! generations that it belongs to.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache::key::{Scope, scope_key};
use cache::memcached::Item;
use cache::{Compression, FarKey, KeyGenerator, KeyPlace, KeyRef, Region, Settings, Sha1Keys, cached, registry};
use memcached_server::Server;

use super::loads::runtime;
use super::ours;
use super::throughput::{KEYS, Load, tasks, threads};
use crate::harness::Role;

static REGION: Region = Region::named("bench_far");

/// Text that does not shrink much, so that all sizes stay what they are.
fn text(n: usize, size: usize) -> String {
    let (mut text, mut state) = (String::with_capacity(size + 16), n as u64 + 1);
    while text.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{:08x}", state >> 32).expect("text can be written");
    }
    text.truncate(size);
    text
}

#[cached(REGION, "texts")]
fn blocking_text(n: usize, size: usize) -> String {
    text(n, size)
}

#[cached(REGION, "texts_of_tasks")]
async fn awaited_text(n: usize, size: usize) -> String {
    text(n, size)
}

/// The default far keys, written down while they are made for the first time.
#[derive(Debug)]
struct Noted;

static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static IS_NOTING: AtomicBool = AtomicBool::new(false);

impl KeyGenerator for Noted {
    fn far_key(&self, place: KeyPlace<'_>, key: KeyRef<'_>) -> cache::Result<FarKey> {
        let far_key = Sha1Keys.far_key(place, key)?;
        if IS_NOTING.load(Ordering::Relaxed) {
            NOTED.lock().expect("nobody panics").push(far_key.as_str().to_owned());
        }
        Ok(far_key)
    }
}

/// Calls the function once for each item; then all of them are there. Their far keys.
fn items(server: &Server, call: impl Fn(usize)) -> Vec<String> {
    let settings = Settings::new().ttl(Duration::from_secs(3600)).compress(Compression::None).keys(Noted);
    registry().configure("bench_far", settings.far(ours::patient(server, ""))).expect("good settings");
    IS_NOTING.store(true, Ordering::Relaxed);
    (0..KEYS).for_each(call);
    IS_NOTING.store(false, Ordering::Relaxed);
    let mut keys = std::mem::take(&mut *NOTED.lock().expect("nobody panics"));
    keys.dedup();
    assert_eq!(keys.len(), KEYS, "one far key for each item");
    keys
}

/// What is read for each of these records: itself, the generation of the region, and that of the namespace.
fn with_generations(keys: Vec<String>, namespace: &str) -> Vec<[String; 3]> {
    let place = KeyPlace { prefix: "", region: "bench_far" };
    let [region, namespace] =
        [Scope::Region, Scope::Namespace(namespace)].map(|scope| scope_key(place, scope).as_str().to_owned());
    keys.into_iter().map(|key| [key, region.clone(), namespace.clone()]).collect()
}

/// All of a record's items are there, and it is as long as its text.
fn are_whole(items: Vec<cache::Result<Option<Item>>>, size: usize) {
    let lengths: Vec<usize> =
        items.into_iter().map(|item| item.expect("an answer").expect("an item").value.len()).collect();
    assert!(lengths.len() == 3 && lengths[0] > size, "{lengths:?}");
}

fn loads_run() -> u64 {
    REGION.stats().expect("it is configured").total.loads
}

pub fn of_tasks(server: &Server, size: usize) -> Vec<Load> {
    let runtime = runtime();
    let keys = items(server, |n| drop(runtime.block_on(awaited_text(n, size))));
    let keys = Arc::new(with_generations(keys, "texts_of_tasks"));
    let (client, bare_runtime) = (ours::plain(server, ""), runtime.clone());
    let bare = move |callers, time| {
        let (client, keys) = (client.clone(), keys.clone());
        tasks(&bare_runtime, callers, time, move |n| {
            let (client, keys) = (client.clone(), keys.clone());
            async move { are_whole(client.get_many(&keys[n]).await, size) }
        })
    };
    let cached = move |callers, time| {
        let loads = loads_run();
        let answers = tasks(&runtime, callers, time, move |n| async move {
            assert_eq!(awaited_text(n, size).await.len(), size);
        });
        assert_eq!(loads_run(), loads, "hits only");
        answers
    };
    vec![
        Load { name: "limit: cache: Client, the same 3 items", role: Role::Limit, run: Box::new(bare) },
        Load { name: "cache: the attribute", role: Role::Ours, run: Box::new(cached) },
    ]
}

pub fn of_threads(server: &Server, size: usize) -> Vec<Load> {
    let keys = with_generations(items(server, |n| drop(blocking_text(n, size))), "texts");
    let client = ours::plain(server, "");
    let bare = move |callers, time| threads(callers, time, |n| are_whole(client.get_many(&keys[n]).wait(), size));
    let cached = move |callers, time| threads(callers, time, |n| assert_eq!(blocking_text(n, size).len(), size));
    vec![
        Load { name: "limit: cache: Client, the same 3 items", role: Role::Limit, run: Box::new(bare) },
        Load { name: "cache: the attribute", role: Role::Ours, run: Box::new(cached) },
    ]
}
