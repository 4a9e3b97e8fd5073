//! The peers that let one of many load, in the variant that does.

use std::convert::Infallible;
use std::sync::Arc;

use cached::macros::cached;
use foldhash::fast::RandomState;
use foyer_memory::CacheBuilder;
use memcache::exp::{Memcache, Ttl};
use quick_cache::sync::Cache as Quick;
use tokio::runtime::Runtime;

use super::{MAX_SIZE, Storm, TTL, load, load_async, tasks, threads};
use crate::harness::Role;

#[cached(max_size = 10_000, ttl_secs = 3600, sync_writes = "by_key")]
fn by_key(id: u64) -> u64 {
    load(id)
}

#[cached(max_size = 10_000, ttl_secs = 3600, sync_writes = "by_key")]
async fn by_key_async(id: u64) -> u64 {
    load_async(id).await
}

pub fn of_threads() -> Vec<Storm> {
    let moka = moka::sync::Cache::builder().max_capacity(MAX_SIZE).time_to_live(TTL);
    let moka = moka.build_with_hasher(RandomState::default());
    let quick: Quick<u64, u64> = Quick::new(MAX_SIZE as usize);
    let of_quick = move |id| quick.get_or_insert_with(&id, || Ok::<_, Infallible>(load(id)));
    vec![
        threads("cached #[cached] by_key", Role::Peer, by_key),
        threads("moka get_with", Role::Peer, move |id| moka.get_with(id, || load(id))),
        threads("quick_cache get_or_insert_with", Role::Peer, move |id| {
            of_quick(id).unwrap_or_else(|never| match never {})
        }),
    ]
}

pub fn of_tasks(runtime: &Arc<Runtime>) -> Vec<Storm> {
    let moka = moka::future::Cache::builder().max_capacity(MAX_SIZE).time_to_live(TTL);
    let moka = moka.build_with_hasher(RandomState::default());
    let of_moka = move |id| {
        let moka = moka.clone();
        async move { moka.get_with(id, load_async(id)).await }
    };
    let quick: Arc<Quick<u64, u64>> = Arc::new(Quick::new(MAX_SIZE as usize));
    let of_quick = move |id| {
        let quick = quick.clone();
        async move {
            let found = quick.get_or_insert_async(&id, async { Ok::<_, Infallible>(load_async(id).await) }).await;
            found.unwrap_or_else(|never| match never {})
        }
    };
    let foyer: foyer_memory::Cache<u64, u64> = CacheBuilder::new(MAX_SIZE as usize).build();
    let of_foyer = move |id| {
        let foyer = foyer.clone();
        async move {
            let found = foyer.get_or_fetch(&id, || async move { Ok::<_, Infallible>(load_async(id).await) });
            *found.await.expect("a load that does not fail").value()
        }
    };
    vec![
        tasks("cached #[cached] by_key", Role::Peer, runtime, by_key_async),
        tasks("moka get_with", Role::Peer, runtime, of_moka),
        tasks("quick_cache get_or_insert_async", Role::Peer, runtime, of_quick),
        tasks("foyer get_or_fetch", Role::Peer, runtime, of_foyer),
    ]
}

/// By the lease that one client of memcached has.
pub fn far(port: u16) -> impl Fn(u64) -> u64 + Sync {
    let client = Memcache::connect([("127.0.0.1", port)]).expect("the server is there");
    move |id| {
        let load = || Ok::<_, Infallible>(load(id).to_string());
        let found: String =
            client.fetch(format!("storm:{id}"), Ttl::secs(3600), load).expect("a load that does not fail");
        found.parse().expect("a number")
    }
}
