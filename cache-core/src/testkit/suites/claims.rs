//! Cases about claims: one winner of many, fences that hold, and claims that come back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::bench::{Bench, claimed, holds, left_about, one, stored, superseded, won};
use super::{Case, Unmet, Verdict, expect, expect_eq};
use crate::backend::{BytesBackend, Claim, Kept, Lease, Read, Recall, Seen, Strength, Token};
use crate::key::FarKey;

pub(super) const CASES: &[Case<Bench>] = &[
    Case { name: "a miss has one winner, and the others see one token", run: one_winner },
    Case { name: "a look claims nothing", run: look_claims_nothing },
    Case { name: "a fresh record is claimed by nobody", run: fresh_is_not_claimed },
    Case { name: "of two fills with one token the first is stored", run: first_fill_counts },
    Case { name: "a claim ends with its lease, and not before", run: lease_ends },
    Case { name: "a record near its end is claimed once, and flows on", run: early_reload },
    Case { name: "an invalidation refuses the loads that began before it", run: hard_during_a_load },
    Case { name: "a token from before an invalidation is of no use after the next claim", run: hard_then_claimed },
    Case { name: "a soft invalidation keeps the record and has one winner", run: soft },
    Case { name: "a soft invalidation lengthens no life", run: soft_keeps_the_life },
    Case { name: "a soft invalidation refuses the loads that began before it", run: soft_during_a_load },
    Case { name: "a soft invalidation frees a claim again", run: soft_twice },
    Case { name: "a claim on nothing that is handed back is won again", run: stub_handed_back },
    Case {
        name: "a claim on a stale record that is handed back is won again, and the record stays",
        run: stale_handed_back,
    },
    Case { name: "a claim on a dead record that is handed back leaves a miss", run: dead_handed_back },
    Case { name: "a hand-back after an invalidation says so and frees nobody else's claim", run: hand_back_too_late },
    Case { name: "of all who take a dead record one wins", run: take_dead },
    Case { name: "of all who take a stale record one wins, and the record keeps its life", run: take_stale },
    Case { name: "a take fences off the claimant before it", run: take_fences },
    Case { name: "a take of what is gone wins a miss", run: take_nothing },
    Case { name: "a validation takes no claim", run: validation_takes_no_claim },
    Case { name: "a validation tells records from marks, and stale from fresh", run: validation_tells },
    Case { name: "a look swallows no claim", run: look_swallows_nothing },
    Case { name: "of many threads one wins a miss", run: threads_claim },
    Case { name: "of many threads one takes a dead record", run: threads_take },
];

fn token_of(seen: &Seen) -> Verdict<Token> {
    seen.token.ok_or_else(|| Unmet::Failed(format!("what stands in a slot should have a token: {seen:?}")))
}

fn one_winner(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let first = bench.claim(bench.far(), &key)?;
    holds("a claim on nothing", &first, None)?;
    let token = won("the first claim", &first)?;
    for far in [bench.far(), bench.other(), bench.other()] {
        let next = bench.claim(far, &key)?;
        claimed("a later claim", &next, Claim::Elsewhere)?;
        holds("a later claim", &next, None)?;
        expect_eq("the token that a loser sees", next.token, Some(token))?;
    }
    stored("the winner's fill", &bench.fill(bench.far(), &key, b"x", token)?)?;
    claimed("a read after the fill", &bench.claim(bench.other(), &key)?, Claim::Nobody)
}

fn look_claims_nothing(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    claimed("a look", &bench.look(bench.other(), &key)?, Claim::Nobody)?;
    bench.win(bench.far(), &key)?;
    let seen = bench.look(bench.other(), &key)?;
    claimed("a look at what is claimed", &seen, Claim::Elsewhere)?;
    holds("a look at what is claimed", &seen, None)
}

fn fresh_is_not_claimed(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store_for(&key, b"x", Some(60), 20)?;
    for _ in 0..3 {
        let seen = bench.claim_early(bench.other(), &key, 20)?;
        claimed("a read of a fresh record", &seen, Claim::Nobody)?;
        holds("a read of a fresh record", &seen, Some(b"x"))?;
    }
    Ok(())
}

