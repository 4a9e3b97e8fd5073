#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use twox_hash::XxHash3_64;

use super::*;

const NEW: Features = Features { fenced_delete: true, opaque_on_miss: true };
const OLD: Features = Features { fenced_delete: true, opaque_on_miss: false };

fn key(text: &str) -> Key<'_> {
    Key::new(text).unwrap()
}

fn written(request: &Request<'_>) -> String {
    let mut out = Vec::new();
    request.write(Opaque(7), &mut out);
    String::from_utf8(out).unwrap()
}

fn expect(verb: Verb) -> Expected {
    Expected { verb, opaque: Opaque(7) }
}

fn whole(verb: Verb, bytes: &[u8]) -> Reply {
    match parse(bytes, expect(verb), NEW).unwrap() {
        Parsed::Whole(reply, used) if used == bytes.len() => reply,
        other => panic!("{} should be one reply, not {other:?}", bytes.escape_ascii()),
    }
}

#[test]
fn requests_have_the_bytes_of_the_protocol() {
    let get = Get { value: true, meta: true, vivify: Some(30), recache: Some(10), ..Get::new(key("foo")) };
    assert_eq!(written(&Request::Get(get)), "mg foo N30 v c t s f R10 O7\r\n");
    let get = Get { access: true, echo: true, touch: Some(5), ..Get::new(key("foo")) };
    assert_eq!(written(&Request::Get(get)), "mg foo h l k T5 O7\r\n");
    let set = Set { cas: Some(u64::MAX), ttl: Some(60), client_flags: u32::MAX, ..Set::new(key("foo"), b"hello") };
    let expected = "ms foo 5 C18446744073709551615 T60 F4294967295 c O7\r\nhello\r\n";
    assert_eq!(written(&Request::Set(set)), expected);
    let set = Set { mode: Mode::Add, ..Set::new(key("foo"), b"") };
    assert_eq!(written(&Request::Set(set)), "ms foo 0 ME c O7\r\n\r\n");
    let set = Set { cas: Some(3), accept_older: true, ..Set::new(key("foo"), b"x") };
    assert_eq!(written(&Request::Set(set)), "ms foo 1 C3 I c O7\r\nx\r\n");
    assert_eq!(written(&Request::Delete(Delete::new(key("foo")))), "md foo O7\r\n");
    let delete = Delete { cas: Some(11), mark_stale: true, ttl: Some(30), ..Delete::new(key("foo")) };
    assert_eq!(written(&Request::Delete(delete)), "md foo I T30 C11 O7\r\n");
    let add = Arithmetic { key: key("n"), delta: 10, is_negative: false, initial: Some((1, 60)) };
    assert_eq!(written(&Request::Arithmetic(add)), "ma n D10 J1 N60 v c O7\r\n");
    let subtract = Arithmetic { key: key("n"), delta: 3, is_negative: true, initial: None };
    assert_eq!(written(&Request::Arithmetic(subtract)), "ma n MD D3 v c O7\r\n");
    assert_eq!(written(&Request::Noop), "mn\r\n");
    assert_eq!(written(&Request::Inspect(key("foo"))), "me foo\r\n");
    assert_eq!(written(&Request::ClassicGet(&[key("a"), key("b")])), "get a b\r\n");
    assert_eq!(written(&Request::Version), "version\r\n");
    assert_eq!(written(&Request::Stats(None)), "stats\r\n");
    assert_eq!(written(&Request::Stats(Some(key("settings")))), "stats settings\r\n");
}

#[test]
fn a_key_that_would_be_more_than_a_word_is_refused() {
    assert_eq!(Key::new(""), Err(BadKey::Empty));
    assert_eq!(Key::new(&"k".repeat(251)), Err(BadKey::Long(251)));
    for byte in (0..=b' ').chain([0x7f]) {
        assert_eq!(Key::new(&[b'a', byte]), Err(BadKey::Byte(byte)));
    }
    assert!(Key::new(&"k".repeat(250)).is_ok() && Key::new("größe:💥").is_ok());
    assert!(BadKey::Byte(b'\n').to_string().contains("0x0a"));
}

