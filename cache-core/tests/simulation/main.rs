//! Simulated processes under faults, by the drivers as they are shipped; and the same without one rule at a time.

#![cfg(feature = "testkit")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::time::Duration;

use world::plot::*;
use world::plots::{PLOTS, plot_of};
use world::{Outcome, run};

/// What must be found where a rule is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Stale,
    DoubleLoad,
    LongWait,
}

impl Found {
    fn is_in(self, outcome: &Outcome) -> bool {
        let tally = &outcome.tally;
        match self {
            Found::Stale => tally.stale > 0,
            Found::DoubleLoad => tally.double_loads > 0,
            Found::LongWait => tally.unbounded_waits > 0,
        }
    }
}

const SEEDS: u64 = 40;

/// With the rule the plot goes well by every seed up to the one that shows it missing.
#[track_caller]
fn guards(plot: &Plot, flaw: Flaw, found: Found) {
    let flawed = plot.without(flaw);
    let Some(caught) = (0..SEEDS).find(|seed| found.is_in(&run(*seed, &flawed))) else {
        panic!("{flaw:?}, and none of {SEEDS} runs shows it");
    };
    for seed in 0..=caught {
        clean(seed, plot);
    }
}

#[track_caller]
fn clean(seed: u64, plot: &Plot) -> Outcome {
    let outcome = run(seed, plot);
    let found: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
    assert!(outcome.is_clean(), "seed {seed}, {}, {:?}: {found:#?}\n{plot:?}", outcome.tally, outcome.stuck);
    outcome
}

/// R3.
#[test]
fn without_the_fence_of_fills_an_invalidation_is_lost() {
    for tiers in SHARED {
        guards(&Plot::calm(tiers), Flaw::Unfenced, Found::Stale);
    }
}

/// R3: nodes stand still, and then execute what its sender gave up long ago.
#[test]
fn without_the_fence_of_set_an_invalidation_is_lost() {
    let plot = Plot {
        sets: 50,
        scopes: 0,
        faults: Faults { late: 0.05, ..Faults::delays() },
        troubles: &[Trouble::Freeze],
        write_rest: 100 * MILLI,
        loads: Loads::Any,
        ..Plot::calm(Tiers::Far)
    };
    guards(&plot, Flaw::UnfencedSet, Found::Stale);
}

/// R4.
#[test]
fn without_generations_in_the_record_the_invalidation_of_a_scope_is_lost() {
    for tiers in SHARED {
        guards(&Plot::calm(tiers), Flaw::Generations, Found::Stale);
    }
}

/// R4.
#[test]
fn without_the_generations_of_tags_in_the_record_the_invalidation_of_a_tag_is_lost() {
    for tiers in SHARED {
        guards(&Plot { keys: 6, parts: 2, tags: 60, ..Plot::calm(tiers) }, Flaw::TagGenerations, Found::Stale);
    }
}

/// R1.
#[test]
fn unless_a_call_is_held_to_its_own_bound_it_reads_what_was_invalidated() {
    guards(&Plot { bounded: 50, ..Plot::calm(Tiers::Both) }, Flaw::Unbounded, Found::Stale);
}

/// R4: no scope is invalidated here, but a restarted node gives the same CAS numbers again.
#[test]
fn without_generations_in_the_record_a_restart_loses_an_invalidation() {
    let plot = Plot {
        scopes: 0,
        keys: 1,
        troubles: &[Trouble::Restart],
        every: 30 * MILLI,
        write_rest: 60 * MILLI,
        load: 100 * MILLI,
        loads: Loads::Any,
        ..Plot::calm(Tiers::Far)
    };
    guards(&plot, Flaw::Generations, Found::Stale);
}

/// R4.
#[test]
fn with_the_generations_after_the_load_an_invalidation_is_lost() {
    guards(&Plot { scopes: 50, ..Plot::calm(Tiers::Far) }, Flaw::GenerationsAfterLoad, Found::Stale);
}

/// R2.
#[test]
fn without_the_verdict_followers_get_what_was_invalidated() {
    for tiers in SHARED {
        guards(&Plot { write_rest: 100 * MILLI, ..Plot::calm(tiers) }, Flaw::EveryVerdictHeld, Found::Stale);
    }
}

