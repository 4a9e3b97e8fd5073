//! The peer hitbox: its concurrency of 1 lets one of many load, and hands the value to all who wait.
//!
//! It does so before it keeps the value: of many, one that comes in between may load again.

use std::sync::Arc;

use hitbox::concurrency::BroadcastConcurrencyManager;
use hitbox::policy::{ConcurrencyLimit, PolicyConfig};
use hitbox_backend::format::BincodeFormat;
use hitbox_fn::{Cache, cached};
use hitbox_moka::MokaBackend;
use tokio::runtime::Runtime;

use super::{MAX_SIZE, Storm, TTL, load_async, tasks};
use crate::harness::Role;

#[cached]
async fn memoised(id: u64) -> u64 {
    load_async(id).await
}

pub fn of_tasks(runtime: &Arc<Runtime>) -> Storm {
    let backend = MokaBackend::builder().max_entries(MAX_SIZE).value_format(BincodeFormat).build();
    let policy = PolicyConfig::builder().ttl(TTL).concurrency(ConcurrencyLimit::const_new::<1>()).build();
    let manager = BroadcastConcurrencyManager::<u64>::new();
    let cache = Arc::new(Cache::builder().backend(backend).policy(policy).concurrency_manager(manager).build());
    let call = move |id| memoised(id).cache(cache.clone()).into_future();
    tasks("hitbox #[cached] concurrency 1", Role::Peer, runtime, call)
}
