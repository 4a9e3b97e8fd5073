//! Servers that are no memcached, or no longer: what the caller is told, and how long it takes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cache_core::backend::{
    BytesBackend, Claim, Fill, FillOutcome, HandBack, Invalidated, Kept, Lease, Read, Recall, Seen, Strength, Take,
    Token,
};
use cache_core::clock::Clock;
use cache_core::error::{Error, Result};
use cache_core::key::FarKey;
use cache_core::testkit::{Fault, Proxy};

use memcached_server::Server;

use super::{BESIDE, BLACKLIST, IO_TIMEOUT, brisk, client, config, region};
use crate::{Config, Memcached};

fn key() -> FarKey {
    FarKey::new("troubles:k").unwrap()
}

fn read(client: &Memcached) -> Result<Seen> {
    let lease = Lease::Claim(Duration::from_secs(30));
    let keys = [key()];
    let read = Read { keys: &keys, scopes: &[], lease, grace: Duration::ZERO, recall: Recall::Never };
    let began = Instant::now();
    let seen = BytesBackend::read(client, &read).remove(0);
    assert!(began.elapsed() < IO_TIMEOUT + BESIDE, "{:?}", began.elapsed());
    seen
}

/// A server that treats each of its connections like this, one after the other.
pub(super) fn served(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap())));
    port
}

