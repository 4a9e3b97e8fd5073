//! Does one thing so many times: `instructions <operation> <times>`.
//!
//! What it does before the first time is the same for each number of times, so that the difference of two runs is what
//! the operation takes; `scripts/instructions` has valgrind count it. Nothing here depends on the time or on chance.

use std::error::Error;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cache::backend::GenerationDigest;
use cache::key::{Key, KeyWriter};
use cache::memcached::proto;
use cache::record::{self, Codec, Compression, Writing};
use cache::{Region, Settings, cached, registry};
use memcached_server::Server;

/// What can be done.
const OPERATIONS: &[(&str, Operation)] = &[
    ("near-hit", near_hit),
    ("near-hit-async", near_hit_async),
    ("far-hit-4k", far_hit),
    ("record-encode-4k", encode),
    ("record-decode-4k", decode),
    ("reply-parse-4k", parse),
];

/// Does it so many times.
type Operation = fn(u32) -> Result<(), Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, times] = &arguments[..] else { return Err("usage: instructions <operation> <times>".into()) };
    let known = OPERATIONS.iter().find(|(known, _)| known == name);
    let (_, operation) = known.ok_or_else(|| format!("unknown operation `{name}`"))?;
    operation(times.parse()?)
}

const TTL: Duration = Duration::from_secs(3600);

static NEAR: Region = Region::named("near");
static FAR: Region = Region::named("far");

#[cached(NEAR, "profile")]
fn profile(id: u64, name: &str) -> u64 {
    let _ = name;
    id
}

#[cached(NEAR, "profile_async")]
async fn profile_async(id: u64, name: &str) -> u64 {
    let _ = name;
    id
}

#[cached(FAR, "page")]
fn page(id: u64, name: &str) -> String {
    let _ = (id, name);
    text()
}

/// A value of 4 KiB.
fn text() -> String {
    "0123456789abcdef".repeat(256)
}

fn near_hit(times: u32) -> Result<(), Box<dyn Error>> {
    registry().configure("near", Settings::new().ttl(TTL).near("memory://"))?;
    for _ in 0..times {
        black_box(profile(black_box(7), black_box("user-000007")));
    }
    loaded_once(&NEAR)
}

fn near_hit_async(times: u32) -> Result<(), Box<dyn Error>> {
    registry().configure("near", Settings::new().ttl(TTL).near("memory://"))?;
    for _ in 0..times {
        let call = pin!(profile_async(black_box(7), black_box("user-000007")));
        match call.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => black_box(value),
            Poll::Pending => return Err("a hit, or a load that never waits, is ready at once".into()),
        };
    }
    loaded_once(&NEAR)
}

/// From a real server, by a blocking caller: the request, the reply, the record and the value.
fn far_hit(times: u32) -> Result<(), Box<dyn Error>> {
    let server = Server::start(&["-t", "1", "-m", "16"]);
    registry().configure("far", Settings::new().ttl(TTL).compress(Compression::None).far(server.url()))?;
    for _ in 0..times {
        black_box(page(black_box(7), black_box("user-000007")));
    }
    loaded_once(&FAR)
}

/// All calls but the first were hits.
fn loaded_once(region: &Region) -> Result<(), Box<dyn Error>> {
    match region.stats().map(|stats| stats.total.loads) {
        Some(1) => Ok(()),
        loads => Err(format!("hits were to be counted, and there were loads: {loads:?}").into()),
    }
}

/// What a far tier's fill makes of a value.
fn encode(times: u32) -> Result<(), Box<dyn Error>> {
    let (text, key) = (text(), key()?);
    for _ in 0..times {
        black_box(record::write(black_box(&text), &writing(&key))?);
    }
    Ok(())
}

/// What a far hit makes of a record.
fn decode(times: u32) -> Result<(), Box<dyn Error>> {
    let key = key()?;
    let bytes = record::write(&text(), &writing(&key))?;
    for _ in 0..times {
        let read = record::read::<String>(black_box(&bytes), &writing(&key).expect());
        black_box(read.map_err(|miss| format!("{miss:?}"))?);
    }
    Ok(())
}

fn key() -> Result<Key, Box<dyn Error>> {
    Ok(KeyWriter::key_of("page", &(7_u64, "user-000007"))?)
}

fn writing(key: &Key) -> Writing<'_> {
    Writing {
        codec: &Codec::Bincode,
        compression: Compression::None,
        version: 0,
        fingerprint: record::fingerprint::<String>(),
        digest: GenerationDigest::default(),
        key: key.as_ref(),
        max_value: 1 << 20,
    }
}

/// The reply to `mg` with a value and its CAS, all of it there at once.
fn parse(times: u32) -> Result<(), Box<dyn Error>> {
    let key = proto::Key::new("images:3f786850e387550fdab836ed7e6dc881de23001b").map_err(|_| "a bad key")?;
    let get = proto::Get { value: true, meta: true, ..proto::Get::new(key) };
    let expected = proto::Request::Get(get).write(proto::Opaque(7), &mut Vec::new());
    let features = proto::Features { fenced_delete: true, opaque_on_miss: true };
    let reply = format!("VA 4096 c12345 t3599 s4096 f0 O7\r\n{}\r\n", text()).into_bytes();
    for _ in 0..times {
        let parsed = proto::parse(black_box(&reply), expected, features);
        match black_box(parsed) {
            Ok(proto::Parsed::Whole(..)) => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(())
}