fn first_fill_counts(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let token = bench.win(bench.far(), &key)?;
    let loser = token_of(&bench.claim(bench.other(), &key)?)?;
    stored("the first fill", &bench.fill(bench.other(), &key, b"loser", loser)?)?;
    superseded("the second fill", &bench.fill(bench.far(), &key, b"winner", token)?)?;
    holds("a look after both", &bench.look(bench.far(), &key)?, Some(b"loser"))
}

fn lease_ends(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let claim = |far: &dyn BytesBackend| {
        let keys = std::slice::from_ref(&key);
        let lease = Lease::Claim(Duration::from_secs(3));
        let read = Read { keys, scopes: &bench.scopes, lease, grace: Duration::ZERO, recall: Recall::Never };
        one("read", far.read(&read))
    };
    let dead = won("the first claim", &claim(bench.far())?)?;
    bench.pass(1900);
    claimed("a claim within the lease of another", &claim(bench.other())?, Claim::Elsewhere)?;
    bench.pass(3200);
    let next = won("a claim after the lease of another", &claim(bench.other())?)?;
    superseded("a fill by who lost its lease", &bench.fill(bench.far(), &key, b"late", dead)?)?;
    stored("a fill by who has it now", &bench.fill(bench.other(), &key, b"x", next)?)
}

fn early_reload(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store_for(&key, b"old", Some(30), 26)?;
    claimed("a read while it is fresh", &bench.claim_early(bench.other(), &key, 26)?, Claim::Nobody)?;
    bench.pass(6100);
    let seen = bench.claim_early(bench.far(), &key, 26)?;
    let token = won("the first claim on a stale record", &seen)?;
    holds("the first claim on a stale record", &seen, Some(b"old"))?;
    expect(seen.left.is_some_and(|left| left < seen.grace), || format!("it should count as stale: {seen:?}"))?;
    let next = bench.claim_early(bench.other(), &key, 26)?;
    claimed("the next claim", &next, Claim::Elsewhere)?;
    holds("the next claim", &next, Some(b"old"))?;
    stored("the winner's fill", &bench.fill(bench.far(), &key, b"new", token)?)?;
    let seen = bench.claim_early(bench.other(), &key, 26)?;
    holds("a read after the reload", &seen, Some(b"new"))?;
    claimed("a read after the reload", &seen, Claim::Nobody)
}

fn hard_during_a_load(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let token = bench.win(bench.far(), &key)?;
    bench.invalidate(bench.other(), &key, Strength::Hard)?;
    superseded("a fill of what was invalidated", &bench.fill(bench.far(), &key, b"old", token)?)?;
    let seen = bench.claim(bench.other(), &key)?;
    holds("a read after it", &seen, None)?;
    won("the next claim", &seen).map(drop)
}

fn hard_then_claimed(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"old")?;
    let old = token_of(&bench.look(bench.far(), &key)?)?;
    bench.invalidate(bench.other(), &key, Strength::Hard)?;
    let new = bench.win(bench.other(), &key)?;
    superseded("a fill with the token of the old record", &bench.fill(bench.far(), &key, b"old", old)?)?;
    stored("the winner's fill", &bench.fill(bench.other(), &key, b"new", new)?)?;
    superseded("a fill with it after that", &bench.fill(bench.far(), &key, b"old", old)?)?;
    holds("a look at the end", &bench.look(bench.far(), &key)?, Some(b"new"))
}

fn soft(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"old")?;
    bench.invalidate(bench.far(), &key, Strength::Soft)?;
    let first = bench.claim(bench.far(), &key)?;
    let token = won("the first claim after a soft invalidation", &first)?;
    let second = bench.claim(bench.other(), &key)?;
    claimed("the second", &second, Claim::Elsewhere)?;
    for seen in [&first, &second] {
        holds("a read after a soft invalidation", seen, Some(b"old"))?;
        expect(seen.marked_stale, || format!("it should be marked stale: {seen:?}"))?;
    }
    stored("the winner's fill", &bench.fill(bench.far(), &key, b"new", token)?)?;
    let seen = bench.claim(bench.other(), &key)?;
    holds("a read after the reload", &seen, Some(b"new"))?;
    claimed("a read after the reload", &seen, Claim::Nobody)?;
    expect(!seen.marked_stale, || format!("a reload should clear the mark: {seen:?}"))
}

