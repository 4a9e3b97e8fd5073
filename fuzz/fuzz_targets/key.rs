//! Text of any content makes a legal far key, and reads as what it was.

#![no_main]

use cache_core::key::{Argument, KeyGenerator, KeyPlace, KeyWriter, ReadableKeys, Scope, Sha1Keys, scope_key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|parts: (&str, &str, &str, &str, i64, &[u8])| {
    let (prefix, region, namespace, text, number, bytes) = parts;
    let place = KeyPlace { prefix, region };
    let key = KeyWriter::key_of(namespace, &(text, number, bytes)).expect("all of it can be written");
    let key = key.as_ref();
    assert_eq!(key.namespace(), namespace);
    assert_eq!(key.arguments().iter().next(), Some(Argument::Text(text)));
    assert_eq!(key.arguments().shape().to_string(), "(text, integer, list)");
    assert!(key.arguments().to_text().is_some());
    for generator in [&Sha1Keys as &dyn KeyGenerator, &ReadableKeys] {
        let far = generator.far_key(place, key).expect("every key has a legal form");
        assert_ne!(far, scope_key(place, Scope::Namespace(namespace)));
    }
});