/// R1: readers stand still for five seconds between a request and its reply.
#[test]
fn with_proofs_dated_at_the_reply_near_copies_outlive_their_bound() {
    let plot = Plot {
        troubles: &[Trouble::LongPause],
        faults: Faults { reply_delay: Duration::ZERO..=40 * MILLI, ..Faults::delays() },
        every: SECOND,
        lasts: 15 * SECOND,
        processes: 3,
        keys: 4,
        write_rest: 600 * MILLI,
        ..Plot::calm(Tiers::Both)
    };
    guards(&plot, Flaw::LateProof, Found::Stale);
}

/// R1.
#[test]
fn with_proofs_dated_at_a_slow_reply_near_copies_outlive_their_bound() {
    let faults = Faults { reply_delay: Duration::ZERO..=400 * MILLI, ..Faults::delays() };
    let plot = Plot { faults, write_rest: 2 * SECOND, lasts: 10 * SECOND, keys: 1, ..Plot::calm(Tiers::Both) };
    guards(&plot, Flaw::LateProof, Found::Stale);
}

/// R5.
#[test]
fn if_check_and_put_are_two_steps_an_invalidation_in_memory_is_lost() {
    guards(&Plot { scopes: 0, ..Plot::calm(Tiers::Near) }, Flaw::LatePut, Found::Stale);
}

/// R5.
#[test]
fn if_drop_and_void_are_two_steps_an_invalidation_in_memory_is_lost() {
    guards(&Plot { scopes: 0, ..Plot::calm(Tiers::Near) }, Flaw::DropBeforeVoid, Found::Stale);
}

/// R5: a process sees its own invalidations at once.
#[test]
fn if_the_near_copy_is_dropped_first_a_process_reads_what_it_has_invalidated() {
    guards(&Plot { scopes: 0, ..Plot::calm(Tiers::Both) }, Flaw::DropFirst, Found::Stale);
}

#[test]
fn if_the_near_copy_comes_after_the_landing_a_key_is_loaded_again() {
    guards(&Plot { write_rest: Duration::ZERO, ..Plot::calm(Tiers::Near) }, Flaw::LatePut, Found::DoubleLoad);
}

#[test]
fn unless_the_epoch_is_raised_a_node_that_comes_back_serves_what_was_invalidated() {
    let plot = Plot { nodes: 2, keys: 8, phases: OUT_AND_IN, scopes: 0, loads: Loads::Any, ..Plot::calm(Tiers::Far) };
    guards(&plot, Flaw::SameEpoch, Found::Stale);
}

#[test]
fn if_a_load_reads_other_functions_as_any_call_does_their_staleness_is_kept() {
    let plot = Plot { nesting: Nesting::One, write_rest: SECOND, lasts: 10 * SECOND, ..Plot::calm(Tiers::Both) };
    guards(&plot, Flaw::LaxNesting, Found::Stale);
}

#[test]
fn if_remembered_generations_reject_fresh_records_are_loaded_again() {
    let plot = Plot { scopes: 100, remember: 300 * MILLI, processes: 4, write_rest: SECOND, ..Plot::calm(Tiers::Far) };
    guards(&plot, Flaw::MemoryRejects, Found::DoubleLoad);
}

/// R6.
#[test]
fn if_everybody_takes_a_dead_record_everybody_loads() {
    let plot = Plot { scopes: 80, write_rest: SECOND, read_rest: 60 * MILLI, processes: 4, ..Plot::calm(Tiers::Far) };
    guards(&plot, Flaw::EveryTakeWins, Found::DoubleLoad);
}

#[test]
fn if_pending_were_done_an_invalidation_would_be_lost() {
    let faults = Faults { io_timeout: 20 * MILLI, ..Faults::losses() };
    let plot = Plot { loads: Loads::Any, faults, read_rest: 200 * MILLI, keys: 4, ..Plot::calm(Tiers::Far) };
    guards(&plot, Flaw::PendingIsDone, Found::Stale);
}

#[test]
fn if_the_far_tier_answered_later_than_it_may_a_long_wait_would_be_found() {
    guards(&Plot { loads: Loads::Any, ..Plot::calm(Tiers::Far) }, Flaw::SlowAnswers, Found::LongWait);
}

/// What a process remembers of generations costs it neither a claim nor a second load.
#[test]
fn remembered_generations_cost_no_claim() {
    for tiers in SHARED {
        for seed in 0..5 {
            clean(seed, &Plot { scopes: 40, remember: 50 * MILLI, processes: 3, ..Plot::calm(tiers) });
        }
    }
}

