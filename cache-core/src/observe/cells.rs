//! A counter for the hottest path: each thread adds to a cell of its own, and a reader sums them.
//!
//! Invariant: of the first 63 threads, a hit writes no cache line that another running thread writes, and uses no locked
//! instruction.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Threads that get a cell to themselves; any further ones share the last.
const OWNED: usize = 63;

/// A counter that is cheap to raise from many threads and dear to read.
pub(crate) struct Cells {
    cells: Box<[Line]>,
}

/// One cell in a cache line pair of its own: adjacent lines are fetched together.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

impl Cells {
    pub(crate) fn new() -> Self {
        Cells { cells: (0..=OWNED).map(|_| Line::default()).collect() }
    }

    /// Adds one.
    #[inline]
    pub(crate) fn raise(&self) {
        let index = CELL.get();
        let Some(Line(cell)) = self.cells.get(index) else { return self.raise_first() };
        if index < OWNED {
            // Only this thread writes here: a plain load and store lose nothing.
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        } else {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What all threads have added.
    pub(crate) fn sum(&self) -> u64 {
        self.cells.iter().map(|Line(cell)| cell.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    #[cold]
    fn raise_first(&self) {
        // A thread that is ending has no place any more: it shares.
        CELL.set(PLACE.try_with(|place| place.0).unwrap_or(OWNED));
        self.raise();
    }
}

thread_local! {
    /// The index of this thread's cell, the same in every counter; unset until it is first needed. It has no
    /// destructor, so reading it is one instruction.
    static CELL: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Gives the index back when the thread ends.
    static PLACE: Place = Place::take();
}

static TAKEN: [AtomicBool; OWNED] = [const { AtomicBool::new(false) }; OWNED];

struct Place(usize);

impl Place {
    fn take() -> Self {
        // Acquire pairs with the release of the thread that had the place: its counts are seen before they are added to.
        let free = |taken: &AtomicBool| !taken.swap(true, Ordering::Acquire);
        Place(TAKEN.iter().position(free).unwrap_or(OWNED))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Later destructors of this thread may still count: they share.
        CELL.set(OWNED);
        if let Some(taken) = TAKEN.get(self.0) {
            taken.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn no_count_is_lost_over_more_threads_than_cells() {
        let cells = Arc::new(Cells::new());
        // An interpreter takes its time.
        let each = if cfg!(miri) { 10 } else { 1000 };
        let threads: Vec<_> = (0..100)
            .map(|_| {
                let cells = cells.clone();
                thread::spawn(move || (0..each).for_each(|_| cells.raise()))
            })
            .collect();
        threads.into_iter().for_each(|thread| assert!(thread.join().is_ok()));
        assert_eq!(cells.sum(), 100 * each);
    }

    #[test]
    fn a_thread_gives_its_place_back() {
        let cells = Arc::new(Cells::new());
        for _ in 0..3 * OWNED {
            let cells = cells.clone();
            assert!(
                thread::spawn(move || {
                    cells.raise();
                    assert!(CELL.get() < OWNED)
                })
                .join()
                .is_ok()
            );
        }
        assert_eq!(cells.sum(), 3 * OWNED as u64);
    }
}
