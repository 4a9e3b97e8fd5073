//! What the simulated clients send, and what becomes of it when the network misbehaves.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::task::{Context, Waker};
use std::time::Duration;

use super::*;
use crate::backend::{
    AsyncBytesBackend, BytesBackend, Claim, Fill, FillOutcome, HandBack, Invalidated, Kept, Lease, Read, Recall, Seen,
    Strength, Take, Token,
};
use crate::clock::ManualClock;
use crate::error::Result;
use crate::generation::Generations;
use crate::key::FarKey;
use crate::testkit::block_on;
use crate::testkit::meta::{Command, Room, ServerSettings};

fn key(name: &str) -> FarKey {
    FarKey::new(name).unwrap()
}

fn nodes(count: usize) -> SimNodes {
    SimNodes::new(7, ManualClock::new(), count, ServerSettings::default())
}

fn one_client() -> SimFar {
    nodes(1).client(Faults::none())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn try_read(far: &SimFar, key: &FarKey, scopes: &[FarKey], recall: Recall) -> Result<Seen> {
    let keys = std::slice::from_ref(key);
    let read = Read { keys, scopes, lease: Lease::Claim(seconds(30)), grace: seconds(10), recall };
    BytesBackend::read(far, &read).remove(0)
}

fn read(far: &SimFar, key: &FarKey) -> Seen {
    try_read(far, key, &[key_scope()], Recall::Never).unwrap()
}

fn key_scope() -> FarKey {
    key("scope")
}

fn fill(far: &SimFar, key: &FarKey, record: &[u8], token: Token) -> Result<FillOutcome> {
    let fill = Fill { key, record, token, keep: Some(seconds(60)), grace: seconds(20) };
    Ok(BytesBackend::fill(far, &[fill], &[key_scope()]).remove(0)?.outcome)
}

fn invalidate(far: &SimFar, key: &FarKey) -> Invalidated {
    BytesBackend::invalidate(far, std::slice::from_ref(key), Strength::Hard, &key_scope()).remove(0)
}

/// The commands since the trace began, as they would stand on the wire.
fn wire(nodes: &SimNodes) -> Vec<String> {
    let number = |flag: &str, number: Option<u64>| number.map(|n| format!(" {flag}{n}")).unwrap_or_default();
    let text = |command: &Command| match command {
        Command::Get(get) => {
            let (n, r) = (number("N", get.vivify.map(u64::from)), number("R", get.recache.map(u64::from)));
            format!("mg {}{n}{r} {}", get.key.as_str(), get.flags)
        }
        Command::Set(set) => {
            let (c, t) = (number("C", set.cas), number("T", set.ttl.map(u64::from)));
            format!("ms {} {:?}{c}{t} F{}", set.key.as_str(), set.mode, set.client_flags)
        }
        Command::Delete(delete) => {
            let (c, t) = (number("C", delete.cas), number("T", delete.ttl.map(u64::from)));
            format!("md {}{c}{t} {}", delete.key.as_str(), delete.flags).trim_end().to_owned()
        }
        other => format!("{other:?}"),
    };
    nodes.traced().iter().map(|executed| text(&executed.command)).collect()
}

#[test]
fn each_operation_sends_the_commands_that_its_rule_names() {
    let far = one_client();
    let (nodes, k) = (far.nodes().clone(), key("k"));
    nodes.trace();
    let seen = read(&far, &k);
    // The generation was missing: it is made at random, and the item read again with it in one request.
    let first = ["mg k N31 R10 vcfts", "mg scope v"];
    assert_eq!(wire(&nodes), [&first[..], &["ms scope Add F0"], &first[..]].concat());
    assert_eq!((seen.claim, seen.token), (Claim::Won, Some(Token(1))), "won by the first of the two reads");

    nodes.trace();
    assert_eq!(fill(&far, &k, b"x", Token(1)).unwrap(), FillOutcome::Stored(Some(Token(3))));
    assert_eq!(wire(&nodes), ["ms k Set C1 T60 F20", "mg scope v"]);

    nodes.trace();
    let take = |kept| BytesBackend::take(&far, &[Take { key: &k, token: Token(3), kept, lease: seconds(5) }], &[]);
    assert_eq!(take(Kept::Dead)[0].as_ref().unwrap().claim, Claim::Won);
    drop(take(Kept::Stale));
    assert_eq!(wire(&nodes), ["md k C3 T6 I", "mg k N6 vcfts", "md k C3 I", "mg k N6 vcfts"]);

    nodes.trace();
    for kept in [Kept::Stub, Kept::Stale, Kept::Dead] {
        drop(BytesBackend::hand_back(&far, &[HandBack { key: &k, token: Token(1), kept }], &[]));
    }
    assert_eq!(wire(&nodes), ["md k C1", "md k C1 I", "md k C1"]);

    nodes.trace();
    drop(BytesBackend::invalidate(&far, std::slice::from_ref(&k), Strength::Soft, &key_scope()));
    drop(BytesBackend::validate(&far, std::slice::from_ref(&k), &[]));
    drop(BytesBackend::invalidate(&far, std::slice::from_ref(&k), Strength::Hard, &key_scope()));
    // The validation won the stale item's token by accident, and hands it back.
    assert_eq!(wire(&nodes), ["md k I", "mg k cts", "md k C5 I", "md k"]);

    nodes.trace();
    drop(BytesBackend::bump(&far, &[key_scope()], &key_scope()));
    assert_eq!(wire(&nodes), ["ms scope Set F0"]);
}

#[test]
fn times_below_a_second_are_sent_as_one_and_times_above_thirty_days_not_at_all() {
    let far = one_client();
    let k = key("k");
    let token = read(&far, &k).token.unwrap();
    let kept = |keep| Fill { key: &k, record: b"x", token, keep, grace: Duration::ZERO };
    let too_long = BytesBackend::fill(&far, &[kept(Some(seconds(2_592_001)))], &[]).remove(0);
    assert!(!too_long.unwrap_err().may_retry());
    far.nodes().trace();
    drop(BytesBackend::fill(&far, &[kept(Some(Duration::from_millis(300)))], &[]));
    drop(BytesBackend::fill(&far, &[kept(None)], &[]));
    assert_eq!(wire(far.nodes()), ["ms k Set C1 T1 F0", "ms k Set C1 T0 F0"]);
    let empty = Fill { record: b"", ..kept(None) };
    assert!(BytesBackend::fill(&far, &[empty], &[]).remove(0).is_err(), "it would read as the mark of a claim");
}

#[test]
fn a_lost_request_is_not_executed_and_a_lost_reply_is() {
    let far = one_client();
    let k = key("k");
    let token = read(&far, &k).token.unwrap();
    far.order(Fate::LoseRequest);
    assert!(fill(&far, &k, b"lost", token).is_err());
    assert!(read(&far, &k).record.is_none());
    far.order(Fate::LoseReply);
    assert!(fill(&far, &k, b"kept", token).is_err());
    assert_eq!(read(&far, &k).record.as_deref(), Some(&b"kept"[..]));
}

#[test]
fn a_late_fill_is_executed_after_its_client_gave_up_and_still_passes_its_fence_or_not() {
    for invalidated in [false, true] {
        let far = one_client();
        let (other, k) = (far.client(), key("k"));
        let token = read(&far, &k).token.unwrap();
        far.order(Fate::Late(seconds(2)));
        assert!(fill(&far, &k, b"late", token).is_err());
        assert!(read(&other, &k).record.is_none(), "not yet");
        if invalidated {
            assert!(matches!(invalidate(&other, &k), Invalidated::Done));
        }
        far.nodes().clock().advance(seconds(3));
        assert_eq!(read(&other, &k).record.is_some(), !invalidated, "invalidated: {invalidated}");
    }
}

#[test]
fn an_invalidation_without_a_reply_is_pending_and_goes_before_the_next_read_of_its_key() {
    for fate in [Fate::LoseRequest, Fate::LoseReply, Fate::Late(seconds(1))] {
        let far = one_client();
        let (k, other) = (key("k"), key("other"));
        for key in [&k, &other] {
            let token = read(&far, key).token.unwrap();
            fill(&far, key, b"x", token).unwrap();
        }
        far.order(fate);
        assert!(matches!(invalidate(&far, &k), Invalidated::Pending(_)), "{fate:?}");
        assert_eq!(far.pending(), 1);
        assert!(read(&far, &other).record.is_some());
        assert_eq!(far.pending(), 1, "a read of another key does not carry it");
        far.nodes().trace();
        assert!(read(&far, &k).record.is_none(), "{fate:?}");
        assert_eq!(wire(far.nodes())[0], "md k");
        assert_eq!((far.pending(), far.replay()), (0, 0));
    }
}

#[test]
fn a_failed_replay_keeps_the_invalidation_pending_and_the_read_fails_with_it() {
    let far = one_client();
    let k = key("k");
    let token = read(&far, &k).token.unwrap();
    fill(&far, &k, b"x", token).unwrap();
    far.nodes().down(0);
    assert!(matches!(invalidate(&far, &k), Invalidated::Pending(_)));
    assert_eq!(far.replay(), 1);
    far.nodes().up(0);
    far.order(Fate::LoseRequest);
    assert!(try_read(&far, &k, &[], Recall::Never).is_err());
    assert_eq!((far.pending(), far.replay()), (1, 0));
    assert!(read(&far.client(), &k).record.is_none(), "replayed without a read");
}

#[test]
fn a_dropped_invalidation_is_pending_at_whatever_point_it_is_dropped() {
    for polls in 0..3 {
        let far = one_client();
        far.set_faults(Faults { request_delay: seconds(0)..=Duration::from_millis(9), ..Faults::none() });
        let k = key("k");
        let keys = [k.clone()];
        let region = key_scope();
        let mut future = AsyncBytesBackend::invalidate(&far, &keys, Strength::Hard, &region);
        for _ in 0..polls {
            assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        drop(future);
        assert_eq!(far.pending(), 1, "dropped after {polls} polls");
    }
}

#[test]
fn a_stopped_node_executes_later_what_was_sent_and_a_restarted_one_does_not() {
    for restarted in [false, true] {
        let far = one_client();
        let k = key("k");
        let token = read(&far, &k).token.unwrap();
        fill(&far, &k, b"x", token).unwrap();
        far.nodes().stop(0);
        assert!(matches!(invalidate(&far, &k), Invalidated::Pending(_)));
        if restarted {
            far.nodes().restart(0);
            far.nodes().trace();
        } else {
            far.nodes().trace();
            far.nodes().up(0);
            assert_eq!(wire(far.nodes()), ["md k"], "sent while the node stood still");
        }
        assert!(read(&far.client(), &k).record.is_none());
        assert_eq!(wire(far.nodes()).iter().filter(|command| *command == "md k").count(), usize::from(!restarted));
    }
}

#[test]
fn a_future_waits_for_a_stopped_node_until_its_timeout_and_no_longer() {
    let nodes = nodes(1);
    let far = nodes.client(Faults { io_timeout: Duration::from_millis(300), ..Faults::none() });
    let clock = nodes.clock().clone();
    nodes.stop(0);
    let (k, start) = (key("k"), clock.now());
    let keys = [k];
    let read = Read { keys: &keys, scopes: &[], lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never };
    assert!(block_on(&clock, AsyncBytesBackend::read(&far, &read)).unwrap()[0].is_err());
    assert_eq!(clock.now().since(start), Duration::from_millis(300));
    // Going on within the timeout, it answers.
    let mut future = AsyncBytesBackend::read(&far, &read);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.advance(Duration::from_millis(100));
    nodes.up(0);
    let seen = block_on(&clock, future).unwrap().remove(0).unwrap();
    assert_eq!(seen.proved, start.after(Duration::from_millis(300)), "dated at sending, not at the reply");
}

#[test]
fn a_node_that_is_down_or_cut_off_fails_its_keys_at_once_and_no_others() {
    let nodes = nodes(3);
    let (far, other) = (nodes.client(Faults::none()), nodes.client(Faults::none()));
    let keys: Vec<FarKey> = (0..30).map(|n| key(&format!("k{n}"))).collect();
    let answers = |far: &SimFar| -> Vec<bool> {
        let (lease, grace, recall) = (Lease::None, Duration::ZERO, Recall::Never);
        let read = Read { keys: &keys, scopes: &[key_scope()], lease, grace, recall };
        BytesBackend::read(far, &read).iter().map(Result::is_ok).collect()
    };
    let expected: Vec<bool> = keys.iter().map(|key| nodes.owner(key) != 1).collect();
    assert!(expected.contains(&false) && expected.contains(&true));
    far.cut(1);
    assert_eq!((answers(&far), answers(&other)), (expected.clone(), vec![true; 30]), "only this process");
    far.mend(1);
    nodes.down(1);
    assert_eq!((answers(&far), answers(&other)), (expected.clone(), expected));
    nodes.up(1);
    assert_eq!(answers(&far), vec![true; 30]);
}

#[test]
fn remembered_generations_are_dated_at_asking_and_forgotten_by_a_bump() {
    let far = one_client();
    let (clock, k, scopes) = (far.nodes().clock().clone(), key("k"), [key_scope()]);
    far.remember_for(seconds(5));
    let asked_at = clock.now();
    let first = try_read(&far, &k, &scopes, Recall::Allowed).unwrap();
    assert!(!first.remembered);
    clock.advance(seconds(5));
    far.nodes().trace();
    let second = try_read(&far, &k, &scopes, Recall::Allowed).unwrap();
    assert!(second.remembered && second.generations == first.generations && second.proved == asked_at);
    assert_eq!(wire(far.nodes()), ["mg k N31 R10 vcfts"], "one command, nothing asked");
    clock.advance(seconds(1));
    let third = try_read(&far, &k, &scopes, Recall::Allowed).unwrap();
    assert!(!third.remembered && third.proved == clock.now(), "too old to be remembered");
    clock.advance(seconds(1));
    far.order(Fate::LoseReply);
    assert!(matches!(BytesBackend::bump(&far, &scopes, &scopes[0])[..], [Invalidated::Pending(_)]));
    let fourth = try_read(&far, &k, &scopes, Recall::Allowed).unwrap();
    assert!(!fourth.remembered && fourth.generations != first.generations, "forgotten although its reply was lost");
}

#[test]
fn what_was_asked_before_a_bump_is_not_remembered_after_it() {
    let nodes = nodes(1);
    let delay = Duration::from_millis(40);
    let far = nodes.client(Faults { reply_delay: delay..=delay, ..Faults::none() });
    far.remember_for(seconds(60));
    let (clock, keys, scopes) = (nodes.clock().clone(), [key("k")], [key_scope()]);
    let (lease, grace, recall) = (Lease::None, Duration::ZERO, Recall::Allowed);
    let read = Read { keys: &keys, scopes: &scopes, lease, grace, recall };
    let asked_at = clock.now();
    let first = block_on(&clock, AsyncBytesBackend::read(&far, &read)).unwrap().remove(0).unwrap();
    let again = block_on(&clock, AsyncBytesBackend::read(&far, &read)).unwrap().remove(0).unwrap();
    assert!(clock.now() > asked_at && again.remembered);
    assert_eq!(again.proved, asked_at, "dated at sending, not at the reply");

    // Asked again after the first is too old, and answered before the bump; the reply arrives after it.
    clock.advance(seconds(61));
    let mut late = AsyncBytesBackend::read(&far, &read);
    assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    nodes.server(0);
    assert!(matches!(BytesBackend::bump(&far, &scopes, &scopes[0])[..], [Invalidated::Done]));
    let late = block_on(&clock, late).unwrap().remove(0).unwrap();
    assert_eq!(late.generations, first.generations, "read before the bump");
    let after = try_read(&far, &keys[0], &scopes, Recall::Allowed).unwrap();
    assert!(!after.remembered && after.generations != first.generations);
}

#[test]
fn a_future_that_gave_up_may_have_its_request_executed_later() {
    let far = one_client();
    let (clock, keys) = (far.nodes().clock().clone(), [key("k")]);
    let token = read(&far, &keys[0]).token.unwrap();
    far.order(Fate::Late(seconds(2)));
    let fill = [Fill { key: &keys[0], record: b"x", token, keep: None, grace: Duration::ZERO }];
    let start = clock.now();
    assert!(block_on(&clock, AsyncBytesBackend::fill(&far, &fill, &[])).unwrap()[0].is_err());
    assert_eq!(clock.now().since(start), Faults::none().io_timeout);
    clock.advance(Duration::from_millis(1999));
    assert!(read(&far, &keys[0]).record.is_none(), "not yet");
    clock.advance(Duration::from_millis(1));
    assert!(read(&far, &keys[0]).record.is_some());
}

#[test]
fn a_node_that_goes_down_loses_what_is_under_way_to_it_and_nothing_else() {
    let nodes = nodes(2);
    let delay = Duration::from_millis(40);
    let far = nodes.client(Faults { request_delay: delay..=delay, ..Faults::none() });
    let keys: Vec<FarKey> = (0..20).map(|n| key(&format!("k{n}"))).collect();
    let read = Read { keys: &keys, scopes: &[], lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never };
    let mut future = AsyncBytesBackend::read(&far, &read);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    nodes.down(0);
    nodes.up(0);
    let answers = block_on(nodes.clock(), future).unwrap();
    assert!(keys.iter().zip(answers).all(|(key, answer)| answer.is_ok() == (nodes.owner(key) == 1)));
}

#[test]
fn no_connection_outlives_the_life_of_its_server() {
    let nodes = nodes(1);
    let delay = Duration::from_millis(40);
    let far = nodes.client(Faults { request_delay: delay..=delay, ..Faults::none() });
    let keys = [key("k")];
    let read = Read { keys: &keys, scopes: &[], lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never };
    for restart in [|nodes: &SimNodes| nodes.server(0).restart(), |nodes: &SimNodes| nodes.restart(0)] {
        let mut future = AsyncBytesBackend::read(&far, &read);
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        restart(&nodes);
        assert!(block_on(nodes.clock(), future).unwrap()[0].is_err());
        assert!(block_on(nodes.clock(), AsyncBytesBackend::read(&far, &read)).unwrap()[0].is_ok());
    }
}

#[test]
fn a_token_and_its_generations_come_from_one_life_of_the_server() {
    // The generation is missing, so a second request is needed; the server restarts between the two.
    let nodes = nodes(1);
    let far = nodes.client(Faults { reply_delay: seconds(0)..=Duration::from_millis(40), ..Faults::none() });
    let (clock, keys, scopes) = (nodes.clock().clone(), [key("k")], [key_scope()]);
    let (lease, grace, recall) = (Lease::Claim(seconds(30)), Duration::ZERO, Recall::Never);
    let read = Read { keys: &keys, scopes: &scopes, lease, grace, recall };
    let mut future = AsyncBytesBackend::read(&far, &read);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    nodes.server(0);
    nodes.restart(0);
    let other = nodes.client(Faults::none());
    // Another process claims the key in the new life, under the same CAS number.
    let theirs = try_read(&other, &keys[0], &[], Recall::Never).unwrap();
    assert_eq!(theirs.token, Some(Token(1)));
    let seen = block_on(&clock, future).unwrap().remove(0).unwrap();
    let now = try_read(&other, &keys[0], &scopes, Recall::Never).unwrap();
    assert_eq!((seen.token, &seen.generations), (now.token, &now.generations));
    assert_ne!(seen.generations, Generations::default());
}

#[test]
fn a_full_node_gives_no_claim_and_no_token() {
    let far = one_client();
    read(&far, &key("first"));
    far.nodes().server(0).set_room(Room::None);
    let seen = read(&far, &key("k"));
    assert_eq!((seen.claim, seen.token, seen.record), (Claim::Nobody, None, None));
    assert!(try_read(&far, &key("k"), &[key("new-scope")], Recall::Never).is_err(), "no generation, no answer");
}

#[test]
fn an_owner_is_the_same_for_every_process_and_every_node_owns_something() {
    let (one, two) = (nodes(3), nodes(3));
    let keys: Vec<FarKey> = (0..100).map(|n| key(&format!("k{n}"))).collect();
    assert!(keys.iter().all(|key| one.owner(key) == two.owner(key)));
    assert!((0..3).all(|node| keys.iter().any(|key| one.owner(key) == node)));
}