/// Reads one line and, if it is the question, the second one.
pub(super) fn question(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 512];
    let count = stream.read(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

pub(super) const INTRODUCTION: &[u8] = b"VERSION 1.6.18\r\nSTAT item_size_max 1048576\r\nEND\r\n";

/// A memcached as far as its introduction, which answers the first request like this.
pub(super) fn introduced(answer: &'static [u8]) -> u16 {
    served(move |mut stream| {
        question(&mut stream);
        let _ = stream.write_all(INTRODUCTION);
        question(&mut stream);
        let _ = stream.write_all(answer);
    })
}

fn refusal(seen: Result<Seen>, words: &[&str]) -> Error {
    let error = seen.expect_err("no record can come from here");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{text}` should say `{word}`");
    }
    assert!(text.contains("node: 127.0.0.1:"), "`{text}` should name the node");
    error
}

#[test]
fn what_is_no_memcached_is_told_clearly_and_in_time() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    refusal(read(&client(nobody)), &["no connection could be made", "refused"]);
    let web = served(|mut stream| {
        question(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    refusal(read(&client(web)), &["not memcached's protocol", "HTTP/1.1 400 Bad Request"]);
    let kept = Mutex::new(Vec::new());
    let silent = served(move |stream| kept.lock().unwrap().push(stream));
    refusal(read(&client(silent)), &["did not answer within"]);
    let full = served(|mut stream| drop(stream.write_all(b"ERROR Too many open connections\r\n")));
    refusal(read(&client(full)), &["Too many open connections"]);
    let old = served(|mut stream| {
        question(&mut stream);
        let _ = stream.write_all(b"VERSION 1.6.9\r\nEND\r\n");
        question(&mut stream);
    });
    refusal(read(&client(old)), &["1.6.9 is too old", "1.6.10"]);
    let binary = Server::start_mute(&["-B", "binary"]);
    // It takes the question for the header of a request of its own protocol, a bad one.
    refusal(read(&client(binary.port())), &["closed the connection"]);
}

#[test]
fn before_1_6_13_nothing_is_deleted_by_a_fence_that_does_not_hold() {
    let (said, heard) = std::sync::mpsc::channel();
    let port = served(move |mut stream| {
        question(&mut stream);
        let _ = stream.write_all(b"VERSION 1.6.12\r\nEND\r\n");
        let mut bytes = [0; 512];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            said.send(String::from_utf8_lossy(&bytes[..count]).into_owned()).unwrap();
            let _ = stream.write_all(b"EN\r\n");
        }
    });
    let (client, key) = (client(port), key());
    let (token, lease) = (Token(7), Duration::from_secs(30));
    let returned = client.hand_back(&[HandBack { key: &key, token, kept: Kept::Stub }], &[]).remove(0).unwrap();
    assert!(!returned.held);
    assert!(heard.try_recv().is_err(), "nothing was sent");
    let take = Take { key: &key, token, kept: Kept::Dead, lease };
    let seen = BytesBackend::take(&client, &[take], &[]).remove(0).unwrap();
    assert_eq!(seen.claim, Claim::Nobody);
    let sent = heard.recv().unwrap();
    assert!(sent.starts_with("mg troubles:k N31"), "{sent}");
}

#[test]
fn a_reply_that_breaks_off_or_makes_no_sense_is_no_record() {
    for (answer, words) in [
        (b"VA 10 c1 O".as_slice(), "in the middle of a reply"),
        (b"", "closed the connection"),
        (b"VA 3 c1 t30 s3 f0 O4294967295\r\nabc\r\n", "another request"),
        (b"EN O4294967295\r\n", "another request"),
        (b"\0\xff\0\xff\r\n", "not memcached's protocol"),
        (b"VA 99999999999 O1\r\n", "larger than any item"),
        (b"ERROR\r\n", "did not understand"),
    ] {
        refusal(read(&client(introduced(answer))), &[words]);
    }
}

#[test]
fn a_server_that_dribbles_is_left_at_the_deadline() {
    let port = served(|mut stream| {
        question(&mut stream);
        let _ = stream.write_all(INTRODUCTION);
        question(&mut stream);
        for byte in b"VA 1000 c1 t30 s1000 f0 O1 k".iter().cycle() {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(read(&client(port)).is_err());
}

/// It has no generation, so one is made and all is read again.
#[test]
fn a_second_trip_has_the_time_that_the_first_one_left() {
    let (io_timeout, first) = (Duration::from_millis(600), Duration::from_millis(450));
    let port = served(move |mut stream| {
        question(&mut stream);
        let _ = stream.write_all(b"VERSION 1.6.12\r\nEND\r\n");
        question(&mut stream);
        std::thread::sleep(first);
        let _ = stream.write_all(b"EN\r\nEN\r\n");
        question(&mut stream);
        question(&mut stream);
    });
    let client = Memcached::of_another_process(Config { io_timeout, ..config(&[port]) }, Clock::System).unwrap();
    let (keys, scopes) = ([key()], [region()]);
    let read = Read { keys: &keys, scopes: &scopes, lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never };
    let began = Instant::now();
    let error = BytesBackend::read(&client, &read).remove(0).unwrap_err();
    let took = began.elapsed();
    assert!(error.to_string().contains("did not answer within"), "{error}");
    assert!(took > first && took < io_timeout + BESIDE, "{took:?}");
}

#[test]
fn a_pooled_connection_that_died_is_replaced_and_the_request_repeated_once() {
    let server = Server::start(&[]);
    let client = client(server.port());
    assert_eq!(read(&client).unwrap().claim, Claim::Won);
    server.restart();
    assert_eq!(read(&client).unwrap().claim, Claim::Won, "the restarted server knows nothing, and was asked");
    server.kill();
    refusal(read(&client), &["no connection could be made"]);
    server.restart();
    assert_eq!(once_back(&client).claim, Claim::Won);
}

/// The first answer after a time of errors.
fn once_back(client: &Memcached) -> Seen {
    once_answered(|| read(client))
}

fn once_answered(ask: impl Fn() -> Result<Seen>) -> Seen {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(seen) => return seen,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(2), "it is back, and not found: {error}"),
        }
        std::thread::sleep(BLACKLIST / 4);
    }
}

#[test]
fn a_node_that_is_gone_costs_nothing_until_it_is_back() {
    let server = Server::start(&[]);
    let config = Config { blacklist: Duration::from_millis(500), ..brisk(&[server.port()]) };
    // Both of this process: what one learns, the other knows.
    let clients = [(); 2].map(|()| Memcached::new(config.clone(), Clock::System).unwrap());
    clients.iter().for_each(|client| drop(read(client).unwrap()));
    for (stop, start, asked) in
        [(Server::kill as fn(&Server), Server::restart as fn(&Server), 1), (Server::pause, Server::resume, 3)]
    {
        stop(&server);
        for n in 0..asked {
            let error = read(&clients[n % 2]).unwrap_err().to_string();
            assert!(!error.contains("set aside"), "{n}: {error}");
        }
        let began = Instant::now();
        for n in 0..100 {
            refusal(read(&clients[n % 2]), &["set aside for a while"]);
        }
        assert!(began.elapsed() < Duration::from_millis(100), "{:?} for 100 of them", began.elapsed());
        assert!(BytesBackend::nodes(&clients[1])[0].set_aside_for.is_some());
        start(&server);
        once_back(&clients[0]);
        assert!(read(&clients[1]).is_ok());
    }
    let stats = BytesBackend::nodes(&clients[0]).remove(0);
    let count = |name| stats.count(name).unwrap();
    assert_eq!((stats.set_aside_for, count("in_flight"), count("pending")), (None, 0, 0));
    assert_eq!(stats.name, format!("127.0.0.1:{}", server.port()));
    // More than these failed if a probe came before the server was back.
    assert!(count("timeouts") >= 3 && count("failures") >= 1 && count("reconnects") >= 1, "{stats:?}");
    assert!(count("connected") >= 3 && (1..=2).contains(&count("connections")), "{stats:?}");
    assert!(count("sent_bytes") > 100 && count("received_bytes") > 100, "{stats:?}");
}

#[test]
fn several_servers_behind_one_name_are_told_and_not_used() {
    let servers = [Server::start(&[]), Server::start(&[])];
    let ports = [servers[0].port(), servers[1].port()];
    // A balancer: three connections go to one, three to the other.
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let balancer = served(move |client| {
        let to = TcpStream::connect(("127.0.0.1", ports[turn.fetch_add(1, Ordering::Relaxed) / 3 % 2])).unwrap();
        for (mut from, mut to) in [(client.try_clone().unwrap(), to.try_clone().unwrap()), (to, client)] {
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    let config = Config { max_idle: Some(0), ..brisk(&[balancer]) };
    let client = Memcached::of_another_process(config, Clock::System).unwrap();
    let (keys, scopes) = ([key()], [FarKey::new("troubles:@region").unwrap()]);
    let mut errors = Vec::new();
    for _ in 0..8 {
        // The clock of proofs moves in steps.
        std::thread::sleep(Duration::from_millis(20));
        let read =
            Read { keys: &keys, scopes: &scopes, lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never };
        errors.extend(BytesBackend::read(&client, &read).remove(0).err().map(|error| error.to_string()));
    }
    assert!(errors[0].contains("several servers answer to this name"), "{errors:?}");
    assert!(errors[1..].iter().all(|error| error.contains("set aside")), "{errors:?}");
}

#[test]
fn a_server_that_stands_still_costs_one_timeout_and_owes_what_was_invalidated() {
    let server = Server::start(&[]);
    let client = client(server.port());
    let won = read(&client).unwrap();
    let key = key();
    let fill = Fill { key: &key, record: b"old", token: won.token.unwrap(), keep: None, grace: Duration::ZERO };
    assert!(matches!(
        BytesBackend::fill(&client, &[fill], &[]).remove(0).unwrap().outcome,
        FillOutcome::Stored(Some(_))
    ));
    server.pause();
    refusal(read(&client), &["did not answer within"]);
    let pending = BytesBackend::invalidate(&client, &[key], Strength::Hard, &region()).remove(0);
    assert!(matches!(pending, Invalidated::Pending(_)), "{pending:?}");
    server.resume();
    let seen = read(&client).unwrap();
    assert_eq!(seen.record, None, "the invalidation went before the read");
    // Between the two the read may be carried out that was given up: on another connection.
    assert_ne!(seen.claim, Claim::Nobody);
}

/// Whether the server has an item under the key, seen without any client.
fn has(server: &Server, key: &FarKey) -> bool {
    server.say(&format!("mg {}\r\n", key.as_str())) != "EN\r\n"
}

#[test]
fn what_is_owed_goes_out_by_itself() {
    let server = Server::start(&[]);
    let client = client(server.port());
    let keys: Vec<FarKey> = (0..3000).map(|n| FarKey::new(format!("troubles:{n}")).unwrap()).collect();
    for key in &keys {
        assert_eq!(server.say(&format!("set {} 0 0 1\r\nx\r\n", key.as_str())), "STORED\r\n");
    }
    server.pause();
    let answers = BytesBackend::invalidate(&client, &keys, Strength::Hard, &region());
    assert!(answers.iter().all(|answer| matches!(answer, Invalidated::Pending(_))));
    assert_eq!(BytesBackend::pending(&client), keys.len());
    server.resume();
    let began = Instant::now();
    while BytesBackend::pending(&client) > 0 {
        assert!(began.elapsed() < Duration::from_secs(5), "{} are pending", BytesBackend::pending(&client));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(keys.iter().all(|key| !has(&server, key)));
}

/// Replies come late, so that each is on its way while others have made the same invalidation again.
#[test]
fn one_key_that_many_invalidate_at_once_is_done_for_each_that_was_answered() {
    let server = Server::start(&[]);
    let proxy = Proxy::before(("127.0.0.1", server.port())).unwrap();
    let client = Memcached::of_another_process(config(&[proxy.port()]), Clock::System).unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(60)));
    let scope = [region()];
    std::thread::scope(|threads| {
        let callers: Vec<_> = (0..6)
            .map(|caller| {
                let (client, scope) = (&client, &scope);
                threads.spawn(move || {
                    std::thread::sleep(Duration::from_millis(10) * caller);
                    let of_key = BytesBackend::invalidate(client, &[key()], Strength::Hard, &region());
                    let of_scope = BytesBackend::bump(client, scope, &scope[0]);
                    assert!(matches!(of_key[..], [Invalidated::Done]), "caller {caller}: {of_key:?}");
                    assert!(matches!(of_scope[..], [Invalidated::Done]), "caller {caller}: {of_scope:?}");
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    assert_eq!(BytesBackend::pending(&client), 0);
    let stats = server.say("stats\r\n");
    let stat = |name: &str| stats.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<usize>().ok());
    assert!(stat("STAT delete_misses ").unwrap() <= 6, "what is being settled is not repeated: {stats}");
}

#[test]
fn what_is_owed_to_one_does_not_wait_for_another_that_is_gone() {
    let (gone, server) = (Server::start(&[]), Server::start(&[]));
    let [to_gone, to_server] = [&gone, &server].map(|server| client(server.port()));
    gone.kill();
    drop(BytesBackend::invalidate(&to_gone, &[key()], Strength::Hard, &region()));
    // Until the intervals have grown beyond a second.
    std::thread::sleep(Duration::from_millis(1500));
    server.pause();
    let pending = BytesBackend::invalidate(&to_server, &[key()], Strength::Hard, &region());
    assert!(matches!(pending[..], [Invalidated::Pending(_)]));
    server.resume();
    let began = Instant::now();
    while BytesBackend::pending(&to_server) > 0 {
        assert!(began.elapsed() < Duration::from_millis(600), "it waits for a node that is gone");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(BytesBackend::pending(&to_gone), 1);
}

#[test]
fn more_than_can_be_remembered_is_owed_as_another_generation() {
    let server = Server::start(&[]);
    let client = client(server.port());
    let keys: Vec<FarKey> = (0..10_001).map(|n| FarKey::new(format!("troubles:{n}")).unwrap()).collect();
    let generation = || {
        let read = Read {
            keys: &keys[..1],
            scopes: &[region()],
            lease: Lease::None,
            grace: Duration::ZERO,
            recall: Recall::Never,
        };
        once_answered(|| BytesBackend::read(&client, &read).remove(0)).generations
    };
    let before = generation();
    server.pause();
    let answers = BytesBackend::invalidate(&client, &keys, Strength::Hard, &region());
    assert!(answers.iter().all(|answer| matches!(answer, Invalidated::Pending(_))));
    assert_eq!(BytesBackend::pending(&client), 1);
    server.resume();
    assert_ne!(generation(), before, "it goes before whatever is asked");
}

/// Each of the nodes in turn stands still: first in their order, or last.
#[test]
fn a_node_that_stands_still_takes_no_answers_from_the_others() {
    let servers = [Server::start(&[]), Server::start(&[])];
    for stopped in [0, 1] {
        let config = config(&[servers[0].port(), servers[1].port()]);
        let io_timeout = config.io_timeout;
        let client = Memcached::of_another_process(config, Clock::System).unwrap();
        // Many pieces, so that the one that answers has to be gone on with.
        let keys: Vec<FarKey> = (0..3000).map(|n| FarKey::new(format!("troubles:{n}")).unwrap()).collect();
        let read = Read { keys: &keys, scopes: &[], lease: Lease::None, grace: Duration::ZERO, recall: Recall::Never };
        assert!(BytesBackend::read(&client, &read).iter().all(Result::is_ok));
        servers[stopped].pause();
        for round in 0..5 {
            let began = Instant::now();
            let seen = BytesBackend::read(&client, &read);
            assert!(began.elapsed() < io_timeout + BESIDE, "{:?}", began.elapsed());
            for (key, seen) in keys.iter().zip(seen) {
                assert_eq!(seen.is_err(), client.owner(key) == stopped, "round {round}: {seen:?}");
            }
        }
        servers[stopped].resume();
        let nodes = BytesBackend::nodes(&client);
        let timeouts = |node: usize| nodes[node].counts.iter().find(|(name, _)| *name == "timeouts").unwrap().1;
        assert_eq!((timeouts(stopped), timeouts(1 - stopped)), (3, 0), "then it is set aside");
    }
}

#[test]
fn any_number_of_keys_is_invalidated_where_the_node_answers() {
    let server = Server::start(&[]);
    // A debug build takes a while for so many.
    let config = Config { io_timeout: Duration::from_secs(20), ..config(&[server.port()]) };
    let client = Memcached::of_another_process(config, Clock::System).unwrap();
    let keys: Vec<FarKey> = (0..25_000).map(|n| FarKey::new(format!("troubles:{n}")).unwrap()).collect();
    let generation = || {
        let (keys, scopes, grace) = (&keys[..1], &[region()][..], Duration::ZERO);
        let read = Read { keys, scopes, lease: Lease::None, grace, recall: Recall::Never };
        BytesBackend::read(&client, &read).remove(0).unwrap().generations
    };
    let before = generation();
    let answers = BytesBackend::invalidate(&client, &keys, Strength::Hard, &region());
    assert!(answers.iter().all(|answer| matches!(answer, Invalidated::Done)));
    assert_eq!((BytesBackend::pending(&client), generation()), (0, before), "nothing else of the region is touched");
}

#[test]
fn without_cas_there_is_no_fence() {
    let server = Server::start(&["-C"]);
    let seen = read(&client(server.port())).unwrap();
    assert_eq!(seen.token, None);
}

#[test]
fn a_pool_that_is_used_up_is_waited_for_and_then_said() {
    let server = Server::start(&[]);
    let config =
        Config { pool_size: 1, io_timeout: IO_TIMEOUT, pool_timeout: Some(IO_TIMEOUT / 2), ..config(&[server.port()]) };
    let client = Memcached::of_another_process(config, Clock::System).unwrap();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| read(&client))).collect();
        all.into_iter().for_each(|one| assert!(one.join().unwrap().is_ok(), "they take turns"));
        server.pause();
        let results: Vec<String> = (0..2)
            .map(|_| scope.spawn(|| read(&client)))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|one| one.join().unwrap().unwrap_err().to_string())
            .collect();
        assert!(results.iter().any(|text| text.contains("pool_size")), "{results:?}");
    });
    server.resume();
    assert!(read(&client).is_ok());
}
