//! One step at a time, in the order that the seed gives; stopped, cancelled and killed.

#![allow(clippy::unwrap_used)]
use super::*;

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Who took a step, and when, in a run of five tasks that sleep and spawn.
fn trace(seed: u64) -> Vec<(usize, Tick)> {
    let clock = ManualClock::new();
    let executor = SimExecutor::new(seed, clock.clone());
    let trace = Rc::new(RefCell::new(Vec::new()));
    for task in 0..5 {
        let (trace, clock, spawner) = (trace.clone(), clock.clone(), executor.clone());
        executor.spawn(format!("task {task}"), async move {
            for turn in 0..4 {
                trace.borrow_mut().push((task, clock.now()));
                let rest = second(spawner.random_below(3) as u64);
                clock.sleep_until(clock.now().after(rest)).await;
                if turn == 2 {
                    let (trace, clock) = (trace.clone(), clock.clone());
                    spawner.spawn("child", async move { trace.borrow_mut().push((10 + task, clock.now())) });
                }
            }
        });
    }
    executor.run().unwrap();
    Rc::try_unwrap(trace).unwrap().into_inner()
}

#[test]
fn equal_seeds_give_equal_runs_and_others_give_others() {
    assert_eq!(trace(1), trace(1));
    assert_eq!(trace(1).len(), 25);
    assert!((2..10).any(|seed| trace(seed) != trace(1)));
}

#[test]
fn a_task_that_waits_for_what_never_comes_is_a_deadlock_with_its_name() {
    let executor = SimExecutor::new(0, ManualClock::new());
    executor.spawn("done", async {});
    executor.spawn("waits for ever", std::future::pending::<()>());
    let stuck = executor.run().unwrap_err();
    assert_eq!(stuck, Stuck::Deadlock(vec!["waits for ever".to_owned()]));
    assert_eq!(stuck.to_string(), "nobody can run, and nobody sleeps; unfinished: waits for ever");
}

#[test]
fn a_task_that_never_ends_is_noticed() {
    let executor = SimExecutor::new(0, ManualClock::new());
    executor.limit_steps(100);
    executor.spawn(
        "spins",
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }),
    );
    assert_eq!(executor.run(), Err(Stuck::Endless(vec!["spins".to_owned()])));
    assert_eq!(executor.steps(), 100);
}

#[test]
fn a_cancelled_task_drops_its_future_where_it_stands() {
    struct Dropped(Rc<Cell<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let clock = ManualClock::new();
    let executor = SimExecutor::new(3, clock.clone());
    let dropped = Rc::new(Cell::new(false));
    let guard = Dropped(dropped.clone());
    let sleeper = executor.spawn("sleeper", {
        let clock = clock.clone();
        async move {
            clock.sleep_until(clock.now().after(second(100))).await;
            drop(guard);
        }
    });
    let start = clock.now();
    let waiting = clock.clone();
    executor
        .run_until(async move {
            waiting.sleep_until(waiting.now().after(second(1))).await;
            sleeper.cancel();
            assert!(sleeper.has_ended() && sleeper.take().is_none());
        })
        .unwrap();
    assert!(dropped.get());
    assert_eq!(clock.now().since(start), second(1), "nobody waited for the sleeper");
}

#[test]
fn a_stopped_process_goes_on_later_and_the_others_do_not_wait() {
    let clock = ManualClock::new();
    let executor = SimExecutor::new(3, clock.clone());
    let tick = |process: u32| {
        let clock = clock.clone();
        executor.spawn_in(process, format!("process {process}"), async move {
            clock.sleep_until(clock.now().after(second(1))).await;
            clock.now()
        })
    };
    let (one, two) = (tick(1), tick(2));
    let start = clock.now();
    executor.stop(1, second(5));
    executor.run().unwrap();
    // Stopped before its first step: it falls asleep when it goes on.
    assert_eq!(one.take().unwrap().since(start), second(6));
    assert_eq!(two.take().unwrap().since(start), second(1));
}

#[test]
fn a_killed_process_runs_no_more_and_the_others_do() {
    let clock = ManualClock::new();
    let executor = SimExecutor::new(3, clock.clone());
    let ran = Rc::new(RefCell::new(Vec::new()));
    for process in 0..3 {
        let (clock, ran) = (clock.clone(), ran.clone());
        executor.spawn_in(process, format!("process {process}"), async move {
            clock.sleep_until(clock.now().after(second(2))).await;
            ran.borrow_mut().push(process);
        });
    }
    let (killer, time) = (executor.clone(), clock.clone());
    executor.spawn("killer", async move {
        time.sleep_until(time.now().after(second(1))).await;
        killer.kill(1);
    });
    executor.run().unwrap();
    let mut ran = ran.take();
    ran.sort_unstable();
    assert_eq!(ran, [0, 2]);
}

#[test]
fn one_future_is_polled_to_its_end_without_an_executor() {
    let clock = ManualClock::new();
    let until = clock.now().after(second(7));
    block_on(&clock, clock.sleep_until(until)).unwrap();
    assert_eq!(clock.now(), until);
    assert!(block_on(&clock, std::future::pending::<()>()).is_err());
}
