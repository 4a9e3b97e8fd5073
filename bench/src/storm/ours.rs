//! The subjects of this repository: the attribute, with a near tier alone, and with memcached alone.

use std::sync::Arc;

use cache::{Region, Settings, cached, registry};
use tokio::runtime::Runtime;

use super::{MAX_SIZE, Storm, TTL, load, load_async, tasks, threads};
use crate::harness::Role;

static REGION: Region = Region::named("storm");

#[cached(REGION, "blocking")]
fn near(id: u64) -> u64 {
    load(id)
}

#[cached(REGION, "awaited")]
async fn near_async(id: u64) -> u64 {
    load_async(id).await
}

fn configure() {
    let settings = Settings::new().ttl(TTL).near(format!("memory://?entries={MAX_SIZE}"));
    registry().configure("storm", settings).expect("good settings");
}

pub fn of_threads() -> Vec<Storm> {
    configure();
    vec![threads("cache #[cached]", Role::Ours, near)]
}

pub fn of_tasks(runtime: &Arc<Runtime>) -> Vec<Storm> {
    configure();
    vec![tasks("cache #[cached] async", Role::Ours, runtime, near_async)]
}

static FAR: Region = Region::named("storm_far");

#[cached(FAR, "shared")]
fn shared(id: u64) -> u64 {
    load(id)
}

/// The function whose results all processes share over this server.
pub fn far(url: &str) -> fn(u64) -> u64 {
    registry().configure("storm_far", Settings::new().ttl(TTL).far(url)).expect("good settings");
    shared
}
