//! Records above the item limit of a real server: kept in parts, whole or not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cache_core::backend::{BytesBackend, Claim, Fill, FillOutcome, Lease, Read, Recall, Seen, Strength, Token};
use cache_core::clock::Clock;
use cache_core::key::FarKey;
use cache_core::record;
use cache_core::testkit::{Fault, Proxy};

use memcached_server::Server;

use super::{config, region};
use crate::{Config, Memcached};

/// More time than the other tests have: these move megabytes.
pub(super) fn client(server: &Server) -> Memcached {
    let config = Config { io_timeout: Duration::from_secs(10), ..config(&[server.port()]) };
    Memcached::of_another_process(config, Clock::System).unwrap()
}

pub(super) fn key() -> FarKey {
    FarKey::new("parts:ns:k").unwrap()
}

pub(super) fn read(client: &Memcached) -> Seen {
    let (keys, scopes, lease) = ([key()], [region()], Lease::Claim(Duration::from_secs(30)));
    let read = Read { keys: &keys, scopes: &scopes, lease, grace: Duration::ZERO, recall: Recall::Never };
    BytesBackend::read(client, &read).remove(0).unwrap()
}

pub(super) fn fill(client: &Memcached, record: &[u8], token: Token) -> FillOutcome {
    let (key, keep) = (key(), Some(Duration::from_secs(60)));
    let fill = Fill { key: &key, record, token, keep, grace: Duration::ZERO };
    BytesBackend::fill(client, &[fill], &[region()]).remove(0).unwrap().outcome
}

/// So many bytes, none like its neighbours, that tell `n` everywhere.
pub(super) fn record(n: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| n.wrapping_add((at % 251) as u8)).collect()
}

