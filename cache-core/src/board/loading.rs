//! Calls inside loads: a call that would wait for itself is seen before it waits.
//!
//! A thread keeps a stack of the loads that it is running or polling; a caller inside a load that waits for another
//! flight notes that edge. From both follows who may not wait: a call inside its own flight, one that closes a circle
//! of waits, and a blocking one on the very thread that its leader's task needs. What escapes (a load that goes on in
//! a spawned task or a pool) is bounded by `patience`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Flight, LedBy};

thread_local! {
    static STACK: RefCell<Vec<Arc<Flight>>> = const { RefCell::new(Vec::new()) };
    static THREAD: u64 = {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// Which flight waits for which, where the waiting call is inside a load. Short: waits nest rarely.
///
/// Flights, not their numbers: one that is waited for may become part of a load of many.
static WAITS: Mutex<Vec<Edge>> = Mutex::new(Vec::new());

/// The flight inside which a call waits, and the one for which it does.
type Edge = (Arc<Flight>, Arc<Flight>);

/// Whether this thread is running, or polling, a load.
pub fn is_loading() -> bool {
    STACK.with_borrow(|stack| !stack.is_empty())
}

/// Runs `step`, which is the load of `flight` or one poll of it.
pub fn loading<T>(flight: &Arc<Flight>, step: impl FnOnce() -> T) -> T {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            STACK.with_borrow_mut(Vec::pop);
        }
    }
    flight.polled_on().store(THREAD.with(|thread| *thread), Ordering::Relaxed);
    STACK.with_borrow_mut(|stack| stack.push(flight.clone()));
    let _inside = Inside;
    step()
}

/// What a flight is to a call on this thread that finds it.
#[derive(Debug)]
pub enum Relation {
    /// The call may wait for it while it holds this.
    Other(WaitsFor),
    /// The flight cannot end before the call does: the call must load by itself.
    WouldNotEnd,
}

/// What `flight` is to a call on this thread that waits as `face` does.
pub fn relation(flight: &Arc<Flight>, face: LedBy) -> Relation {
    let needs_this_thread = || flight.polled_on().load(Ordering::Relaxed) == THREAD.with(|thread| *thread);
    if face == LedBy::Thread && flight.led_by() == LedBy::Task && needs_this_thread() {
        return Relation::WouldNotEnd;
    }
    STACK.with_borrow(|stack| {
        let Some(innermost) = stack.last() else { return Relation::Other(WaitsFor(None)) };
        let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reached = vec![flight.id()];
        let mut at = 0;
        while let Some(from) = reached.get(at).copied() {
            if stack.iter().any(|mine| mine.id() == from) {
                return Relation::WouldNotEnd;
            }
            let further = waits.iter().filter(|(waiting, _)| waiting.id() == from).map(|(_, target)| target.id());
            let further: Vec<u64> = further.filter(|target| !reached.contains(target)).collect();
            reached.extend(further);
            at += 1;
        }
        // Noted under the same lock that was asked: of two that would close a circle one sees the other.
        let edge = (innermost.clone(), flight.clone());
        waits.push(edge.clone());
        Relation::Other(WaitsFor(Some(edge)))
    })
}

/// A wait for a flight that others can see.
#[derive(Debug)]
pub struct WaitsFor(Option<Edge>);

impl Drop for WaitsFor {
    fn drop(&mut self) {
        if let Some((waiting, target)) = &self.0 {
            let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
            let is_mine = |(from, to): &Edge| Arc::ptr_eq(from, waiting) && Arc::ptr_eq(to, target);
            if let Some(at) = waits.iter().position(is_mine) {
                waits.swap_remove(at);
            }
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::clock::Tick;

    fn flight(led_by: LedBy) -> Arc<Flight> {
        Arc::new(Flight::new(led_by, Tick::ZERO))
    }

    fn may_wait(flight: &Arc<Flight>, face: LedBy) -> bool {
        matches!(relation(flight, face), Relation::Other(_))
    }

    #[test]
    fn a_call_inside_its_own_flight_does_not_wait_for_it() {
        let (mine, other) = (flight(LedBy::Thread), flight(LedBy::Thread));
        assert!(may_wait(&mine, LedBy::Thread), "before the load it may");
        loading(&mine, || {
            assert!(is_loading());
            assert!(!may_wait(&mine, LedBy::Thread));
            assert!(may_wait(&other, LedBy::Thread));
            loading(&other, || assert!(!may_wait(&mine, LedBy::Task), "however deep"));
        });
        assert!(!is_loading());
        assert!(may_wait(&mine, LedBy::Thread), "and after it");
    }

    #[test]
    fn a_circle_of_waits_is_seen_by_whoever_would_close_it() {
        let [one, two, three] = [(); 3].map(|()| flight(LedBy::Task));
        let Relation::Other(one_waits) = loading(&one, || relation(&two, LedBy::Task)) else { panic!("no circle yet") };
        let _two_waits = loading(&two, || relation(&three, LedBy::Task));
        assert!(loading(&three, || !may_wait(&one, LedBy::Task)), "three -> one -> two -> three");
        drop(one_waits);
        assert!(loading(&three, || may_wait(&one, LedBy::Task)), "the wait of one is over");
    }

    #[test]
    fn a_wait_that_is_over_takes_no_other_with_it() {
        let [one, two, three] = [(); 3].map(|()| flight(LedBy::Task));
        let _for_two = loading(&one, || relation(&two, LedBy::Task));
        let for_three = loading(&one, || relation(&three, LedBy::Task));
        let _two_for_three = loading(&two, || relation(&three, LedBy::Task));
        drop(for_three);
        assert!(loading(&two, || !may_wait(&one, LedBy::Task)), "one still waits for two");
        assert!(loading(&three, || !may_wait(&two, LedBy::Task)), "and two for three");
    }

    #[test]
    fn flights_that_are_loaded_together_are_one_to_whoever_waits() {
        let [first, second, other] = [(); 3].map(|()| flight(LedBy::Task));
        second.loads_with(&first);
        loading(&first, || assert!(!may_wait(&second, LedBy::Task)));
        let _waits = loading(&first, || relation(&other, LedBy::Task));
        assert!(loading(&other, || !may_wait(&second, LedBy::Task)), "other -> second, which waits for other");
        assert!(!may_wait(&second, LedBy::Thread), "this thread polls its load");
    }

    #[test]
    fn a_wait_for_one_of_a_batch_is_known_also_if_it_began_before_the_load() {
        let [first, second, other] = [(); 3].map(|()| flight(LedBy::Task));
        let _waits = loading(&other, || relation(&second, LedBy::Task));
        second.loads_with(&first);
        assert!(loading(&first, || !may_wait(&other, LedBy::Task)), "other -> second, which is loaded here");
    }

    #[test]
    fn a_thread_does_not_block_on_a_task_that_it_polls() {
        let task = flight(LedBy::Task);
        loading(&task, || ());
        assert!(!may_wait(&task, LedBy::Thread));
        assert!(may_wait(&task, LedBy::Task), "awaiting leaves the thread free");
        let elsewhere = std::thread::spawn(move || may_wait(&task, LedBy::Thread)).join();
        assert_eq!(elsewhere.ok(), Some(true), "another thread may");
    }

    #[test]
    fn a_load_that_panics_leaves_the_stack() {
        let mine = flight(LedBy::Thread);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| loading(&mine, || panic!("load"))));
        assert!(caught.is_err());
        assert!(!is_loading());
    }
}