fn soft_keeps_the_life(bench: &Bench) -> Verdict {
    let (record, stub) = (bench.key("record")?, bench.key("stub")?);
    bench.store_for(&record, b"x", Some(50), 40)?;
    bench.invalidate(bench.far(), &record, Strength::Soft)?;
    bench.invalidate(bench.far(), &record, Strength::Soft)?;
    left_about("a read after two soft invalidations", &bench.look(bench.other(), &record)?, 50)?;
    bench.win(bench.far(), &stub)?;
    let before = bench.look(bench.other(), &stub)?.left;
    bench.invalidate(bench.far(), &stub, Strength::Soft)?;
    let after = bench.look(bench.other(), &stub)?.left;
    expect(after.is_some() && after <= before, || format!("a claim's mark lived {before:?}, and now {after:?}"))
}

fn soft_during_a_load(bench: &Bench) -> Verdict {
    let (miss, record) = (bench.key("miss")?, bench.key("record")?);
    let token = bench.win(bench.far(), &miss)?;
    bench.invalidate(bench.other(), &miss, Strength::Soft)?;
    superseded("a fill of what was invalidated softly", &bench.fill(bench.far(), &miss, b"old", token)?)?;
    won("the next claim", &bench.claim(bench.other(), &miss)?)?;
    bench.store(&record, b"x")?;
    bench.invalidate(bench.other(), &record, Strength::Soft)?;
    let token = bench.win(bench.far(), &record)?;
    bench.invalidate(bench.other(), &record, Strength::Soft)?;
    superseded("a reload after the next invalidation", &bench.fill(bench.far(), &record, b"old", token)?)?;
    holds("a look after it", &bench.look(bench.other(), &record)?, Some(b"x"))
}

fn soft_twice(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"x")?;
    for _ in 0..2 {
        bench.invalidate(bench.far(), &key, Strength::Soft)?;
        won("the first claim after a soft invalidation", &bench.claim(bench.far(), &key)?)?;
        claimed("the second", &bench.claim(bench.other(), &key)?, Claim::Elsewhere)?;
    }
    Ok(())
}

fn stub_handed_back(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let token = bench.win(bench.far(), &key)?;
    expect(bench.hand_back(bench.far(), &key, token, Kept::Stub)?.held, || "nobody invalidated the key".into())?;
    let next = won("a claim after a hand-back", &bench.claim(bench.other(), &key)?)?;
    expect(next != token, || "the next claim should have another token".into())?;
    superseded("a fill after the hand-back", &bench.fill(bench.far(), &key, b"late", token)?)?;
    stored("the next winner's fill", &bench.fill(bench.other(), &key, b"x", next)?)
}

fn stale_handed_back(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store_for(&key, b"old", Some(50), 0)?;
    bench.invalidate(bench.far(), &key, Strength::Soft)?;
    let token = bench.win(bench.far(), &key)?;
    expect(bench.hand_back(bench.far(), &key, token, Kept::Stale)?.held, || "nobody invalidated the key".into())?;
    let seen = bench.claim(bench.other(), &key)?;
    holds("a read after a hand-back", &seen, Some(b"old"))?;
    left_about("a read after a hand-back", &seen, 50)?;
    let next = won("a claim after a hand-back", &seen)?;
    superseded("a fill after the hand-back", &bench.fill(bench.far(), &key, b"late", token)?)?;
    stored("the next winner's fill", &bench.fill(bench.other(), &key, b"new", next)?)
}

