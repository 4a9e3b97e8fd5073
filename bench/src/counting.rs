//! What is allocated while something runs, in a build that counts (`--features counting`).

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The most bytes in use at one moment, beyond those that were when it began.
pub fn peak<T>(run: impl FnOnce() -> T) -> usize {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    drop(run());
    ALLOCATOR.peak_usage() - before
}
