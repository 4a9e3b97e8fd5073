//! The host's monotonic clock, which all processes of the hunt read alike; `std::time::Instant` shows nobody its number.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since a start that is the same for every process of this host.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
