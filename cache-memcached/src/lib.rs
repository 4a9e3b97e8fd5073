//! The memcached backend of the function-result cache `cache`.
//!
//! It has no client yet: nothing here connects to a server, and no region can be given a `memcached://` URL. What such
//! a client has to do is fixed by the traits `BytesBackend` and `AsyncBytesBackend` of `cache-core`, and can be
//! tried against the suites and the simulated server in its `testkit`.