#[test]
fn without_faults_one_key_has_one_load_at_a_time() {
    for tiers in [Tiers::Near, Tiers::Far, Tiers::Both] {
        for (seed, hang_up) in (0..10).zip([0, 3].into_iter().cycle()) {
            let outcome = clean(seed, &Plot { hang_up, ..Plot::calm(tiers) });
            assert!(outcome.tally.reads > 8 * outcome.tally.loads, "{}: too few were shared", outcome.tally);
        }
    }
}

#[test]
fn under_faults_no_invalidation_is_lost_and_nobody_waits_for_ever() {
    for tiers in [Tiers::Near, Tiers::Far, Tiers::Both] {
        for seed in 0..10 {
            clean(seed, &Plot::rough(tiers));
            clean(seed, &Plot { nodes: 2, keys: 4, remember: 200 * MILLI, ..Plot::rough(tiers) });
        }
    }
}

#[test]
fn stale_values_are_proved_like_fresh_ones() {
    for tiers in SHARED {
        for seed in 0..10 {
            let plot =
                Plot { ttl: 2 * SECOND, stale: 2 * SECOND, failing: 20, loads: Loads::Any, ..Plot::rough(tiers) };
            clean(seed, &plot);
        }
    }
}

/// With and without faults, stale values among them: a tag ends all that has it, and each read is held to its own bound.
#[test]
fn tags_end_what_has_them_and_reads_keep_their_own_bounds() {
    for tiers in [Tiers::Near, Tiers::Far, Tiers::Both] {
        for seed in 0..2 {
            let tagged = |plot| Plot { keys: 6, parts: 2, tags: 60, bounded: 30, ..plot };
            clean(seed, &tagged(Plot::calm(tiers)));
            clean(seed, &tagged(Plot { remember: 50 * MILLI, ..Plot::rough(tiers) }));
            if tiers != Tiers::Near {
                let stale =
                    Plot { ttl: 2 * SECOND, stale: 2 * SECOND, failing: 20, loads: Loads::Any, ..Plot::rough(tiers) };
                clean(seed, &tagged(stale));
            }
        }
    }
}

/// Batches that overlap, fail and are dropped, beside reads of one key.
#[test]
fn many_keys_at_once_are_each_loaded_once_and_never_stale() {
    for tiers in [Tiers::Near, Tiers::Far, Tiers::Both] {
        for (seed, hang_up) in (0..2).zip([0, 3].into_iter().cycle()) {
            let many = |plot| Plot { keys: 6, batches: 60, forced: 0, ..plot };
            clean(seed, &many(Plot { hang_up, ..Plot::calm(tiers) }));
            clean(seed, &many(Plot { failing: 10, ..Plot::rough(tiers) }));
            clean(
                seed,
                &many(Plot {
                    ttl: 2 * SECOND,
                    stale: 2 * SECOND,
                    failing: 20,
                    loads: Loads::Any,
                    ..Plot::rough(tiers)
                }),
            );
        }
    }
}

#[test]
fn versions_that_share_a_slot_lose_no_invalidation() {
    for tiers in SHARED {
        for seed in 0..10 {
            clean(seed, &Plot { processes: 3, versions: Versions::Several, loads: Loads::Any, ..Plot::calm(tiers) });
        }
    }
}

#[test]
fn an_invalidation_may_be_dropped_at_every_wait() {
    for tiers in [Tiers::Near, Tiers::Far, Tiers::Both] {
        for wait in 1..8 {
            clean(wait as u64, &Plot { dropped: Dropped::AtWait(wait), ..Plot::calm(tiers) });
            clean(wait as u64, &Plot { dropped: Dropped::AtWait(wait), loads: Loads::Any, ..Plot::rough(tiers) });
        }
    }
}

/// A little of what the example `simulate` does for as long as it is asked.
#[test]
fn every_plot_of_a_long_run_goes_well() {
    for seed in 0..PLOTS {
        let (_, plot) = plot_of(seed, 2 * SECOND);
        clean(seed, &plot);
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let plot = Plot::rough(Tiers::Both);
    assert_eq!(run(5, &plot), run(5, &plot));
    assert_ne!(run(5, &plot), run(6, &plot));
}
