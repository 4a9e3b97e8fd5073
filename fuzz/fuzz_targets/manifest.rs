//! Any bytes in the place of a record are a manifest or none; and only the parts that were split are joined to a record.

#![no_main]

use cache_memcached::fuzzing::{asked_for, joined, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<Option<Vec<u8>>>, u16, u8)| {
    let (bytes, parts, part, touched) = input;
    if let Some(parts) = asked_for(&bytes) {
        assert!(parts <= 1 << 14, "{parts} keys for 32 bytes");
    }
    if let Some(record) = joined(&bytes, parts.clone()) {
        assert_eq!(record, parts.into_iter().flatten().flatten().collect::<Vec<u8>>());
    }
    // A record that is split and joined again is the same, and not if one of its parts is another.
    let Some((manifest, mut parts)) = split(&bytes, usize::from(part) + 1) else { return };
    assert_eq!(joined(&manifest, parts.clone()), Some(bytes));
    let which = usize::from(touched) % parts.len().max(1);
    if let Some(Some(first)) = parts.get_mut(which).map(|part| part.as_mut().and_then(|part| part.first_mut())) {
        *first = first.wrapping_add(1);
        assert_eq!(joined(&manifest, parts), None);
    }
});