fn dead_handed_back(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"dead")?;
    let token = token_of(&bench.look(bench.far(), &key)?)?;
    let token = won("a take of a dead record", &bench.take(bench.far(), &key, token, Kept::Dead)?)?;
    expect(bench.hand_back(bench.far(), &key, token, Kept::Dead)?.held, || "nobody invalidated the key".into())?;
    let seen = bench.claim(bench.other(), &key)?;
    won("a claim after a hand-back", &seen)?;
    holds("a claim after a hand-back of a dead record", &seen, None)
}

fn hand_back_too_late(bench: &Bench) -> Verdict {
    for (name, kept) in [("stub", Kept::Stub), ("stale", Kept::Stale), ("dead", Kept::Dead)] {
        let key = bench.key(name)?;
        let token = bench.win(bench.far(), &key)?;
        bench.invalidate(bench.other(), &key, Strength::Hard)?;
        let held = bench.hand_back(bench.far(), &key, token, kept)?.held;
        expect_eq("whether a claim held through an invalidation", held, false)?;
        bench.win(bench.other(), &key)?;
        let held = bench.hand_back(bench.far(), &key, token, kept)?.held;
        expect_eq("whether a claim held through the next one", held, false)?;
        claimed("a claim after a late hand-back", &bench.claim(bench.far(), &key)?, Claim::Elsewhere)?;
    }
    Ok(())
}

fn take_dead(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"dead")?;
    let seen = bench.claim(bench.far(), &key)?;
    claimed("a read of a record that the node thinks fresh", &seen, Claim::Nobody)?;
    let old = token_of(&seen)?;
    let first = bench.take(bench.far(), &key, old, Kept::Dead)?;
    let token = won("the first take", &first)?;
    claimed("the second take", &bench.take(bench.other(), &key, old, Kept::Dead)?, Claim::Elsewhere)?;
    claimed("a claim after a take", &bench.claim(bench.other(), &key)?, Claim::Elsewhere)?;
    superseded("a fill with the token before", &bench.fill(bench.other(), &key, b"old", old)?)?;
    let left = bench.look(bench.other(), &key)?.left;
    expect(left.is_some_and(|left| left <= Duration::from_secs(32)), || {
        format!("a dead record should live as long as the claim on it, not {left:?}")
    })?;
    stored("the taker's fill", &bench.fill(bench.far(), &key, b"new", token)?)?;
    holds("a look at the end", &bench.look(bench.other(), &key)?, Some(b"new"))
}

fn take_stale(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store_for(&key, b"old", Some(50), 0)?;
    bench.invalidate(bench.far(), &key, Strength::Soft)?;
    let dead = bench.win(bench.far(), &key)?;
    let first = bench.take(bench.other(), &key, dead, Kept::Stale)?;
    let token = won("the first take of a stale record", &first)?;
    holds("the first take of a stale record", &first, Some(b"old"))?;
    left_about("the first take of a stale record", &first, 50)?;
    let second = bench.take(bench.far(), &key, dead, Kept::Stale)?;
    claimed("the second take", &second, Claim::Elsewhere)?;
    superseded("a fill by the claimant before", &bench.fill(bench.far(), &key, b"late", dead)?)?;
    stored("the taker's fill", &bench.fill(bench.other(), &key, b"new", token)?)
}

fn take_fences(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let dead = bench.win(bench.far(), &key)?;
    let taken = won("a take of a claim's mark", &bench.take(bench.other(), &key, dead, Kept::Stub)?)?;
    superseded("a fill by the claimant before", &bench.fill(bench.far(), &key, b"late", dead)?)?;
    stored("the taker's fill", &bench.fill(bench.other(), &key, b"x", taken)?)
}

fn take_nothing(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"x")?;
    let old = token_of(&bench.look(bench.far(), &key)?)?;
    bench.invalidate(bench.other(), &key, Strength::Hard)?;
    let seen = bench.take(bench.far(), &key, old, Kept::Dead)?;
    holds("a take of what is gone", &seen, None)?;
    let token = won("a take of what is gone", &seen)?;
    stored("the taker's fill", &bench.fill(bench.far(), &key, b"new", token)?)
}