pub(super) fn items(server: &Server) -> u64 {
    let stats = server.say("stats\r\n");
    let line = stats.lines().find_map(|line| line.strip_prefix("STAT curr_items ")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn twenty_megabytes_written_by_one_are_read_by_another() {
    let server = Server::start(&["-m", "256"]);
    let (one, other) = (client(&server), client(&server));
    let large = record(1, 20 << 20);
    let token = read(&one).token.unwrap();
    let FillOutcome::Stored(Some(token)) = fill(&one, &large, token) else { panic!("it is not stored") };
    let seen = read(&other);
    assert!(seen.record == Some(large.clone()) && seen.claim == Claim::Nobody && seen.token == Some(token));
    let keys = [key()];
    let check = BytesBackend::validate(&other, &keys, &[]).remove(0).unwrap();
    assert_eq!(check.token, Some(token), "it is validated without its value");
    drop(BytesBackend::invalidate(&one, &keys, Strength::Hard, &region()));
    assert_eq!(read(&other).record, None);
}

#[test]
fn a_small_limit_of_the_server_is_respected() {
    let server = Server::start(&["-I", "512k"]);
    let client = client(&server);
    let large = record(1, 600_000);
    let token = read(&client).token.unwrap();
    assert!(matches!(fill(&client, &large, token), FillOutcome::Stored(_)));
    assert_eq!(read(&client).record, Some(large));
    assert!(server.say("stats\r\n").contains("STAT store_too_large 0\r\n"), "nothing was sent to be refused");
}

#[test]
fn a_fill_that_comes_too_late_leaves_nothing_behind() {
    let server = Server::start(&["-m", "256"]);
    let client = client(&server);
    let token = read(&client).token.unwrap();
    drop(BytesBackend::invalidate(&client, &[key()], Strength::Hard, &region()));
    let before = items(&server);
    assert_eq!(fill(&client, &record(1, 5 << 20), token), FillOutcome::Superseded);
    assert_eq!(items(&server), before);
}

/// The keys of all parts that the server has.
fn parts(server: &Server) -> Vec<String> {
    let begin = format!("{}:", key().as_str());
    server.keys().into_iter().filter(|found| found.starts_with(&begin)).collect()
}

/// How many seconds an item has; none if it lives for ever.
fn left(server: &Server, key: &str) -> Option<u64> {
    let said = server.say(&format!("mg {key} t\r\n"));
    let left = said.trim().strip_prefix("HD t").unwrap_or_else(|| panic!("{key}: {said}"));
    left.parse().ok()
}

#[test]
fn parts_outlive_their_manifest_a_little_and_never_live_for_ever() {
    let server = Server::start(&["-m", "256"]);
    let client = client(&server);
    let (key, large) = (key(), record(1, 3 << 20));
    for keep in [Some(100), Some(1), None] {
        drop(BytesBackend::invalidate(&client, std::slice::from_ref(&key), Strength::Hard, &region()));
        server.say("flush_all\r\n");
        let token = read(&client).token.unwrap();
        let keep = keep.map(Duration::from_secs);
        let fill = Fill { key: &key, record: &large, token, keep, grace: Duration::ZERO };
        let filled = BytesBackend::fill(&client, &[fill], &[region()]).remove(0).unwrap();
        assert!(matches!(filled.outcome, FillOutcome::Stored(_)), "{filled:?}");
        let parts = parts(&server);
        assert_eq!(parts.len(), 7, "{parts:?}");
        for part in &parts {
            let left = left(&server, part).unwrap_or_else(|| panic!("{part} lives for ever, kept for {keep:?}"));
            // What memcached takes for a time to live at all; and a minute more than the manifest has.
            let most = keep.map_or(30 * 24 * 60 * 60, |keep| keep.as_secs() + 60);
            assert!(left <= most && left + 20 > most, "{part}: {left} s, kept for {keep:?}");
        }
        if keep > Some(Duration::from_secs(10)) {
            let of_manifest = left(&server, key.as_str()).unwrap();
            assert!((80..=100).contains(&of_manifest), "{of_manifest}");
        }
    }
}

/// The key is invalidated when all parts are there and the manifest is not: this is what the server has then.
fn invalidated_in_between(server: &Server, before: u64, parts: u64) {
    assert_eq!(items(server), before + parts, "the parts are there");
    server.say(&format!("md {}\r\n", key().as_str()));
    assert_eq!(items(server), before - 1 + parts, "the mark of the claim is gone");
}

#[test]
fn a_fill_whose_manifest_is_refused_takes_its_parts_back() {
    let server = Server::start(&["-m", "256"]);
    let proxy = Proxy::before(("127.0.0.1", server.port())).unwrap();
    let config = Config { io_timeout: Duration::from_secs(20), ..config(&[proxy.port()]) };
    let client = Memcached::of_another_process(config, Clock::System).unwrap();
    let (token, large) = (read(&client).token.unwrap(), record(1, 3 << 20));
    let before = items(&server);
    let until = Instant::now() + Duration::from_secs(20);
    proxy.set(Fault::Hold);
    let outcome = thread::scope(|scope| {
        let filling = scope.spawn(|| fill(&client, &large, token));
        loop {
            while proxy.held() == 0 {
                assert!(Instant::now() < until, "it waits for a reply");
                thread::sleep(Duration::from_millis(1));
            }
            if items(&server) == before + 7 {
                break;
            }
            // To what goes before the last part: it gets this one.
            proxy.set(Fault::Hold);
        }
        invalidated_in_between(&server, before, 7);
        proxy.set(Fault::None);
        filling.join().unwrap()
    });
    assert_eq!(outcome, FillOutcome::Superseded);
    assert_eq!((items(&server), parts(&server)), (before - 1, Vec::new()), "no orphan stays");
}

#[test]
fn a_part_that_is_missing_or_anothers_makes_a_dead_record() {
    let server = Server::start(&["-m", "256"]);
    let client = client(&server);
    for (n, change) in ["md {}\r\nmn\r\n", "ms {} 3\r\nxyz\r\nmn\r\n"].into_iter().enumerate() {
        let large = record(n as u8, 3 << 20);
        let token = read(&client).token.unwrap();
        assert!(matches!(fill(&client, &large, token), FillOutcome::Stored(_)));
        let part = parts(&server).into_iter().find(|key| key.ends_with(":2")).unwrap();
        server.say(&change.replace("{}", &part));
        let seen = read(&client);
        assert_eq!(seen.record.as_ref().map(|record| record[0]), Some(record::SPLIT), "what no reader accepts");
        assert!(seen.token.is_some(), "and can be taken over");
        drop(BytesBackend::invalidate(&client, &[key()], Strength::Hard, &region()));
    }
}

#[test]
fn a_record_that_is_overwritten_while_it_is_read_is_the_old_or_the_new_one() {
    let server = Server::start(&["-m", "512"]);
    let (writer, reader) = (client(&server), client(&server));
    let records = [record(1, 3 << 20), record(2, 100), record(3, 2 << 20)];
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..60 {
                // As a loader that found the record dead would: without an invalidation in between.
                let seen = read(&writer);
                let _ = fill(&writer, &records[n % 3], seen.token.unwrap());
            }
            ended.store(true, Ordering::Relaxed);
        });
        let (mut whole, mut torn) = (0, 0);
        while !ended.load(Ordering::Relaxed) {
            match read(&reader).record {
                Some(found) if records.contains(&found) => whole += 1,
                Some(found) if found[0] == record::SPLIT => torn += 1,
                Some(other) => panic!("{} bytes that nobody wrote", other.len()),
                None => {}
            }
        }
        assert!(whole > 10, "{whole} whole and {torn} torn");
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_whose_manifest_is_refused_takes_its_parts_back() {
    use cache_core::backend::AsyncBytesBackend;

    let server = Server::start(&["-m", "256"]);
    let client = client(&server);
    let (token, large) = (read(&client).token.unwrap(), record(1, 3 << 20));
    let (key, keep) = (key(), Some(Duration::from_secs(60)));
    let before = items(&server);
    let fills = [Fill { key: &key, record: &large, token, keep, grace: Duration::ZERO }];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut filling, mut is_done) = (AsyncBytesBackend::fill(&client, &fills, &[]), false);
    let filled = runtime.block_on(std::future::poll_fn(|cx| {
        // It is polled again when the replies to its parts have come, and sends the manifest then.
        if !is_done && items(&server) == before + 7 {
            invalidated_in_between(&server, before, 7);
            is_done = true;
        }
        filling.as_mut().poll(cx)
    }));
    assert!(is_done && filled[0].as_ref().unwrap().outcome == FillOutcome::Superseded, "{filled:?}");
    assert_eq!((items(&server), parts(&server)), (before - 1, Vec::new()), "no orphan stays");
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_write_and_read_parts_as_threads_do() {
    use cache_core::backend::AsyncBytesBackend;

    let server = Server::start(&["-m", "256"]);
    let client = client(&server);
    let large = record(1, 20 << 20);
    let (key, keep) = (key(), Some(Duration::from_secs(60)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let token = read(&client).token.unwrap();
        let fill = Fill { key: &key, record: &large, token, keep, grace: Duration::ZERO };
        let filled = AsyncBytesBackend::fill(&client, &[fill], &[]).await.remove(0).unwrap();
        assert!(matches!(filled.outcome, FillOutcome::Stored(_)), "{filled:?}");
        let keys = [key.clone()];
        let lookup =
            Read { keys: &keys, scopes: &[], lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never };
        let seen = AsyncBytesBackend::read(&client, &lookup).await.remove(0).unwrap();
        assert!(seen.record == Some(large.clone()));
        drop(AsyncBytesBackend::invalidate(&client, &keys, Strength::Hard, &region()).await);
        let before = items(&server);
        let late = AsyncBytesBackend::fill(&client, &[fill], &[]).await.remove(0).unwrap();
        assert_eq!((late.outcome, items(&server)), (FillOutcome::Superseded, before));
    });
    assert!(read(&client).record.is_none());
}