#[test]
fn replies_say_what_the_server_said() {
    let reply = whole(Verb::Get, b"VA 5 s5 t29 c12 f7 O7 W X\r\nhello\r\n");
    assert_eq!((reply.code.clone(), reply.value.as_deref()), (Code::Value, Some(b"hello".as_slice())));
    assert_eq!((reply.size, reply.left, reply.cas), (Some(5), Some(Left::Seconds(29)), Some(12)));
    assert_eq!((reply.client_flags, reply.won, reply.token_out, reply.stale), (Some(7), true, false, true));
    let reply = whole(Verb::Get, b"HD t-1 c8 h1 l3 kfoo O7 Z\r\n");
    assert_eq!((reply.left, reply.token_out), (Some(Left::Forever), true));
    assert_eq!(
        (reply.hit_before, reply.last_access, reply.named),
        (Some(true), Some(3), Named::Key(b"foo".as_slice().into()))
    );
    // A value may hold what looks like the end of another reply.
    assert_eq!(whole(Verb::Get, b"VA 6 O7\r\n\r\nMN\r\n\r\n").value.as_deref(), Some(b"\r\nMN\r\n".as_slice()));
    assert_eq!(whole(Verb::Set, b"NS c0 O7\r\n").code, Code::NotStored);
    assert_eq!(whole(Verb::Delete, b"EX O7\r\n").code, Code::Changed);
    assert_eq!(whole(Verb::Arithmetic, b"VA 2 c3 O7\r\n10\r\n").value.as_deref(), Some(b"10".as_slice()));
    assert_eq!(
        whole(Verb::Inspect, b"ME foo exp=-1 la=2 cas=3\r\n").value.as_deref(),
        Some(b"foo exp=-1 la=2 cas=3".as_slice())
    );
    let reply = whole(Verb::ClassicGet, b"VALUE k 3 2 99\r\nxy\r\n");
    assert_eq!(
        (&reply.named, reply.client_flags, reply.cas),
        (&Named::Hash(XxHash3_64::oneshot(b"k")), Some(3), Some(99))
    );
    assert!(!expect(Verb::ClassicGet).ends_with(&reply.code) && expect(Verb::ClassicGet).ends_with(&Code::End));
    let version = Version { major: 1, minor: 6, patch: 18 };
    assert_eq!(whole(Verb::Version, b"VERSION 1.6.18\r\n").code, Code::Version(version));
    let stat = whole(Verb::Stats, b"STAT item_size_max 1048576\r\n").code;
    assert_eq!(stat, Code::Stat(Box::new(("item_size_max".to_owned(), "1048576".to_owned()))));
    let error = whole(Verb::Set, b"SERVER_ERROR object too large for cache\r\n").code;
    assert_eq!(error, Code::ServerError("object too large for cache".into()));
    let refused = whole(Verb::Arithmetic, b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n").code;
    assert!(matches!(refused, Code::ClientError(_)));
}

#[test]
fn a_reply_is_small() {
    // Beyond it, each move is a call of `memcpy`.
    assert!(size_of::<Reply>() <= 128, "{}", size_of::<Reply>());
}

#[test]
fn a_reply_may_end_at_any_byte() {
    for (verb, reply) in [
        (Verb::Get, b"VA 10 s10 t29 c12 f7 O7 W\r\nhello\r\nxyz\r\n".as_slice()),
        (Verb::Get, b"EN O7\r\n"),
        (Verb::Set, b"HD c18446744073709551615 O7\r\n"),
        (Verb::ClassicGet, b"VALUE key 0 3\r\nabc\r\n"),
        (Verb::Noop, b"MN\r\n"),
        (Verb::Version, b"VERSION 1.6.18\r\n"),
        (Verb::Stats, b"STAT a b\r\n"),
    ] {
        for cut in 0..reply.len() {
            match parse(&reply[..cut], expect(verb), NEW) {
                Ok(Parsed::Cut) => assert!(!reply[..cut].contains(&b'\n'), "cut at {cut}"),
                Ok(Parsed::Open(open)) => {
                    assert!(cut >= open.head && reply.len() == open.head + open.length + VALUE_END.len(), "{open:?}");
                    let value = reply[open.head..][..open.length].to_vec();
                    assert_eq!(open.close(value), whole(verb, reply));
                }
                other => panic!("{} cut at {cut}: {other:?}", reply.escape_ascii()),
            }
        }
        let mut more = reply.to_vec();
        more.extend_from_slice(b"EN O8\r\n");
        assert!(matches!(parse(&more, expect(verb), NEW), Ok(Parsed::Whole(_, used)) if used == reply.len()));
    }
}

#[test]
fn what_does_not_answer_the_request_breaks_the_connection() {
    for (verb, bytes) in [
        (Verb::Get, "EN O8\r\n"),
        (Verb::Get, "EN\r\n"),
        (Verb::Get, "VA 1\r\nx\r\n"),
        (Verb::Get, "NF O7\r\n"),
        (Verb::Get, "MN\r\n"),
        (Verb::Noop, "HD\r\n"),
        (Verb::Noop, "MN O7\r\n"),
        (Verb::Delete, "NS O7\r\n"),
        (Verb::Get, "VA O7\r\nx\r\n"),
        (Verb::Get, "VA -1 O7\r\nx\r\n"),
        (Verb::Get, "VA 99999999999999999999 O7\r\n"),
        (Verb::Get, "VA 1073741825 O7\r\n"),
        (Verb::Get, "VA 1 O7\r\nxy\r\n"),
        (Verb::Get, "VA 1 c O7\r\nx\r\n"),
        (Verb::Get, "VA 1 c 5 O7\r\nx\r\n"),
        (Verb::Get, "VA 1 c5x O7\r\nx\r\n"),
        (Verb::Get, "VA 1 t-2 O7\r\nx\r\n"),
        (Verb::Get, "VA 1 s4294967296 O7\r\nx\r\n"),
        (Verb::Get, "VA 1 c18446744073709551616 O7\r\nx\r\n"),
        (Verb::Get, "VA 1 tx O7\r\nx\r\n"),
        (Verb::Get, "HD ?1 O7\r\n"),
        (Verb::Get, "HD W1 O7\r\n"),
        (Verb::Get, "EN O7\n"),
        (Verb::Get, "\r\n"),
        (Verb::Get, "ERROR Too many open connections\r\n"),
        (Verb::Get, "CLIENT_ERROR bad command line format\r\n"),
        (Verb::Set, "CLIENT_ERROR cannot increment\r\n"),
        (Verb::Version, "HTTP/1.1 400 Bad Request\r\n"),
        (Verb::Version, "VERSION unknown\r\n"),
        (Verb::ClassicGet, "VALUE k 0\r\n"),
    ] {
        assert!(parse(bytes.as_bytes(), expect(verb), NEW).is_err(), "{verb:?} {}", bytes.escape_debug());
    }
    let endless = vec![b'x'; 4096];
    let broken = parse(&endless, expect(Verb::Get), NEW).unwrap_err();
    assert!(broken.begins.len() <= 60 && broken.to_string().contains("without an end"), "{broken}");
}

#[test]
fn an_old_server_repeats_no_number_on_a_miss() {
    assert!(matches!(parse(b"EN\r\n", expect(Verb::Get), OLD), Ok(Parsed::Whole(..))));
    assert!(parse(b"HD\r\n", expect(Verb::Get), OLD).is_err(), "on a hit it does");
    assert!(parse(b"EN O8\r\n", expect(Verb::Get), OLD).is_err());
}

#[test]
fn a_huge_value_is_not_allocated_before_it_came() {
    let head = b"VA 1073741824 O7\r\nbeginning";
    match parse(head, expect(Verb::Get), NEW) {
        Ok(Parsed::Open(open)) => assert_eq!((open.head, open.length), (18, 1 << 30)),
        other => panic!("{other:?}"),
    }
}

fn verbs() -> impl Strategy<Value = Verb> {
    use Verb::*;
    prop::sample::select(vec![Get, Set, Delete, Arithmetic, Noop, Inspect, ClassicGet, Version, Stats])
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300), verb in verbs()) {
        let _ = parse(&bytes, expect(verb), NEW);
    }

    #[test]
    fn any_line_of_words_gives_an_answer(
        line in "(VA|HD|EN|ME|VALUE|STAT|VERSION|CLIENT_ERROR|k)( [a-zA-Z]?[0-9]{0,4}){0,6}\r\n.{0,9}\r\n",
        verb in verbs(),
    ) {
        match parse(line.as_bytes(), expect(verb), NEW) {
            Ok(Parsed::Whole(_, used)) => prop_assert!(used <= line.len()),
            Ok(Parsed::Open(open)) => prop_assert!(open.head + open.length + VALUE_END.len() > line.len()),
            Ok(Parsed::Cut) => prop_assert!(!line.contains('\n')),
            Err(_) => {}
        }
    }

    #[test]
    fn a_value_of_any_bytes_comes_through(value in prop::collection::vec(any::<u8>(), 0..200), cas in any::<u64>()) {
        let mut bytes = format!("VA {} c{cas} t-1 s{} f0 O7\r\n", value.len(), value.len()).into_bytes();
        bytes.extend_from_slice(&value);
        bytes.extend_from_slice(b"\r\n");
        let reply = whole(Verb::Get, &bytes);
        prop_assert_eq!(reply.cas, Some(cas));
        prop_assert_eq!(reply.value, Some(value));
    }
}
