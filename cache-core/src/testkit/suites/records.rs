//! Cases about records: what is stored is what is read, for as long as was said, key by key.

use std::time::Duration;

use super::bench::{Bench, LEASE, claimed, done, holds, left_about, one, stored, superseded};
use super::{Case, Unmet, Verdict, expect, expect_eq, skip};
use crate::backend::{Claim, Fill, FillOutcome, HandBack, Kept, Lease, Strength, Take, Token};
use crate::key::FarKey;

pub(super) const CASES: &[Case<Bench>] = &[
    Case { name: "nothing is found where nothing was stored", run: get_nothing },
    Case { name: "invalidating nothing is done, and done again", run: delete_nothing },
    Case { name: "what was stored is read, by every process", run: set_and_get },
    Case { name: "records of any bytes come back as they were", run: any_bytes },
    Case { name: "a record of a hundred thousand bytes comes back", run: long_record },
    Case { name: "an invalidated record is gone for every process", run: delete },
    Case { name: "answers come in the order of the keys", run: order },
    Case { name: "one key twice in a batch has two answers and one winner", run: twice_in_a_batch },
    Case { name: "empty batches have empty answers", run: empty_batches },
    Case { name: "each fill of a batch has its own outcome", run: partial },
    Case { name: "a record is gone after its time, and not before", run: expiry },
    Case { name: "a record may be kept for ever", run: for_ever },
    Case { name: "a fill tells the token that reads tell", run: fill_tells_the_token },
    Case { name: "the writer's grace comes back with the record", run: grace },
    Case { name: "keys that are nearly alike are told apart", run: similar_keys },
    Case { name: "a record above the limit is refused and the old one stays", run: oversize },
    Case { name: "proofs are dated no earlier than those of answers before", run: proofs },
];

fn get_nothing(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let seen = bench.look(bench.far(), &key)?;
    holds("a look where nothing was stored", &seen, None)?;
    claimed("a look", &seen, Claim::Nobody)?;
    let check = one("validate", bench.far().validate(std::slice::from_ref(&key), &bench.scopes))?;
    expect_eq("the token where nothing was stored", check.token, None)
}

fn delete_nothing(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    for strength in [Strength::Hard, Strength::Hard, Strength::Soft] {
        bench.invalidate(bench.far(), &key, strength)?;
    }
    holds("a look after it", &bench.look(bench.far(), &key)?, None)
}

fn set_and_get(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store(&key, b"hello")?;
    for far in [bench.far(), bench.other()] {
        let seen = bench.claim(far, &key)?;
        holds("a read after a fill", &seen, Some(b"hello"))?;
        claimed("a read of a fresh record", &seen, Claim::Nobody)?;
        left_about("a read of a record kept for 60 s", &seen, 60)?;
        expect(!seen.marked_stale, || format!("a fresh record should not be marked stale: {seen:?}"))?;
    }
    Ok(())
}

fn any_bytes(bench: &Bench) -> Verdict {
    let all: Vec<u8> = (0..=255).collect();
    let records: [&[u8]; 7] = [b"\0", b"0", b" ", b"\r\n", b"END\r\nmg x\r\n", b"12345\r\nSTORED\r\n", &all];
    for (n, record) in records.into_iter().enumerate() {
        let key = bench.key(&n.to_string())?;
        bench.store(&key, record)?;
        holds("a read of an odd record", &bench.look(bench.other(), &key)?, Some(record))?;
    }
    Ok(())
}

fn long_record(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let record: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    bench.store(&key, &record)?;
    holds("a read of a long record", &bench.look(bench.other(), &key)?, Some(&record))
}

fn delete(bench: &Bench) -> Verdict {
    let (key, neighbour) = (bench.key("k")?, bench.key("neighbour")?);
    bench.store(&key, b"x")?;
    bench.store(&neighbour, b"y")?;
    bench.invalidate(bench.far(), &key, Strength::Hard)?;
    bench.invalidate(bench.far(), &key, Strength::Hard)?;
    for far in [bench.far(), bench.other()] {
        holds("a look after an invalidation", &bench.look(far, &key)?, None)?;
        holds("a look at another key", &bench.look(far, &neighbour)?, Some(b"y"))?;
    }
    Ok(())
}

