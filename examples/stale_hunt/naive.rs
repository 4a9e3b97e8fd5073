//! The same without a region: look, load, store; and delete after a write. Whoever stores late stores what was deleted.

use std::time::Duration;

use cache::memcached::Client;

use crate::item::Item;

const TTL: Duration = Duration::from_secs(60);

pub fn client(url: &str) -> cache::Result<Client> {
    Client::from_url(url)
}

pub fn key(slot: usize) -> String {
    format!("naive:{slot}")
}

/// What is there, or else what `load` gives. A server that fails is a miss.
pub fn read(client: &Client, slot: usize, load: impl FnOnce() -> Item) -> Item {
    let key = key(slot);
    if let Ok(Some(item)) = client.get(&key).wait()
        && let Ok(item) = serde_json::from_slice(&item.value)
    {
        return item;
    }
    let item = load();
    if let Ok(text) = serde_json::to_vec(&item) {
        // If it is not stored, the next one loads again.
        let _ = client.set(&key, &text, TTL).wait();
    }
    item
}

/// The same, awaited.
pub async fn read_async(client: &Client, slot: usize, load: impl Future<Output = Item>) -> Item {
    let key = key(slot);
    if let Ok(Some(item)) = client.get(&key).await
        && let Ok(item) = serde_json::from_slice(&item.value)
    {
        return item;
    }
    let item = load.await;
    if let Ok(text) = serde_json::to_vec(&item) {
        let _ = client.set(&key, &text, TTL).await;
    }
    item
}
