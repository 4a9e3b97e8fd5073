//! What a caller is told of a request that was sent in vain: the node may have done it.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_core::backend::Claim;
use cache_core::clock::Clock;
use cache_core::error::Kind;

use super::face::Face;
use super::faults::key;
use super::troubles::{INTRODUCTION, question, served};
use super::{config, region};
use crate::{Config, Memcached};

/// What becomes of a connection: how each of its requests is answered, and then it ends. `#` is the number of a request.
type Life = &'static [&'static str];

/// It ends before it is introduced.
const REFUSED: Life = &[];
/// It ends with this request.
const CUT: &str = "";

/// The mark of a claim: the caller's own, and somebody else's.
const WON: &str = "VA 0 # c7 t31 s0 f0 W\r\n\r\n";
const ELSEWHERE: &str = "VA 0 # c7 t31 s0 f0 Z\r\n\r\n";
const WON_WITHOUT_GENERATION: &str = "VA 0 # c7 t31 s0 f0 W\r\n\r\nEN\r\n";

/// Either face of a client, in front of a server whose connections go like this, one after the other.
fn faces(lives: &'static [Life]) -> Vec<Face> {
    let backend = || {
        let made = AtomicUsize::new(0);
        let port = served(move |mut stream| {
            let life = lives.get(made.fetch_add(1, Ordering::Relaxed)).copied().unwrap_or(REFUSED);
            if life.is_empty() {
                return;
            }
            question(&mut stream);
            stream.write_all(INTRODUCTION).unwrap();
            for answer in life {
                let request = question(&mut stream);
                if *answer == CUT {
                    return;
                }
                let numbers = request.split_ascii_whitespace().filter(|token| token.starts_with('O'));
                let answer = numbers.fold((*answer).to_owned(), |answer, number| answer.replacen('#', number, 1));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let patience = Duration::from_secs(10);
        let config = Config { io_timeout: patience, connect_timeout: patience, ..config(&[port]) };
        Memcached::of_another_process(config, Clock::System).unwrap()
    };
    vec![
        Face::Waiting(backend()),
        #[cfg(feature = "tokio")]
        Face::awaiting(backend()),
    ]
}

#[test]
fn an_error_tells_whether_anything_was_sent() {
    let cases: [(&str, &[Life], Kind); 3] = [
        ("no connection came about", &[REFUSED], Kind::Backend),
        ("it died with the request", &[&[CUT], &[CUT]], Kind::Unanswered),
        ("it was answered, but not all of it", &[&[WON_WITHOUT_GENERATION, CUT], REFUSED], Kind::Unanswered),
    ];
    for (what, lives, kind) in cases {
        for face in faces(lives) {
            let error = face.read_in(&key("sent"), &[region()]).expect_err(what);
            assert_eq!(error.kind(), kind, "{what}: {error}");
        }
    }
    for face in faces(&[&[WON, CUT], REFUSED]) {
        face.read_in(&key("first"), &[]).unwrap();
        let error = face.read_in(&key("sent"), &[]).expect_err("it died with the request, and no other came about");
        assert_eq!(error.kind(), Kind::Unanswered, "{error}");
    }
}

#[test]
fn an_answer_tells_whether_the_request_was_sent_before() {
    let cases: [(&[Life], Claim, bool); 3] = [
        (&[&[WON, ELSEWHERE]], Claim::Elsewhere, false),
        (&[&[WON, CUT], &[ELSEWHERE]], Claim::Elsewhere, true),
        (&[&[WON, CUT], &[WON]], Claim::Won, true),
    ];
    for (lives, claim, repeated) in cases {
        for face in faces(lives) {
            let first = face.read_in(&key("first"), &[]).unwrap();
            assert!(!first.repeated);
            let seen = face.read_in(&key("sent"), &[]).unwrap();
            assert_eq!((seen.claim, seen.repeated), (claim, repeated));
        }
    }
}

/// A stale record gives a claim to who only validates it, and that goes back.
#[test]
fn a_claim_that_came_by_accident_and_did_not_go_back_is_told() {
    const STALE: &str = "HD # c7 t31 s5 f0 W\r\nVA 8 #\r\n12345678\r\n";
    let cases: [(&[Life], Option<Kind>); 4] = [
        (&[&[STALE, "HD #\r\n"]], None),
        (&[&[STALE, "NF #\r\n"]], None),
        (&[&[STALE, "SERVER_ERROR out of memory\r\n"]], Some(Kind::Unanswered)),
        (&[&[STALE, CUT], REFUSED], Some(Kind::Unanswered)),
    ];
    for (lives, kind) in cases {
        for face in faces(lives) {
            assert_eq!(face.validate(&key("sent")).err().map(|error| error.kind()), kind);
        }
    }
}
