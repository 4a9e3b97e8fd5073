//! The peers: products that do the same, and structures that do less.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cached::macros::{cached, concurrent_cached};
use equivalent::Equivalent;
use foldhash::fast::RandomState;
use foyer_memory::CacheBuilder;
use memoize::memoize;

use super::{MAX_SIZE, Value, calls, futures, load};
use crate::harness::{Role, Subject};
use crate::load::Pair;

pub const TTL: Duration = Duration::from_secs(3600);

/// A value for which the functions of `cached` and `memoize` are written out below: their attributes take no type parameters.
pub trait Cached: Value {
    fn sync(keys: &'static [Pair]) -> Vec<Box<dyn Subject>>;
    fn asynchronous(keys: &'static [Pair]) -> Vec<Box<dyn Subject>>;
    #[cfg(feature = "hitbox")]
    fn hitbox(keys: &'static [Pair]) -> Box<dyn Subject>;
}

macro_rules! cached_of {
    ($module:ident, $value:ty) => {
        mod $module {
            use super::*;

            #[cached(
                max_size = 100_000,
                ttl_secs = 3600,
                key = "(u64, String)",
                convert = "{ (id, name.to_string()) }"
            )]
            fn plain(id: u64, name: &str) -> $value {
                let _ = name;
                load(id)
            }

            #[cached(
                max_size = 100_000,
                ttl_secs = 3600,
                sync_writes = "by_key",
                key = "(u64, String)",
                convert = "{ (id, name.to_string()) }"
            )]
            fn by_key(id: u64, name: &str) -> $value {
                let _ = name;
                load(id)
            }

            #[concurrent_cached(
                max_size = 100_000,
                ttl_secs = 3600,
                key = "(u64, String)",
                convert = "{ (id, name.to_string()) }"
            )]
            fn concurrent(id: u64, name: &str) -> $value {
                let _ = name;
                load(id)
            }

            // Without `SharedCache` each thread has a cache of its own. Arguments are kept as they come, so that borrowed
            // ones must become owned before each call.
            #[memoize(SharedCache, Capacity: 100_000, TimeToLive: TTL)]
            fn memoized(id: u64, name: String) -> $value {
                let _ = name;
                load(id)
            }

            #[cached(
                max_size = 100_000,
                ttl_secs = 3600,
                key = "(u64, String)",
                convert = "{ (id, name.to_string()) }"
            )]
            async fn plain_async(id: u64, name: &str) -> $value {
                let _ = name;
                load(id)
            }

            #[cached(
                max_size = 100_000,
                ttl_secs = 3600,
                sync_writes = "by_key",
                key = "(u64, String)",
                convert = "{ (id, name.to_string()) }"
            )]
            async fn by_key_async(id: u64, name: &str) -> $value {
                let _ = name;
                load(id)
            }

            #[concurrent_cached(
                max_size = 100_000,
                ttl_secs = 3600,
                key = "(u64, String)",
                convert = "{ (id, name.to_string()) }"
            )]
            async fn concurrent_async(id: u64, name: &str) -> $value {
                let _ = name;
                load(id)
            }

            impl Cached for $value {
                fn sync(keys: &'static [Pair]) -> Vec<Box<dyn Subject>> {
                    vec![
                        calls("cached #[cached] max_size+ttl", Role::Peer, keys, plain),
                        calls("cached #[cached] max_size+ttl by_key", Role::Peer, keys, by_key),
                        calls("cached #[concurrent_cached] max_size+ttl", Role::Peer, keys, concurrent),
                        calls("memoize #[memoize] Capacity+TimeToLive", Role::Peer, keys, |id, name| {
                            memoized(id, name.to_owned())
                        }),
                    ]
                }

                fn asynchronous(keys: &'static [Pair]) -> Vec<Box<dyn Subject>> {
                    vec![
                        futures("cached #[cached] max_size+ttl", Role::Peer, keys, plain_async),
                        futures("cached #[cached] max_size+ttl by_key", Role::Peer, keys, by_key_async),
                        futures("cached #[concurrent_cached] max_size+ttl", Role::Peer, keys, concurrent_async),
                    ]
                }

                #[cfg(feature = "hitbox")]
                fn hitbox(keys: &'static [Pair]) -> Box<dyn Subject> {
                    crate::hit::hitbox::$module(keys)
                }
            }
        }
    };
}

cached_of!(number, u64);
cached_of!(text, String);
cached_of!(shared, Arc<[u8]>);

pub fn sync<V: Cached>(keys: &'static [Pair]) -> Vec<Box<dyn Subject>> {
    let mut subjects = V::sync(keys);
    let moka: moka::sync::Cache<Owned, V, RandomState> =
        moka::sync::Cache::builder().max_capacity(MAX_SIZE).time_to_live(TTL).build_with_hasher(RandomState::default());
    let call = move |id, name| moka.get_with_by_ref(&(id, name) as &dyn Parts, || load(id));
    subjects.push(calls("moka get_with_by_ref, ttl", Role::Beside, keys, call));

    let foyer: foyer_memory::Cache<Owned, V, RandomState> =
        CacheBuilder::new(MAX_SIZE as usize).with_hash_builder(RandomState::default()).build();
    let call = move |id, name| match foyer.get(&(id, name)) {
        Some(entry) => entry.value().clone(),
        None => foyer.insert(Owned(id, name.to_owned()), load(id)).value().clone(),
    };
    subjects.push(calls("foyer get, no ttl", Role::Beside, keys, call));

    subjects.push(calls(QUICK, Role::Limit, keys, quick::<V>()));
    subjects.push(calls(PAPAYA, Role::Beside, keys, papaya::<V>()));
    subjects.push(calls(SCC, Role::Beside, keys, scc::<V>()));
    subjects.push(Box::new(OwnMap::<V> { keys, value: PhantomData }));
    subjects
}

