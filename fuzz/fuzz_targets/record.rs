//! Any bytes are a miss or a value, never a panic: as they come, and behind a header that holds.

#![no_main]

use std::collections::HashMap;

use cache_core::generation::GenerationDigest;
use cache_core::key::KeyWriter;
use cache_core::record::{Codec, Compression, Fingerprint, Record, Writing, read, write};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Node {
    name: String,
    of: Vec<Node>,
    left: Option<Box<Node>>,
    map: HashMap<u32, Kind>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(i64),
    Two(char, f32),
    Fields { a: Vec<()>, b: u128 },
}

/// Is encoded as exactly these bytes: a record of it has an intact header before any body.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple as _;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(key) = KeyWriter::key_of("n", "k") else { return };
    for codec in ["bincode", "postcard", "json"].map(str::parse::<Codec>).into_iter().flatten() {
        let writing = Writing {
            codec: &codec,
            compression: Compression::None,
            version: 1,
            fingerprint: Fingerprint(1),
            digest: GenerationDigest(1),
            key: key.as_ref(),
            max_value: 1 << 20,
        };
        let _ = Record::parse(bytes);
        let _ = read::<Node>(bytes, &writing.expect());
        if let Ok(record) = write(&Raw(bytes), &writing) {
            let _ = read::<Node>(&record, &writing.expect());
            let _ = read::<Kind>(&record, &writing.expect());
        }
    }
});
