//! Family `record`: values to bytes and back, by each codec, and what compression makes of the bytes, beside what
//! compresses elsewhere.
//!
//! All that is ours goes through `record::write` and `record::read`, so header, check and bounds are in each figure.

mod compressed;
#[path = "../../../examples/quickstart/crate_graph.rs"]
mod crate_graph;
mod values;

use std::hint::black_box;
use std::time::{Duration, Instant};

use cache::record::{Codec, Compression, HEADER, Record as Kept, Writing, fingerprint, read, write};
use cache_core::generation::GenerationDigest;
use cache_core::key::{Key, KeyWriter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::harness::{Better, Effort, Record, Role, tell};

const CODECS: [(&str, Codec); 3] = [("bincode", Codec::Bincode), ("postcard", Codec::Postcard), ("JSON", Codec::Json)];

/// A subject of this repository, by what it does with a value.
fn ours(how: &str) -> String {
    format!("cache: {how}")
}
/// More than any value here.
const MAX_VALUE: usize = 64 << 20;

pub fn run(effort: Effort) -> Vec<Record> {
    let mut records = size("header of a record", vec![("cache".to_owned(), Role::Ours, HEADER)]);
    records.extend(of_value("user, 230 B", &values::user(), effort));
    records.extend(of_value("page, 4 KiB", &values::page(), effort));
    records.extend(of_value("image list, 3 MB", &values::images(), effort));
    records.extend(of_value("crate graph", &values::crate_graph(), effort));
    records
}

fn of_value<V: Serialize + DeserializeOwned + 'static>(told: &str, value: &V, effort: Effort) -> Vec<Record> {
    let key = KeyWriter::key_of("record", told).expect("a key");
    let kept = CODECS.map(|(name, codec)| {
        let record = write(value, &writing::<V>(&codec, Compression::None, &key)).expect("a record");
        (name, codec, record)
    });
    let sizes = kept.iter().map(|(name, _, record)| (ours(name), Role::Ours, record.len() - HEADER));
    let mut records = size(&format!("{told}, encoded"), sizes.collect());
    // Of all codecs alike, so that they can be compared.
    let bytes = kept[0].2.len() - HEADER;
    let (mut encode, mut decode) = (Vec::new(), Vec::new());
    for (name, codec, record) in &kept {
        let writing = writing::<V>(codec, Compression::None, &key);
        encode.push(work(&ours(name), Role::Ours, move || write(value, &writing).expect("a record").len()));
        decode.push(work(&ours(name), Role::Ours, move || {
            drop_of(read::<V>(record, &writing.expect()).expect("a value"))
        }));
    }
    records.extend(rates(&format!("{told}, encode, MB by bincode"), bytes, encode, effort));
    records.extend(rates(&format!("{told}, decode, MB by bincode"), bytes, decode, effort));
    for (name, _, record) in &kept {
        records.extend(compressed::run(&format!("{told}, {name}"), body(record), effort));
    }
    records
}

/// The value's bytes without what stands before them.
fn body(record: &[u8]) -> &[u8] {
    assert!(Kept::parse(record).is_ok(), "a record");
    &record[HEADER..]
}

/// Dropping what was read is a part of reading it; a number remains.
fn drop_of<V>(value: V) -> usize {
    drop(black_box(value));
    0
}

fn writing<'a, V: DeserializeOwned + 'static>(codec: &'a Codec, compression: Compression, key: &'a Key) -> Writing<'a> {
    Writing {
        codec,
        compression,
        version: 0,
        fingerprint: fingerprint::<V>(),
        digest: GenerationDigest::default(),
        key: key.as_ref(),
        max_value: MAX_VALUE,
    }
}

/// Something that is done again and again.
struct Work<'a> {
    name: String,
    role: Role,
    run: Box<dyn FnMut() -> usize + 'a>,
}

fn work<'a>(name: &str, role: Role, run: impl FnMut() -> usize + 'a) -> Work<'a> {
    Work { name: name.to_owned(), role, run: Box::new(run) }
}

/// MB/s of each in interleaved rounds, for something of so many bytes.
fn rates(case: &str, bytes: usize, mut works: Vec<Work<'_>>, effort: Effort) -> Vec<Record> {
    let (rounds, least) =
        if effort == Effort::Full { (17, Duration::from_millis(20)) } else { (5, Duration::from_millis(2)) };
    let mut figures = vec![Vec::new(); works.len()];
    for _ in 0..rounds {
        for (work, figures) in works.iter_mut().zip(&mut figures) {
            let (start, mut times) = (Instant::now(), 0);
            while times == 0 || start.elapsed() < least {
                black_box((work.run)());
                times += 1;
            }
            figures.push((bytes * times) as f64 / start.elapsed().as_secs_f64() / 1e6);
        }
    }
    let rows = works.iter().zip(figures).map(|(work, mut figures)| {
        figures.sort_by(f64::total_cmp);
        (work.name.clone(), work.role, figures[figures.len() / 2], figures[figures.len() - 1])
    });
    tell("record", case, "MB/s", rows.collect(), Better::More)
}

fn size(case: &str, rows: Vec<(String, Role, usize)>) -> Vec<Record> {
    let rows = rows.into_iter().map(|(name, role, bytes)| (name, role, bytes as f64, bytes as f64));
    tell("record", case, "B", rows.collect(), Better::Less)
}
