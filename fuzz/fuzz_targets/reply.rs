//! Any bytes from a server are a reply, the beginning of one, or refused; a value is where and as long as it says.

#![no_main]

use cache_memcached::proto::{Expected, Features, Opaque, Parsed, VALUE_END, Verb, parse};
use libfuzzer_sys::fuzz_target;

const VERBS: [Verb; 9] = [
    Verb::Get,
    Verb::Set,
    Verb::Delete,
    Verb::Arithmetic,
    Verb::Noop,
    Verb::Inspect,
    Verb::ClassicGet,
    Verb::Version,
    Verb::Stats,
];

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (verb, opaque_on_miss, bytes) = input;
    let expected = Expected { verb: VERBS[usize::from(verb) % VERBS.len()], opaque: Opaque(7) };
    let features = Features { fenced_delete: true, opaque_on_miss };
    match parse(bytes, expected, features) {
        Ok(Parsed::Whole(reply, used)) => {
            assert!(used <= bytes.len());
            assert!(reply.value.is_none_or(|value| value.len() < used));
            // It is cut off wherever it is cut off.
            let cut = used / 2;
            assert!(!matches!(parse(&bytes[..cut], expected, features), Ok(Parsed::Whole(..))));
        }
        Ok(Parsed::Open(open)) => {
            assert!(open.head <= bytes.len() && open.head + open.length + VALUE_END.len() > bytes.len())
        }
        Ok(Parsed::Cut) => assert!(!bytes.contains(&b'\n')),
        Err(broken) => drop(broken.to_string()),
    }
});
