//! One runnable program per story: see the examples beside this crate.
