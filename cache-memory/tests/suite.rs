//! The suite that every near backend must pass.

use std::sync::Arc;

use cache_core::backend::ObjectBackend;
use cache_core::testkit::object_suite;
use cache_memory::MemoryBackend;

#[test]
fn the_backend_passes_the_suite_in_bytes() {
    // As small as the suite allows, so that its cases of eviction and of values that are too large are met.
    let make = || -> Arc<dyn ObjectBackend> {
        Arc::new(MemoryBackend::builder().capacity_bytes(256 << 10).build().unwrap_or_else(|error| panic!("{error}")))
    };
    if let Err(report) = object_suite(make) {
        panic!("{report}");
    }
}