fn order(bench: &Bench) -> Verdict {
    let keys = bench.keys(40)?;
    let stored: Vec<&FarKey> = keys.iter().step_by(2).collect();
    for key in &stored {
        bench.store(key, key.as_str().as_bytes())?;
    }
    let expected = |key: &FarKey| stored.contains(&key).then(|| key.as_str().as_bytes().to_vec());
    let reversed: Vec<FarKey> = keys.iter().rev().cloned().collect();
    for batch in [&keys, &reversed] {
        let seen = bench.read_all(bench.far(), batch, Lease::None);
        expect_eq("the number of answers", seen.len(), batch.len())?;
        for (key, seen) in batch.iter().zip(seen) {
            let seen = one("read", vec![seen])?;
            holds(&format!("a read of {} in a batch", key.as_str()), &seen, expected(key).as_deref())?;
        }
        let checks = bench.far().validate(batch, &bench.scopes);
        expect_eq("the number of checks", checks.len(), batch.len())?;
        for (key, check) in batch.iter().zip(checks) {
            let found = one("validate", vec![check])?.token.is_some();
            expect_eq("whether a check of a batch finds a record", found, expected(key).is_some())?;
        }
    }
    let some: Vec<FarKey> = reversed[..20].to_vec();
    done("an invalidation of many keys", bench.far().invalidate(&some, Strength::Hard, bench.region()))?;
    for key in &keys {
        let expected = expected(key).filter(|_| !some.contains(key));
        holds("a look after half was invalidated", &bench.look(bench.far(), key)?, expected.as_deref())?;
    }
    Ok(())
}

fn twice_in_a_batch(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let batch = [key.clone(), key.clone(), key];
    let mut won = 0;
    let answers = bench.read_all(bench.far(), &batch, Lease::Claim(LEASE));
    expect_eq("the number of answers", answers.len(), batch.len())?;
    for seen in answers {
        won += usize::from(one("read", vec![seen])?.claim == Claim::Won);
    }
    expect_eq("the claims that were won on one key", won, 1)
}

fn empty_batches(bench: &Bench) -> Verdict {
    let far = bench.far();
    let counts = [
        bench.read_all(far, &[], Lease::Claim(LEASE)).len(),
        far.fill(&[], &bench.scopes).len(),
        far.hand_back(&[], &bench.scopes).len(),
        far.take(&[], &bench.scopes).len(),
        far.validate(&[], &bench.scopes).len(),
        far.invalidate(&[], Strength::Hard, bench.region()).len(),
        far.bump(&[], bench.region()).len(),
    ];
    expect_eq("the answers to empty batches", counts, [0; 7])
}

fn partial(bench: &Bench) -> Verdict {
    let keys = bench.keys(3)?;
    let tokens = keys.iter().map(|key| bench.win(bench.far(), key)).collect::<Verdict<Vec<Token>>>()?;
    bench.invalidate(bench.other(), &keys[1], Strength::Hard)?;
    let keep = Some(Duration::from_secs(60));
    let fills: Vec<Fill<'_>> = keys
        .iter()
        .zip(&tokens)
        .map(|(key, token)| Fill { key, record: b"x", token: *token, keep, grace: Duration::ZERO })
        .collect();
    let mut filled = bench.far().fill(&fills, &bench.scopes).into_iter();
    let mut next = || one("fill", filled.next().into_iter().collect()).map(|filled| filled.outcome);
    stored("the first fill of a batch", &next()?)?;
    superseded("the fill of a key that was invalidated", &next()?)?;
    stored("the last fill of a batch", &next()?)?;
    let backs: Vec<_> =
        keys.iter().zip(&tokens).map(|(key, token)| HandBack { key, token: *token, kept: Kept::Stub }).collect();
    let returned = bench.far().hand_back(&backs, &bench.scopes);
    expect_eq("the answers to three hand-backs", returned.len(), 3)?;
    let lease = LEASE;
    let takes: Vec<_> =
        keys.iter().zip(&tokens).map(|(key, token)| Take { key, token: *token, kept: Kept::Dead, lease }).collect();
    expect_eq("the answers to three takes", bench.far().take(&takes, &bench.scopes).len(), 3)
}

