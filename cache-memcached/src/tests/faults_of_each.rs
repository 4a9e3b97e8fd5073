//! What networks do to the replies of each operation: what is told is right, an invalidation whose reply is lost is told
//! as pending and carried out, and the next call finds its way.

use std::time::Duration;

use cache_core::backend::{Claim, FillOutcome, Invalidated, Seen, Strength};
use cache_core::error::{Kind, Result};
use cache_core::generation::Generations;
use cache_core::key::FarKey;
use cache_core::record;
use cache_core::testkit::Fault;

use super::IO_TIMEOUT;
use super::face::Face;
use super::faults::{healed, key, until_answered};
use super::stage::{Outcome, Play, Stage, Told};
use crate::{Client, Item, Memcached};

const RECORD: &[u8] = b"a record that holds EN, HD and\r\nMN\r\n as values may";
const END: &[u8] = b"END\r\n";

fn others() -> [Fault; 10] {
    [
        Fault::Delay(IO_TIMEOUT / 5),
        Fault::Delay(IO_TIMEOUT * 2),
        Fault::BlackHole,
        Fault::Unheard,
        Fault::Dribble,
        Fault::Late,
        Fault::Unasked(b"ERROR Too many open connections\r\n".to_vec()),
        Fault::Unasked(b"EN\r\n".to_vec()),
        Fault::Unasked(END.to_vec()),
        Fault::Unasked(b"VA 3 O1 c1\r\nabc\r\n".to_vec()),
    ]
}

fn told<T>((answer, took): (Result<T>, Duration), check: impl FnOnce(T)) -> Told {
    match answer {
        Ok(answer) => {
            check(answer);
            (Outcome::Right, took)
        }
        Err(error) => {
            // Whatever becomes of a reply, the node was asked.
            assert_eq!(error.kind(), Kind::Unanswered, "{error}");
            (Outcome::Failed, took)
        }
    }
}

fn take(stage: &Stage, key: &FarKey, fault: Fault) -> Told {
    let token = stage.stored(key, RECORD).token.unwrap();
    let told = told(stage.ask(fault, |face| face.take(key, token)), |seen| {
        assert_eq!((seen.record.as_deref(), seen.claim), (Some(RECORD), Claim::Won));
        assert_eq!(seen.token, stage.seen(key).token);
    });
    assert_eq!(healed(&stage.face, key, "take").record.as_deref(), Some(RECORD));
    told
}

fn hand_back(stage: &Stage, key: &FarKey, fault: Fault) -> Told {
    let token = stage.claimed(key);
    let told = told(stage.ask(fault, |face| face.hand_back(key, token)), |returned| {
        assert!(returned.held, "nobody else was there");
        assert_eq!(stage.seen(key).claim, Claim::Won);
    });
    assert_eq!(healed(&stage.face, key, "hand_back").record, None);
    told
}

fn validate(stage: &Stage, key: &FarKey, fault: Fault) -> Told {
    let known = stage.stored(key, RECORD);
    let told = told(stage.ask(fault, |face| face.validate(key)), |check| {
        assert_eq!((check.token, check.marked_stale), (known.token, false));
        assert_eq!(check.generations, known.generations);
    });
    let seen = healed(&stage.face, key, "validate");
    assert_eq!((seen.record.as_deref(), seen.token, seen.claim), (Some(RECORD), known.token, Claim::Nobody));
    told
}

/// Judges what is told of an invalidation, and waits until it is carried out; the face's own next look shows that it is.
fn invalidated(
    stage: &Stage,
    key: &FarKey,
    scopes: &[FarKey],
    (told, took): (Invalidated, Duration),
    is_done: impl Fn(&Seen) -> bool,
) -> Told {
    let outcome = match told {
        Invalidated::Done => {
            assert!(is_done(&stage.direct.read_in(key, scopes).unwrap()), "told as done");
            Outcome::Right
        }
        Invalidated::Pending(_) => Outcome::Failed,
    };
    let seen = until_answered("what was invalidated", || stage.face.read_in(key, scopes));
    assert!(is_done(&seen), "what was invalidated is seen again: {seen:?}");
    assert!(is_done(&stage.direct.read_in(key, scopes).unwrap()), "it is carried out");
    (outcome, took)
}

fn invalidate(stage: &Stage, key: &FarKey, fault: Fault) -> Told {
    stage.stored(key, RECORD);
    let told = stage.ask(fault, |face| face.invalidate(key, Strength::Hard));
    invalidated(stage, key, &[], told, |seen| seen.record.is_none())
}

fn soften(stage: &Stage, key: &FarKey, fault: Fault) -> Told {
    stage.stored(key, RECORD);
    let told = stage.ask(fault, |face| face.invalidate(key, Strength::Soft));
    invalidated(stage, key, &[], told, |seen| seen.marked_stale && seen.record.as_deref() == Some(RECORD))
}

fn bump(stage: &Stage, key: &FarKey, fault: Fault) -> Told {
    let scopes = [FarKey::new("faults:@bumped").unwrap()];
    stage.stored(key, RECORD);
    let before: Generations = stage.direct.read_in(key, &scopes).unwrap().generations;
    let told = stage.ask(fault, |face| face.bump(&scopes[0]));
    invalidated(stage, key, &scopes, told, |seen| seen.generations != before)
}

