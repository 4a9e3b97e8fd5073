//! Whether the index, the queues and the account agree, when nobody is amid an operation.

use super::*;

/// What stands in the index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Audit {
    pub(super) weight: u64,
    pub(super) entries: u64,
}

/// Panics unless each entry of the index has its own node, linked in the queue of its shard and as heavy as it is, there
/// are no others, and all sums are right.
pub(super) fn audit(store: &Store) -> Audit {
    // What this thread took out and did not free is freed by this.
    store.index.guard().flush();
    let guard = store.index.guard();
    let mut of_shards = vec![Vec::new(); store.shards.len()];
    for (entry, ()) in store.index.iter(&guard) {
        let of = store.shards.iter().position(|shard| std::ptr::eq(shard, store.shard(entry.hash())));
        of_shards[of.unwrap()].push((entry.node(), entry.hash(), entry.weight()));
    }
    for (shard, entries) in store.shards.iter().zip(&mut of_shards) {
        let queue = shard.lock();
        let mut queued = queue.audit();
        queued.sort_unstable();
        entries.sort_unstable();
        assert_eq!(queued, *entries, "what is queued, and what is in the index");
        assert_eq!(shard.weight.load(Ordering::Relaxed), queue.weight(), "what others see of a shard's weight");
    }
    let entries: Vec<_> = of_shards.concat();
    assert_eq!(entries.len(), store.index.len());
    let weight = entries.iter().map(|(.., weight)| weight).sum();
    let (held, limit) = (store.ledger.held(), store.ledger.limit());
    assert!(held >= weight, "{weight} in the index, {held} held");
    assert!(held <= limit, "{held} held, {limit} may be");
    // What other threads took out may wait for them; under the checker there are no others to the index.
    assert!(held == weight || !cfg!(shuttle), "{weight} in the index, {held} held");
    drop(guard);
    Audit { weight, entries: entries.len() as u64 }
}