fn expiry(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store_for(&key, b"x", Some(3), 0)?;
    bench.pass(1900);
    holds("a look before the end", &bench.look(bench.far(), &key)?, Some(b"x"))?;
    bench.pass(2200);
    let seen = bench.claim(bench.far(), &key)?;
    holds("a read after the end", &seen, None)?;
    claimed("a read after the end", &seen, Claim::Won)
}

fn for_ever(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    bench.store_for(&key, b"x", None, 0)?;
    bench.pass(3000);
    let seen = bench.look(bench.far(), &key)?;
    holds("a look at a record kept for ever", &seen, Some(b"x"))?;
    expect_eq("what is left of for ever", seen.left, None)
}

fn fill_tells_the_token(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let token = bench.win(bench.far(), &key)?;
    let FillOutcome::Stored(told) = bench.fill(bench.far(), &key, b"x", token)? else {
        return Err(Unmet::Failed("the winner's fill should be stored".into()));
    };
    let read = bench.look(bench.other(), &key)?.token;
    let checked = one("validate", bench.other().validate(std::slice::from_ref(&key), &bench.scopes))?.token;
    expect(read.is_some(), || "a stored record should have a token".into())?;
    expect_eq("the token that a validation tells", checked, read)?;
    expect(told.is_none() || told == read, || format!("a fill told {told:?}, a read {read:?}"))?;
    expect(read != Some(token), || "a stored record should have another token than its claim had".into())
}

fn grace(bench: &Bench) -> Verdict {
    let (with, without) = (bench.key("with")?, bench.key("without")?);
    bench.store_for(&with, b"x", Some(60), 25)?;
    bench.store_for(&without, b"x", Some(60), 0)?;
    expect_eq("the grace", bench.look(bench.other(), &with)?.grace, Duration::from_secs(25))?;
    expect_eq("no grace", bench.look(bench.other(), &without)?.grace, Duration::ZERO)
}

fn similar_keys(bench: &Bench) -> Verdict {
    let longest = "x".repeat(250 - bench.key("")?.as_str().len() - 1);
    let mut names = ["a", "A", "aa", "a:", ":a", "a%20", "\u{e9}", "e"].map(str::to_owned).to_vec();
    names.extend(["1", "2"].map(|last| format!("{longest}{last}")));
    let keys = names.iter().map(|name| bench.key(name)).collect::<Verdict<Vec<FarKey>>>()?;
    for (key, name) in keys.iter().zip(&names) {
        bench.store(key, name.as_bytes())?;
    }
    for (key, name) in keys.iter().zip(&names) {
        holds(&format!("a look at `{name}`"), &bench.look(bench.far(), key)?, Some(name.as_bytes()))?;
    }
    Ok(())
}

fn oversize(bench: &Bench) -> Verdict {
    let limit = bench.far().size_limit().ok_or_else(|| skip("the backend knows no limit"))?;
    let key = bench.key("k")?;
    bench.store(&key, b"old")?;
    let token = bench.look(bench.far(), &key)?.token.ok_or_else(|| Unmet::Failed("a record has a token".into()))?;
    let outcome = bench.fill(bench.far(), &key, &vec![b'x'; limit + 1], token)?;
    expect_eq("the outcome of a fill above the limit", outcome, FillOutcome::TooLarge { limit })?;
    holds("a look after a refused fill", &bench.look(bench.far(), &key)?, Some(b"old"))?;
    let largest = vec![b'y'; limit];
    stored("a fill at the limit", &bench.fill(bench.far(), &key, &largest, token)?)?;
    holds("a look at the largest record", &bench.look(bench.far(), &key)?, Some(&largest))
}

fn proofs(bench: &Bench) -> Verdict {
    let key = bench.key("k")?;
    let first = bench.claim(bench.far(), &key)?;
    bench.pass(1000);
    let token = first.token.ok_or_else(|| Unmet::Failed("a claim has a token".into()))?;
    let filled = bench.fill_with(bench.far(), &key, b"x", token, Some(60), 0)?;
    bench.pass(1000);
    let seen = bench.look(bench.far(), &key)?;
    let between = [filled.proved.since(first.proved), seen.proved.since(filled.proved)];
    let second = Duration::from_millis(900);
    expect(between.iter().all(|time| *time >= second), || {
        format!("a second passed between three requests, their proofs are {between:?} apart")
    })
}