fn get_many(stage: &Stage, key: &FarKey, fault: Fault) -> Told {
    let keys = ["one", "none", "two"].map(|name| format!("{}:{name}", key.as_str()));
    let values = [Some("1".repeat(40)), None, Some("END\r\n".to_owned())];
    let client = Client::over(stage.direct.far().clone());
    for (key, value) in keys.iter().zip(&values) {
        value.iter().for_each(|value| client.set(key, value, Duration::from_secs(60)).wait().unwrap());
    }
    let text = |item: Option<Item>| item.map(|item| String::from_utf8(item.value).unwrap());
    let texts = |found: Vec<Result<Option<Item>>>| found.into_iter().map(|item| item.map(text)).collect();
    let is_end = fault == Fault::Unasked(END.to_vec());
    let (found, took) = stage.ask(fault, |face| face.get_many(&keys));
    let found: Result<Vec<_>> = texts(found);
    // The replies to a classic `get` have no numbers: an end that comes too early is an end. It makes misses, and no more.
    let is_missed = is_end && found.as_ref().is_ok_and(|found| found.iter().all(Option::is_none));
    let (outcome, took) = told((found, took), |found| assert!(is_missed || found == values, "{found:?}"));
    assert_eq!(until_answered("get_many", || texts(stage.face.get_many(&keys))), values);
    (if is_missed { Outcome::Failed } else { outcome }, took)
}

fn fill_in_parts(stage: &Stage, key: &FarKey, fault: Fault) -> Told {
    let record = vec![b'p'; 530_000];
    let token = stage.claimed(key);
    let (filled, took) = stage.ask(fault, |face| face.fill(key, token, &record));
    let outcome = match filled.map(|filled| filled.outcome) {
        Ok(FillOutcome::Stored(_)) => {
            assert!(stage.seen(key).record.is_some_and(|found| found == record));
            Outcome::Right
        }
        // No byte of the reply to the manifest came, and it was sent again: the first one stands in its way.
        Ok(FillOutcome::Superseded) | Err(_) => Outcome::Failed,
        Ok(other) => panic!("{other:?}"),
    };
    // Where the manifest is there and its reply is not, its parts are taken back, and what is left is dead.
    let seen = healed(&stage.face, key, "fill_in_parts").record;
    assert!(seen.is_none_or(|found| found == record || found[0] == record::SPLIT), "something else is there");
    (outcome, took)
}

fn withstand(face: fn(Memcached) -> Face) {
    let stage = Stage::new(IO_TIMEOUT, face);
    let plays: [(&str, Play); 7] = [
        ("take", take),
        ("hand_back", hand_back),
        ("validate", validate),
        ("invalidate", invalidate),
        ("soften", soften),
        ("bump", bump),
        ("get_many", get_many),
    ];
    for (name, play) in plays {
        stage.plays(name, play, (1, &others()));
    }
}

fn withstand_in_parts(face: fn(Memcached) -> Face) {
    let stage = Stage::new(Duration::from_millis(500), face);
    let others = [Fault::BlackHole, Fault::Unheard, Fault::Dribble, Fault::Unasked(b"EN\r\n".to_vec())];
    stage.plays("fill_in_parts", fill_in_parts, (11, &others));
}

/// The same question about another key was answered before, with a reply of the same form.
fn tells_late_replies_apart(face: fn(Memcached) -> Face) {
    let stage = Stage::new(IO_TIMEOUT, face);
    let [first, second] = ["first", "second"].map(key);
    drop([(&first, "1"), (&second, "2")].map(|(key, record)| stage.stored(key, record.as_bytes())));
    let plain = [[first.as_str().to_owned()], [second.as_str().to_owned()]];
    let questions: [&dyn Fn(usize) -> Result<String>; 3] = [
        &|n| stage.face.read([&first, &second][n]).map(|seen| format!("{seen:?}")),
        &|n| stage.face.validate([&first, &second][n]).map(|check| format!("{check:?}")),
        &|n| stage.face.get_many(&plain[n]).remove(0).map(|item| format!("{item:?}")),
    ];
    for (n, ask) in questions.iter().enumerate() {
        healed(&stage.face, &first, "late");
        ask(0).unwrap();
        let (answer, _) = stage.ask(Fault::Late, |_| ask(1));
        assert!(answer.is_err(), "question {n} is answered by another's reply: {answer:?}");
    }
}

#[test]
fn a_blocking_caller_takes_no_reply_to_the_same_question_about_another_key() {
    tells_late_replies_apart(Face::Waiting);
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_takes_no_reply_to_the_same_question_about_another_key() {
    tells_late_replies_apart(Face::awaiting);
}

#[test]
fn a_blocking_caller_is_told_the_truth_by_each_operation() {
    withstand(Face::Waiting);
}

#[test]
fn a_blocking_caller_fills_all_parts_or_is_told_that_it_failed() {
    withstand_in_parts(Face::Waiting);
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_is_told_the_truth_by_each_operation() {
    withstand(Face::awaiting);
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_fills_all_parts_or_is_told_that_it_failed() {
    withstand_in_parts(Face::awaiting);
}
