//! The subjects of this repository: the attribute, and the near backend without it.

use std::any::Any;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cache::{Region, Settings, cached, registry};
use cache_core::backend::{Object, ObjectBackend, Stamp};
use cache_core::clock::{Clock, Tick};
use cache_core::freshness::Deadlines;
use cache_core::generation::{Born, GenerationDigest, LocalGeneration};
use cache_core::key::{Key, KeyBuffer, KeyRef, KeyWriter};
use cache_core::policy::Policy;
use cache_memory::MemoryBackend;

use super::{MAX_SIZE, Value, calls, futures, load};
use crate::harness::{Role, Subject};
use crate::load::Pair;

pub const NAMESPACE: &str = "profile";
const TTL: Duration = Duration::from_secs(3600);

pub fn sync<V: Attribute>(keys: &'static [Pair]) -> Vec<Box<dyn Subject>> {
    let memoised = Memoised::new();
    vec![
        V::sync(keys),
        calls("cache-memory: key + visit", Role::Ours, keys, move |id, name| memoised.call::<V>(id, name)),
    ]
}

pub fn asynchronous<V: Attribute>(keys: &'static [Pair]) -> Vec<Box<dyn Subject>> {
    let memoised: &'static Memoised = Box::leak(Box::new(Memoised::new()));
    let call = move |id, name| async move { memoised.call::<V>(id, name) };
    vec![V::asynchronous(keys), futures("cache-memory: key + visit", Role::Ours, keys, call)]
}

/// Each function has a region of its own, as each peer's has a cache of its own.
fn configure(region: &Region) {
    let settings = Settings::new().ttl(TTL).near(format!("memory://?entries={MAX_SIZE}"));
    registry().configure(region.name(), settings).expect("good settings");
}

/// A value for which the cached functions are written out below.
pub trait Attribute: Value {
    fn sync(keys: &'static [Pair]) -> Box<dyn Subject>;
    fn asynchronous(keys: &'static [Pair]) -> Box<dyn Subject>;
}

macro_rules! attribute_of {
    ($module:ident, $value:ty, $sync:literal, $async:literal) => {
        mod $module {
            use super::*;

            static SYNC: Region = Region::named($sync);
            static ASYNC: Region = Region::named($async);

            #[allow(dead_code)]
            #[cached(SYNC, "profile")]
            fn plain(id: u64, name: &str) -> $value {
                let _ = name;
                load(id)
            }

            #[allow(dead_code)]
            #[cached(ASYNC, "profile")]
            async fn plain_async(id: u64, name: &str) -> $value {
                let _ = name;
                load(id)
            }

            impl Attribute for $value {
                fn sync(keys: &'static [Pair]) -> Box<dyn Subject> {
                    configure(&SYNC);
                    calls("cache #[cached]", Role::Ours, keys, plain)
                }

                fn asynchronous(keys: &'static [Pair]) -> Box<dyn Subject> {
                    configure(&ASYNC);
                    futures("cache #[cached] async", Role::Ours, keys, plain_async)
                }
            }
        }
    };
}

attribute_of!(number, u64, "u64", "u64_async");
attribute_of!(text, String, "string", "string_async");
attribute_of!(block, Arc<[u8]>, "arc", "arc_async");

/// The path of a near hit without region and attribute: key, index, freshness by the coarse clock, downcast, clone.
struct Memoised {
    near: Box<dyn ObjectBackend>,
    clock: Clock,
}

impl Memoised {
    fn new() -> Self {
        let near = MemoryBackend::builder().entries(MAX_SIZE).build().expect("a capacity");
        Memoised { near: Box::new(near), clock: Clock::System }
    }

    #[inline]
    fn call<V: Value>(&self, id: u64, name: &str) -> V {
        let mut buffer = KeyBuffer::new();
        let mut writer = buffer.begin(NAMESPACE, 2);
        writer.arg(&id);
        writer.arg(name);
        let key = writer.finish().expect("a key");
        let now = self.clock.now_or_just_after();
        let mut found = None;
        self.near.visit(key, &mut |object| {
            if object.serves(now) {
                found = object.value().downcast_ref::<V>().cloned();
            }
        });
        found.unwrap_or_else(|| self.fill(key, id))
    }

    #[cold]
    fn fill<V: Value>(&self, key: KeyRef<'_>, id: u64) -> V {
        let value: V = load(id);
        self.near.put(key, object(value.clone()), self.clock.now());
        value
    }
}

/// The key of a call.
pub fn key(id: u64, name: &str) -> Key {
    KeyWriter::key_of(NAMESPACE, &(id, name)).expect("a key")
}

/// A value that is good for an hour.
pub fn object<V: Any + Send + Sync>(value: V) -> Arc<Object> {
    static SCOPE: LazyLock<Arc<LocalGeneration>> = LazyLock::new(Arc::default);
    let now = Clock::System.now();
    let stamp = Stamp {
        deadlines: Deadlines::starting(now, Some(TTL), &Policy::with_ttl(TTL)),
        proved: now,
        proved_until: Tick::NEVER,
        token: None,
        generations: GenerationDigest::default(),
    };
    Arc::new(Object::new(value, stamp, Born::now(&SCOPE), 0))
}
