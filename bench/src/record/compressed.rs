//! Bytes made small and large again: zstd as records have it, zlib as clients in other languages do, and the fastest.

use std::io::{Read, Write};

use cache::record::{Codec, Compression, HEADER, read, write};
use cache_core::key::KeyWriter;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Work, rates, size, work, writing};
use crate::harness::{Effort, Record, Role};

/// Size and speed of each on the same bytes.
pub fn run(told: &str, bytes: &[u8], effort: Effort) -> Vec<Record> {
    let (mut sizes, mut small, mut large) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |one: Compressor| {
        sizes.push((one.name.to_owned(), one.role, (one.compress)(bytes).len() - one.head));
        let compressed = (one.compress)(bytes);
        assert_eq!((one.decompress)(&compressed), bytes.len(), "{}", one.name);
        small.push(compressing(one.name, one.role, one.compress, bytes));
        large.push(work(one.name, one.role, move || (one.decompress)(&compressed)));
    };
    for (name, level) in [("cache: zstd 3, the default", 3), ("cache: zstd 1", 1), ("cache: zstd 9", 9)] {
        add(zstd(name, level));
    }
    others().into_iter().for_each(add);
    let mut records = size(&format!("{told}, compressed"), sizes);
    records.extend(rates(&format!("{told}, compress"), bytes.len(), small, effort));
    records.extend(rates(&format!("{told}, decompress"), bytes.len(), large, effort));
    records
}

type Compress = Box<dyn Fn(&[u8]) -> Vec<u8>>;
type Decompress = Box<dyn Fn(&[u8]) -> usize>;

/// Something that makes bytes small, and tells how many they were when it made them large again.
struct Compressor {
    name: &'static str,
    role: Role,
    /// How many bytes of what it makes are not the compressed ones.
    head: usize,
    compress: Compress,
    decompress: Decompress,
}

fn compressing<'a>(name: &str, role: Role, compress: Compress, bytes: &'a [u8]) -> Work<'a> {
    work(name, role, move || compress(bytes).len())
}

/// As a record: with its header and its check, there and back.
fn zstd(name: &'static str, level: i32) -> Compressor {
    let key = KeyWriter::key_of("record", "compressed").expect("a key");
    let same_key = key.clone();
    let compression = Compression::Zstd { level, min_len: 0 };
    Compressor {
        name,
        role: Role::Ours,
        head: HEADER,
        compress: Box::new(move |bytes| {
            write(&Encoded(bytes), &writing::<Length>(&Codec::Bincode, compression, &key)).expect("a record")
        }),
        decompress: Box::new(move |record| {
            let writing = writing::<Length>(&Codec::Bincode, compression, &same_key);
            read::<Length>(record, &writing.expect()).expect("a value").0
        }),
    }
}

fn others() -> [Compressor; 3] {
    let zlib = Compressor {
        name: "zlib 6",
        role: Role::Peer,
        head: 0,
        compress: Box::new(|bytes| {
            let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len()), flate2::Compression::new(6));
            encoder.write_all(bytes).expect("memory takes all");
            encoder.finish().expect("memory takes all")
        }),
        decompress: Box::new(|small| {
            let mut bytes = Vec::new();
            ZlibDecoder::new(small).read_to_end(&mut bytes).expect("what was compressed")
        }),
    };
    let lz4 = Compressor {
        name: "lz4_flex",
        role: Role::Beside,
        head: 0,
        compress: Box::new(lz4_flex::block::compress_prepend_size),
        decompress: Box::new(|small| lz4_flex::block::decompress_size_prepended(small).expect("what was").len()),
    };
    let snap = Compressor {
        name: "snap",
        role: Role::Beside,
        head: 0,
        compress: Box::new(|bytes| snap::raw::Encoder::new().compress_vec(bytes).expect("few enough")),
        decompress: Box::new(|small| snap::raw::Decoder::new().decompress_vec(small).expect("what was").len()),
    };
    [zlib, lz4, snap]
}

/// What is encoded already: as a value it is itself, behind its length.
struct Encoded<'a>(&'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// How many bytes there are. They are not copied once more: nobody would.
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Counted).map(Length)
    }
}

struct Counted;

impl Visitor<'_> for Counted {
    type Value = usize;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<usize, E> {
        Ok(bytes.len())
    }
}
