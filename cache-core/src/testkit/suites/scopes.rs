//! Cases about generations: one per scope and node, the same for everybody, and never the same again.

use std::collections::HashSet;
use std::time::Duration;

use super::bench::{Bench, LEASE, Trouble, done, one, won};
use super::{Case, Verdict, expect, expect_eq};
use crate::backend::{Fill, HandBack, Kept, Lease, Read, Recall, Take};
use crate::generation::Generation;

pub(super) const CASES: &[Case<Bench>] = &[
    Case { name: "every process reads the same generations, again and again", run: shared },
    Case { name: "each operation that brings generations brings the same", run: every_operation },
    Case { name: "generations come in the order of the scopes", run: order },
    Case { name: "a read without scopes brings no generations", run: no_scopes },
    Case { name: "a bump changes its own scope for every process, and no other", run: bump },
    Case { name: "no generation comes again", run: never_again },
    Case { name: "a bump reaches every node", run: every_node },
    Case { name: "a generation that made room is made anew", run: evicted },
    Case { name: "a restart changes every generation and empties the node", run: restarted },
    Case { name: "remembered generations are dated no later than asked ones", run: recall },
];

fn shared(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let first = bench.generations(bench.far(), &key)?;
    for far in [bench.far(), bench.other(), bench.other()] {
        expect_eq("the generations that are read again", bench.generations(far, &key)?, first.clone())?;
    }
    let distinct: HashSet<Generation> = first.iter().collect();
    expect_eq("the distinct generations of two scopes", distinct.len(), 2)
}

fn every_operation(bench: &Bench) -> Verdict {
    let (key, scopes, lease) = (bench.key("k")?, &bench.scopes, LEASE);
    let claimed = bench.claim(bench.far(), &key)?;
    let (token, expected) = (won("the first claim", &claimed)?, claimed.generations);
    let kept = Kept::Stub;
    let keep = Some(Duration::from_secs(60));
    let take = one("take", bench.other().take(&[Take { key: &key, token, kept, lease }], scopes))?;
    expect_eq("the generations that a take brings", take.generations.clone(), expected.clone())?;
    let token = won("a take", &take)?;
    let back = one("hand_back", bench.far().hand_back(&[HandBack { key: &key, token, kept }], scopes))?;
    expect_eq("the generations that a hand-back brings", back.generations, expected.clone())?;
    let token = bench.win(bench.far(), &key)?;
    let fill = Fill { key: &key, record: b"x", token, keep, grace: Duration::ZERO };
    let filled = one("fill", bench.far().fill(&[fill], scopes))?;
    expect_eq("the generations that a fill brings", filled.generations, expected.clone())?;
    let check = one("validate", bench.other().validate(std::slice::from_ref(&key), scopes))?;
    expect_eq("the generations that a validation brings", check.generations, expected)
}

fn order(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let forward: Vec<Generation> = bench.generations(bench.far(), &key)?.iter().collect();
    let scopes: Vec<_> = bench.scopes.iter().rev().cloned().collect();
    let (keys, grace) = (std::slice::from_ref(&key), Duration::ZERO);
    let read = Read { keys, scopes: &scopes, lease: Lease::None, grace, recall: Recall::Never };
    let mut backward: Vec<Generation> = one("read", bench.other().read(&read))?.generations.iter().collect();
    backward.reverse();
    expect_eq("the generations of the scopes in the other order", backward, forward)
}

fn no_scopes(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let (keys, grace) = (std::slice::from_ref(&key), Duration::ZERO);
    let read = Read { keys, scopes: &[], lease: Lease::Claim(LEASE), grace, recall: Recall::Never };
    let seen = one("read", bench.far().read(&read))?;
    won("a claim without scopes", &seen)?;
    expect(seen.generations.is_empty(), || format!("no scope has no generation: {:?}", seen.generations))
}

fn bump(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let before: Vec<Generation> = bench.generations(bench.other(), &key)?.iter().collect();
    done("a bump", bench.far().bump(&bench.scopes[1..], bench.region()))?;
    for far in [bench.far(), bench.other()] {
        let after: Vec<Generation> = bench.generations(far, &key)?.iter().collect();
        expect_eq("the generation of the other scope", after[0], before[0])?;
        expect(after[1] != before[1], || format!("a bump should change its scope's generation: {:?}", after[1]))?;
    }
    Ok(())
}

fn never_again(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let mut seen = HashSet::new();
    for round in 0..20 {
        for generation in bench.generations(bench.other(), &key)?.iter() {
            expect(seen.insert(generation), || format!("{generation:?} came again in round {round}"))?;
        }
        done("a bump", bench.far().bump(&bench.scopes, bench.region()))?;
    }
    Ok(())
}

fn every_node(bench: &Bench) -> Verdict {
    let keys = bench.keys(40)?;
    let before = keys.iter().map(|key| bench.generations(bench.other(), key)).collect::<Verdict<Vec<_>>>()?;
    done("a bump", bench.far().bump(&bench.scopes, bench.region()))?;
    for (key, before) in keys.iter().zip(before) {
        let after = bench.generations(bench.other(), key)?;
        let unchanged = before.iter().zip(after.iter()).any(|(before, after)| before == after);
        expect(!unchanged, || format!("a bump should reach the node of {}", key.as_str()))?;
    }
    Ok(())
}

fn evicted(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let mut seen = HashSet::new();
    for _ in 0..5 {
        let generations: Vec<Generation> = bench.generations(bench.far(), &key)?.iter().collect();
        expect(seen.insert(generations[0]), || format!("{:?} came again after it was evicted", generations[0]))?;
        let other = bench.generations(bench.other(), &key)?.iter().collect::<Vec<_>>();
        expect_eq("the generations that another process reads", other, generations)?;
        bench.trouble(Trouble::EvictScope(bench.scopes[0].clone(), key.clone()))?;
    }
    // What misses a generation still wins what it claims, once.
    let miss = bench.key("miss")?;
    won("a claim while a generation is missing", &bench.claim(bench.far(), &miss)?).map(drop)
}

fn restarted(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"x")?;
    let before = bench.generations(bench.far(), &key)?;
    bench.trouble(Trouble::Restart(key.clone()))?;
    for far in [bench.far(), bench.other()] {
        let seen = bench.look(far, &key)?;
        expect(seen.record.is_none(), || "a restarted node should be empty".into())?;
        let same = before.iter().zip(seen.generations.iter()).any(|(before, after)| before == after);
        expect(!same, || format!("a restart should change every generation: {:?}", seen.generations))?;
    }
    Ok(())
}

fn recall(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let keys = std::slice::from_ref(&key);
    let read = |recall| {
        let read = Read { keys, scopes: &bench.scopes, lease: Lease::None, grace: Duration::ZERO, recall };
        one("read", bench.far().read(&read))
    };
    let first = read(Recall::Allowed)?;
    let second = read(Recall::Allowed)?;
    expect_eq("remembered generations", second.generations.clone(), first.generations)?;
    let asked = read(Recall::Never)?;
    expect(!asked.remembered, || "what was asked for should not count as remembered".into())?;
    expect_eq("asked generations", asked.generations, second.generations)?;
    expect(second.proved <= asked.proved, || "what is remembered should be dated no later than what is asked".into())
}
