//! Reads, one after the other: by a cached function in threads, and by its async twin in tasks.

use std::thread;

use cache::memcached::Client;
use cache::{Region, cached};

use crate::item::{Call, Item};
use crate::naive;
use crate::options::Cache;
use crate::random::Random;
use crate::trouble;
use crate::worker::Worker;

pub static HUNT: Region = Region::named("hunt");

#[cached(HUNT, "by_thread", skip(call))]
pub fn by_thread(call: Call<'_>, slot: usize) -> Item {
    let loading = call.begin(slot);
    thread::sleep(loading.takes);
    loading.end()
}

#[cached(HUNT, "by_task", skip(call))]
pub async fn by_task(call: Call<'_>, slot: usize) -> Item {
    let loading = call.begin(slot);
    tokio::time::sleep(loading.takes).await;
    loading.end()
}

pub fn in_thread(worker: &Worker, client: &Client, caller: u64) {
    let mut random = Random::new(worker.job.seed, worker.job.number << 8 | caller);
    while worker.goes_on() {
        let (slot, call) = (random.below(worker.job.keys), Call::of(worker));
        let item = trouble::in_thread(|| match worker.job.cache {
            Cache::Naive => naive::read(client, slot, || by_thread_uncached(call, slot)),
            Cache::Far | Cache::NearOverFar => by_thread(call, slot),
        });
        call.returned(slot, &item);
        thread::sleep(random.micros(0, 500));
    }
}

pub async fn in_task(worker: &Worker, client: &Client, caller: u64) {
    let mut random = Random::new(worker.job.seed, worker.job.number << 8 | 1 << 7 | caller);
    while worker.goes_on() {
        let (slot, call) = (worker.job.keys + random.below(worker.job.keys), Call::of(worker));
        let item = trouble::in_task(async {
            match worker.job.cache {
                Cache::Naive => naive::read_async(client, slot, by_task_uncached(call, slot)).await,
                Cache::Far | Cache::NearOverFar => by_task(call, slot).await,
            }
        });
        call.returned(slot, &item.await);
        tokio::time::sleep(random.micros(0, 500)).await;
    }
}
