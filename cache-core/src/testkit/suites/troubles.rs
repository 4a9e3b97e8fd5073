//! Cases about nodes that lose things or cannot be reached: errors key by key, and no invalidation forgotten.

use std::time::Duration;

use super::bench::{Bench, LEASE, Trouble, done, holds, stored, superseded, won};
use super::{Case, Unmet, Verdict, expect, expect_eq};
use crate::backend::{Claim, Fill, HandBack, Invalidated, Kept, Lease, Strength, Take, Token};
use crate::key::FarKey;

pub(super) const CASES: &[Case<Bench>] = &[
    Case { name: "an evicted record is a miss, and its token is of no use", run: evicted_record },
    Case { name: "a claim whose mark was evicted stores nothing", run: evicted_claim },
    Case { name: "a claim from before a restart stores nothing that is current", run: claim_before_a_restart },
    Case { name: "a node that is down is an error for its keys and for no other", run: down },
    Case { name: "while its node is down each operation on a key is an error", run: down_everywhere },
    Case { name: "an invalidation that could not be sent is pending, and done before the next read", run: pending },
    Case {
        name: "a bump that could not be sent everywhere is pending, and done before the next read",
        run: pending_bump,
    },
];

fn evicted_record(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"x")?;
    let seen = bench.look(bench.far(), &key)?;
    let old = seen.token.ok_or_else(|| Unmet::Failed("a record has a token".into()))?;
    bench.trouble(Trouble::Evict(key.clone()))?;
    superseded("a fill with the token of what was evicted", &bench.fill(bench.far(), &key, b"y", old)?)?;
    let seen = bench.claim(bench.other(), &key)?;
    holds("a read after an eviction", &seen, None)?;
    let token = won("a claim after an eviction", &seen)?;
    stored("the winner's fill", &bench.fill(bench.other(), &key, b"z", token)?)
}

fn evicted_claim(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let token = bench.win(bench.far(), &key)?;
    bench.trouble(Trouble::Evict(key.clone()))?;
    superseded("a fill after the claim was evicted", &bench.fill(bench.far(), &key, b"x", token)?)?;
    let held = bench.hand_back(bench.far(), &key, token, Kept::Stub)?.held;
    expect_eq("whether an evicted claim held", held, false)?;
    won("the next claim", &bench.claim(bench.other(), &key)?).map(drop)
}

fn claim_before_a_restart(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let first = bench.claim(bench.far(), &key)?;
    let token = won("the first claim", &first)?;
    bench.trouble(Trouble::Restart(key.clone()))?;
    won("a claim after the restart", &bench.claim(bench.other(), &key)?)?;
    // Its token may by chance be that of the new claim; then the generations tell.
    let filled = bench.fill_with(bench.far(), &key, b"old", token, Some(60), 0)?;
    let changed = filled.generations.iter().zip(first.generations.iter()).all(|(after, before)| after != before);
    expect(changed, || "the generations after a fill should tell of the restart".into())
}

fn down(bench: &Bench) -> Verdict {
    let keys = bench.keys(40)?;
    for key in &keys {
        bench.store(key, key.as_str().as_bytes())?;
    }
    bench.trouble(Trouble::Down(keys[7].clone()))?;
    let answers = bench.read_all(bench.far(), &keys, Lease::Claim(LEASE));
    bench.trouble(Trouble::Up(keys[7].clone()))?;
    expect_eq("the number of answers while a node is down", answers.len(), keys.len())?;
    expect(answers[7].is_err(), || "a key of a node that is down should be an error".into())?;
    for (key, answer) in keys.iter().zip(answers) {
        if let Ok(seen) = answer {
            holds("a read of a key of another node", &seen, Some(key.as_str().as_bytes()))?;
        }
    }
    for key in &keys {
        // What the node kept is there, what it did not keep is a miss.
        let seen = bench.look(bench.far(), key)?;
        let right = seen.record.as_deref().is_none_or(|record| record == key.as_str().as_bytes());
        expect(right, || format!("the record of {} should be its own", key.as_str()))?;
    }
    Ok(())
}

fn down_everywhere(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"x")?;
    bench.trouble(Trouble::Down(key.clone()))?;
    let (far, scopes, kept, lease) = (bench.far(), &bench.scopes, Kept::Dead, LEASE);
    let (key, keys, token) = (&key, std::slice::from_ref(&key), Token(1));
    let keep = Some(Duration::from_secs(60));
    let failed = [
        bench.read_all(far, keys, Lease::None)[0].is_err(),
        far.fill(&[Fill { key, record: b"y", token, keep, grace: Duration::ZERO }], scopes)[0].is_err(),
        far.hand_back(&[HandBack { key, token, kept }], scopes)[0].is_err(),
        far.take(&[Take { key, token, kept, lease }], scopes)[0].is_err(),
        far.validate(keys, scopes)[0].is_err(),
        matches!(far.invalidate(keys, Strength::Hard, bench.region())[0], Invalidated::Pending(_)),
    ];
    bench.trouble(Trouble::Up(key.clone()))?;
    expect_eq("which of read, fill, hand_back, take, validate and invalidate failed", failed, [true; 6])
}

fn pending(bench: &Bench) -> Verdict {
    for (name, strength) in [("hard", Strength::Hard), ("soft", Strength::Soft)] {
        let key = bench.key(name)?;
        let keys: &[FarKey] = std::slice::from_ref(&key);
        bench.store(&key, b"old")?;
        bench.trouble(Trouble::Down(key.clone()))?;
        let answers = bench.far().invalidate(keys, strength, bench.region());
        bench.trouble(Trouble::Up(key.clone()))?;
        expect(matches!(answers[..], [Invalidated::Pending(_)]), || {
            format!("an invalidation that no node answered should be pending: {answers:?}")
        })?;
        let seen = bench.claim(bench.far(), &key)?;
        won("the first claim once the node is back", &seen)?;
        if strength == Strength::Hard {
            holds("the first read once the node is back", &seen, None)?;
        }
        // What is repeated until it is answered may be carried out twice. The second time takes the claim back, which
        // costs a load; it never brings back what was invalidated.
        let after = bench.claim(bench.other(), &key)?;
        expect(matches!(after.claim, Claim::Elsewhere | Claim::Won), || {
            format!("a claim of another process after it should be Elsewhere or Won: {after:?}")
        })?;
        if strength == Strength::Hard {
            holds("a read of another process after it", &after, None)?;
        }
    }
    Ok(())
}

fn pending_bump(bench: &Bench) -> Verdict {
    let keys = bench.keys(40)?;
    let before = keys.iter().map(|key| bench.generations(bench.far(), key)).collect::<Verdict<Vec<_>>>()?;
    bench.trouble(Trouble::Down(keys[3].clone()))?;
    let answers = bench.far().bump(&bench.scopes, bench.region());
    bench.trouble(Trouble::Up(keys[3].clone()))?;
    let pending = answers.iter().filter(|answer| matches!(answer, Invalidated::Pending(_))).count();
    expect_eq("the bumps that are pending", pending, bench.scopes.len())?;
    for (key, before) in keys.iter().zip(before) {
        let after = bench.generations(bench.far(), key)?;
        let unchanged = before.iter().zip(after.iter()).any(|(before, after)| before == after);
        expect(!unchanged, || format!("the generations of {} should have changed", key.as_str()))?;
    }
    done("the same bump again", bench.far().bump(&bench.scopes, bench.region()))
}
