//! The simulated server answers as memcached does, and loses what memcached loses.

use std::time::Duration;

use super::*;
use crate::clock::ManualClock;

fn server(settings: ServerSettings) -> SimServer {
    SimServer::new(ManualClock::new(), settings)
}

fn claim(key: &FarKey, flags: &'static str, ttl: u32) -> MetaGet {
    MetaGet { vivify: Some(ttl), ..mg(key, flags) }
}

fn key(name: &str) -> FarKey {
    FarKey::new(name).unwrap_or_else(|error| unreachable!("{error}"))
}

#[test]
fn a_simulated_server_answers_every_row_as_memcached_does() {
    for phase in [0, 1, 400, 999].map(Duration::from_millis) {
        for row in rows() {
            let cas = if row.setup == Setup::Plain { Cas::On } else { Cas::Off };
            let server = server(ServerSettings { phase, cas, ..ServerSettings::default() });
            assert_eq!(row.run(&server, "row:"), Ok(()), "phase {phase:?}");
        }
    }
}

#[test]
fn rows_have_keys_of_their_own() {
    let shared = server(ServerSettings::default());
    for row in rows().into_iter().filter(|row| row.setup == Setup::Plain) {
        assert_eq!(row.run(&shared, "row:"), Ok(()));
    }
}

#[test]
fn a_row_notices_a_server_that_answers_otherwise() {
    let server = server(ServerSettings { cas: Cas::Off, ..ServerSettings::default() });
    let failed = rows().into_iter().filter(|row| row.setup == Setup::Plain && row.run(&server, "").is_err());
    assert!(failed.count() > 10, "a server without CAS fails wherever a fence counts");
}

#[test]
fn recaching_begins_below_its_limit_and_not_at_it() {
    let server = server(ServerSettings::default());
    let item = key("item");
    server.execute(0, &MetaSet { ttl: Some(100), ..ms(&item, "x") }.into());
    let ask = MetaGet { recache: Some(100), ..mg(&item, "v") };
    assert!(!server.execute(0, &ask.clone().into()).won);
    server.pass(Duration::from_secs(1));
    assert!(server.execute(0, &ask.into()).won);
}

#[test]
fn after_a_restart_everything_is_gone_and_cas_numbers_come_again() {
    let server = server(ServerSettings::default());
    let item = key("item");
    let claim = || server.execute(0, &claim(&item, "c", 30).into());
    assert_eq!((claim().cas, claim().cas), (Some(1), Some(1)));
    server.flush_all();
    assert_eq!(claim().cas, Some(2), "a flush does not reset them");
    server.restart();
    assert_eq!((server.len(), server.incarnation()), (0, 1));
    assert_eq!(claim().cas, Some(1));
}

#[test]
fn a_full_server_gives_no_stub_and_a_failed_store_removes_the_old_value() {
    let server = server(ServerSettings::default());
    let (old, new) = (key("old"), key("new"));
    server.execute(0, &ms(&old, "x").into());
    server.set_room(Room::None);
    assert_eq!(server.execute(0, &claim(&new, "vc", 30).into()).to_string(), "EN");
    assert_eq!(server.execute(0, &mg(&old, "v").into()).to_string(), "VA \"x\"");
    let refused = server.execute(0, &ms(&old, "y").into());
    assert_eq!(refused.to_string(), "SERVER_ERROR out of memory storing object");
    assert_eq!(server.execute(0, &mg(&old, "v").into()).to_string(), "EN");
    server.set_room(Room::Ample);
    assert!(server.execute(0, &claim(&new, "v", 30).into()).won);
}

#[test]
fn what_was_used_longest_ago_makes_room_by_number_and_by_bytes() {
    for settings in [
        ServerSettings { max_items: 2, ..ServerSettings::default() },
        ServerSettings { max_bytes: 2 * 64, ..ServerSettings::default() },
    ] {
        let server = server(settings);
        let [a, b, c] = ["a", "b", "c"].map(key);
        server.execute(0, &ms(&a, "1").into());
        server.execute(0, &ms(&b, "2").into());
        server.execute(0, &mg(&a, "v").into());
        server.execute(0, &ms(&c, "3").into());
        let there = [&a, &b, &c].map(|key| server.execute(0, &mg(key, "").into()).code == Code::Hd);
        assert_eq!(there, [true, false, true], "{settings:?}");
        assert_eq!(server.evicted(), 1);
        assert!(server.evict(&a) && !server.evict(&a));
    }
}
