//! The peer hitbox: it memoises async functions, in a backend that keeps bytes.

use std::sync::Arc;

use hitbox::policy::PolicyConfig;
use hitbox_backend::format::BincodeFormat;
use hitbox_fn::{Cache, CacheableResponse, cached};
use hitbox_moka::MokaBackend;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::peers::TTL;
use super::{MAX_SIZE, Value, futures, load};
use crate::harness::{Role, Subject};
use crate::load::Pair;

macro_rules! hitbox_of {
    ($name:ident, $value:ty) => {
        pub fn $name(keys: &'static [Pair]) -> Box<dyn Subject> {
            #[cached]
            async fn memoised(id: u64, name: String) -> $value {
                let _ = name;
                load(id)
            }

            let cache: &'static _ = Box::leak(Box::new(cache()));
            // It takes no borrowed arguments.
            let call = move |id, name: &str| memoised(id, name.to_owned()).cache(cache).into_future();
            futures("hitbox #[cached] max_entries+ttl", Role::Peer, keys, call)
        }
    };
}

hitbox_of!(number, u64);
hitbox_of!(text, String);
hitbox_of!(shared, Block);

/// In the format that it recommends for most uses; its default is JSON.
fn cache() -> Cache<MokaBackend<BincodeFormat>> {
    let backend = MokaBackend::builder().max_entries(MAX_SIZE).value_format(BincodeFormat).build();
    Cache::builder().backend(backend).policy(PolicyConfig::builder().ttl(TTL).build()).build()
}

/// An `Arc<[u8]>` that it can keep: each hit makes another of its bytes.
#[derive(Clone, Serialize, Deserialize, CacheableResponse)]
struct Block {
    #[serde(serialize_with = "serialize", deserialize_with = "deserialize")]
    bytes: Arc<[u8]>,
}

impl Value for Block {
    fn of(id: u64) -> Self {
        Block { bytes: Value::of(id) }
    }
}

/// All at once, which serde does not do by itself.
fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serde_bytes::serialize(&**bytes, serializer)
}

fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
    serde_bytes::deserialize(deserializer).map(|bytes: Box<[u8]>| bytes.into())
}