fn validation_takes_no_claim(bench: &Bench) -> Verdict {
    let (stale, miss) = (bench.key("stale")?, bench.key("miss")?);
    bench.store(&stale, b"x")?;
    bench.invalidate(bench.far(), &stale, Strength::Soft)?;
    let keys = [stale.clone(), miss.clone()];
    for _ in 0..2 {
        let checks = bench.far().validate(&keys, &bench.scopes);
        expect_eq("the number of checks", checks.len(), 2)?;
        for check in checks {
            one("validate", vec![check])?;
        }
    }
    won("a claim on a stale record after a validation", &bench.claim(bench.other(), &stale)?)?;
    won("a claim on a miss after a validation", &bench.claim(bench.other(), &miss)?).map(drop)
}

fn validation_tells(bench: &Bench) -> Verdict {
    let (fresh, stale, stub) = (bench.key("fresh")?, bench.key("stale")?, bench.key("stub")?);
    bench.store(&fresh, b"x")?;
    bench.store(&stale, b"y")?;
    bench.invalidate(bench.far(), &stale, Strength::Soft)?;
    bench.win(bench.far(), &stub)?;
    let token = bench.look(bench.far(), &fresh)?.token;
    let mut checks = bench.other().validate(&[fresh, stale, stub], &bench.scopes).into_iter();
    let mut next = || one("validate", checks.next().into_iter().collect());
    let (fresh, stale, stub) = (next()?, next()?, next()?);
    expect_eq("the token of a fresh record", fresh.token, token)?;
    expect_eq("the marks of a fresh and a stale record", (fresh.marked_stale, stale.marked_stale), (false, true))?;
    expect_eq("the token where only a claim stands", stub.token, None)?;
    let left = fresh.left.map_or(0, |left| left.as_secs());
    expect((58..=60).contains(&left), || format!("about 60 s should be left, not {left}"))
}

fn look_swallows_nothing(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"x")?;
    bench.invalidate(bench.far(), &key, Strength::Soft)?;
    // Some servers give the claim to any reader; then the look must say so, and it can be handed back.
    let seen = bench.look(bench.far(), &key)?;
    if seen.claim == Claim::Won {
        let token = token_of(&seen)?;
        bench.hand_back(bench.far(), &key, token, Kept::Stale)?;
    }
    won("a claim after a look at a stale record", &bench.claim(bench.other(), &key)?).map(drop)
}

const THREADS: usize = 8;

/// How many of several threads, which share two clients, `attempt` successfully.
fn racing(bench: &Bench, attempt: impl Fn(&dyn BytesBackend) -> Verdict<Claim> + Sync) -> Verdict<usize> {
    let (winners, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = std::sync::Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (winners, failures, start, attempt) = (&winners, &failures, &start, &attempt);
            scope.spawn(move || {
                let far = if thread % 2 == 0 { bench.far() } else { bench.other() };
                start.wait();
                match attempt(far) {
                    Ok(Claim::Won) => winners.fetch_add(1, Ordering::SeqCst),
                    Ok(_) => 0,
                    Err(_) => failures.fetch_add(1, Ordering::SeqCst),
                };
            });
        }
    });
    expect_eq("the threads that were not answered", failures.into_inner(), 0)?;
    Ok(winners.into_inner())
}

fn threads_claim(bench: &Bench) -> Verdict {
    for key in bench.keys(20)? {
        let winners = racing(bench, |far| Ok(bench.claim(far, &key)?.claim))?;
        expect_eq("the winners of one miss", winners, 1)?;
    }
    Ok(())
}

fn threads_take(bench: &Bench) -> Verdict {
    for key in bench.keys(20)? {
        bench.store(&key, b"dead")?;
        let token = token_of(&bench.look(bench.far(), &key)?)?;
        let take = |far: &dyn BytesBackend| Ok(bench.take(far, &key, token, Kept::Dead)?.claim);
        expect_eq("the winners of one dead record", racing(bench, take)?, 1)?;
        let key: &FarKey = &key;
        claimed("a claim after them", &bench.claim(bench.far(), key)?, Claim::Elsewhere)?;
    }
    Ok(())
}