pub const OWN_MAP: &str = "HashMap of the thread's own, no bound, no ttl";

/// A map that no other thread reads: each thread makes its own before it is timed.
struct OwnMap<V> {
    keys: &'static [Pair],
    value: PhantomData<fn() -> V>,
}

impl<V: Value> Subject for OwnMap<V> {
    fn name(&self) -> &str {
        OWN_MAP
    }

    fn role(&self) -> Role {
        Role::Beside
    }

    fn ask(&self, picks: &[u32]) -> Duration {
        let own = |(id, name): &Pair| (Owned(*id, (*name).to_owned()), V::of(*id));
        let map: HashMap<Owned, V, RandomState> = self.keys.iter().map(own).collect();
        let start = Instant::now();
        for pick in picks {
            drop(black_box(map.get(&self.keys[*pick as usize] as &dyn Parts).cloned()));
        }
        start.elapsed()
    }
}

pub fn asynchronous<V: Cached>(keys: &'static [Pair]) -> Vec<Box<dyn Subject>> {
    let mut subjects = V::asynchronous(keys);
    #[cfg(feature = "hitbox")]
    subjects.push(V::hitbox(keys));
    let moka: &'static moka::future::Cache<Owned, V, RandomState> = Box::leak(Box::new(
        moka::future::Cache::builder()
            .max_capacity(MAX_SIZE)
            .time_to_live(TTL)
            .build_with_hasher(RandomState::default()),
    ));
    let call = move |id, name| async move { moka.get_with_by_ref(&(id, name) as &dyn Parts, async { load(id) }).await };
    subjects.push(futures("moka get_with_by_ref, ttl", Role::Beside, keys, call));

    subjects.push(awaited(QUICK, Role::Limit, keys, quick::<V>()));
    subjects.push(awaited(PAPAYA, Role::Beside, keys, papaya::<V>()));
    subjects.push(awaited(SCC, Role::Beside, keys, scc::<V>()));
    subjects
}

const QUICK: &str = "quick_cache get, no ttl";
const PAPAYA: &str = "papaya get, no bound, no ttl";
const SCC: &str = "scc::HashIndex peek_with, no bound, no ttl";

/// The same call in a future that never waits.
fn awaited<V, F>(name: &'static str, role: Role, keys: &'static [Pair], call: F) -> Box<dyn Subject>
where
    V: Value,
    F: Fn(u64, &'static str) -> V + Sync + 'static,
{
    let call: &'static F = Box::leak(Box::new(call));
    futures(name, role, keys, move |id, name| async move { call(id, name) })
}

fn quick<V: Value>() -> impl Fn(u64, &'static str) -> V + Sync + 'static {
    let (weighter, hasher, lifecycle) = (quick_cache::UnitWeighter, RandomState::default(), Default::default());
    let quick: quick_cache::sync::Cache<Owned, V, _, RandomState> =
        quick_cache::sync::Cache::with(MAX_SIZE as usize, MAX_SIZE, weighter, hasher, lifecycle);
    move |id, name| {
        quick.get(&(id, name)).unwrap_or_else(|| {
            let value: V = load(id);
            quick.insert(Owned(id, name.to_owned()), value.clone());
            value
        })
    }
}

fn papaya<V: Value>() -> impl Fn(u64, &'static str) -> V + Sync + 'static {
    let papaya: papaya::HashMap<Owned, V, RandomState> = papaya::HashMap::with_hasher(RandomState::default());
    move |id, name| {
        let map = papaya.pin();
        map.get(&(id, name)).cloned().unwrap_or_else(|| {
            let value: V = load(id);
            map.insert(Owned(id, name.to_owned()), value.clone());
            value
        })
    }
}

fn scc<V: Value>() -> impl Fn(u64, &'static str) -> V + Sync + 'static {
    let index: scc::HashIndex<Owned, V, RandomState> = scc::HashIndex::with_hasher(RandomState::default());
    move |id, name| {
        index.peek_with(&(id, name), |_, value| value.clone()).unwrap_or_else(|| {
            let value: V = load(id);
            let _ = index.insert_sync(Owned(id, name.to_owned()), value.clone());
            value
        })
    }
}

/// The key that a peer keeps; it is looked up by a borrowed pair.
#[derive(Clone, PartialEq, Eq)]
struct Owned(u64, String);

impl Hash for Owned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1.as_str()).hash(state);
    }
}

impl Equivalent<Owned> for (u64, &str) {
    fn equivalent(&self, key: &Owned) -> bool {
        self.0 == key.0 && self.1 == key.1
    }
}

impl scc::Equivalent<Owned> for (u64, &str) {
    fn equivalent(&self, key: &Owned) -> bool {
        self.0 == key.0 && self.1 == key.1
    }
}

/// What moka can borrow a pair as: it wants a key that the owned one dereferences to.
trait Parts {
    fn parts(&self) -> (u64, &str);
}

impl Parts for Owned {
    fn parts(&self) -> (u64, &str) {
        (self.0, &self.1)
    }
}

impl Parts for (u64, &str) {
    fn parts(&self) -> (u64, &str) {
        *self
    }
}

impl Hash for dyn Parts + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Parts + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Parts + '_ {}

impl<'a> Borrow<dyn Parts + 'a> for Owned {
    fn borrow(&self) -> &(dyn Parts + 'a) {
        self
    }
}

impl ToOwned for dyn Parts + '_ {
    type Owned = Owned;

    fn to_owned(&self) -> Owned {
        let (id, name) = self.parts();
        Owned(id, name.to_owned())
    }
}
