//! The exchanges that the simulated server is held to, asked of a real one, and read by the parser of this crate.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cache_core::key::FarKey;
use cache_core::testkit::meta::{Code, Command, Left, MetaServer, Mode, Reply, Row, RowFailure, Setup, rows};

use memcached_server::Server;

use crate::proto::{self, Expected, Features, Opaque, Parsed, Verb};

const FEATURES: Features = Features { fenced_delete: true, opaque_on_miss: true };

#[test]
fn a_real_server_answers_every_row_as_the_simulated_one_does() {
    let (plain, without_cas) = (Server::start(&[]), Server::start(&["-C"]));
    let mut failures = Vec::new();
    let all = rows();
    std::thread::scope(|scope| {
        // At once, since most of them wait for the server's seconds.
        let asked: Vec<_> = all
            .iter()
            .map(|row| {
                let port = if row.setup == Setup::Plain { plain.port() } else { without_cas.port() };
                scope.spawn(move || run(row, port))
            })
            .collect();
        failures.extend(asked.into_iter().filter_map(|row| row.join().unwrap().err()));
    });
    let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} of {} rows failed:\n{}", failures.len(), all.len(), told.join("\n"));
}

/// Runs a row. If it fails it is run again on other keys, for what it says is so each time but for two things that a busy
/// machine does: the server's seconds go by unseen; and a worker of the server lets go of an item that it has sent after the
/// next command for it has come to another worker, who then makes a new item of it where he would have changed the old one.
fn run(row: &Row, port: u16) -> Result<(), RowFailure> {
    let mut result = Ok(());
    for attempt in 0..4 {
        let talk = Talk { port, connections: RefCell::default() };
        result = row.run(&talk, &format!("rows:{attempt}:"));
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Connections to a real server, by number.
struct Talk {
    port: u16,
    connections: RefCell<HashMap<usize, TcpStream>>,
}

impl MetaServer for Talk {
    fn execute(&self, connection: usize, command: &Command) -> Reply {
        let mut connections = self.connections.borrow_mut();
        let connect = || TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let stream = connections.entry(connection).or_insert_with(connect);
        let (bytes, verb) = written(command);
        stream.write_all(&bytes).unwrap();
        if let Command::ClassicTouch(..) = command {
            return Reply::of(if line(stream) == "TOUCHED" { Code::Hd } else { Code::Nf });
        }
        let mut reply = read(stream, verb);
        if verb == Verb::ClassicGet && reply.code == Code::Va {
            assert_eq!(line(stream), "END");
            reply.key = None;
        }
        reply
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The bytes of a command. They are written here and not by `proto`, which has no wrong flags to offer.
fn written(command: &Command) -> (Vec<u8>, Verb) {
    let flag = |letter: char, value: Option<u64>| value.map(|value| format!(" {letter}{value}")).unwrap_or_default();
    let seconds = |letter: char, value: Option<u32>| flag(letter, value.map(u64::from));
    let letters = |flags: &str| flags.chars().map(|letter| format!(" {letter}")).collect::<String>();
    let mut body = None;
    let (line, verb) = match command {
        Command::Get(get) => {
            let numbers = seconds('N', get.vivify) + &seconds('R', get.recache) + &seconds('T', get.touch);
            (format!("mg {}{numbers}{} O1", get.key.as_str(), letters(get.flags)), Verb::Get)
        }
        Command::Set(set) => {
            let mode = match set.mode {
                Mode::Set => "MS",
                Mode::Add => "ME",
                Mode::Replace => "MR",
                Mode::Append => "MA",
                Mode::Prepend => "MP",
            };
            let client_flags = seconds('F', (set.client_flags != 0).then_some(set.client_flags));
            let numbers = flag('C', set.cas) + &seconds('T', set.ttl) + &client_flags;
            body = Some(&set.value);
            let head = format!("ms {} {} {mode}{numbers}", set.key.as_str(), set.value.len());
            (format!("{head}{} O1", letters(set.flags)), Verb::Set)
        }
        Command::Delete(delete) => {
            let numbers = seconds('T', delete.ttl) + &flag('C', delete.cas);
            (format!("md {}{numbers}{} O1", delete.key.as_str(), letters(delete.flags)), Verb::Delete)
        }
        Command::Arithmetic(change) => {
            let (mode, by) = (if change.delta < 0 { "MD" } else { "MI" }, change.delta.unsigned_abs());
            (format!("ma {} {mode} D{by}{} O1", change.key.as_str(), letters(change.flags)), Verb::Arithmetic)
        }
        Command::Noop => ("mn".to_owned(), Verb::Noop),
        Command::ClassicGet(key) => (format!("get {}", key.as_str()), Verb::ClassicGet),
        Command::ClassicTouch(key, ttl) => (format!("touch {} {ttl}", key.as_str()), Verb::Noop),
    };
    let mut bytes = line.into_bytes();
    bytes.extend_from_slice(b"\r\n");
    if let Some(body) = body {
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n");
    }
    (bytes, verb)
}

/// Reads byte by byte, so that each reply is also parsed cut at each of its bytes.
fn read(stream: &mut TcpStream, verb: Verb) -> Reply {
    let expected = Expected { verb, opaque: Opaque(1) };
    let (mut bytes, mut whole) = (Vec::new(), 0);
    loop {
        let more = if bytes.len() < 2048 { 1 } else { whole - bytes.len() };
        let begin = bytes.len();
        bytes.resize(begin + more, 0);
        stream.read_exact(&mut bytes[begin..]).unwrap();
        match proto::parse(&bytes, expected, FEATURES) {
            Ok(Parsed::Whole(reply, used)) => {
                assert_eq!(used, bytes.len());
                return translated(reply);
            }
            Ok(Parsed::Open(open)) => whole = open.head + open.length + proto::VALUE_END.len(),
            Ok(Parsed::Cut) => {}
            Err(broken) => {
                let text = broken.begins.strip_prefix("CLIENT_ERROR ").unwrap_or_else(|| panic!("{broken}"));
                return Reply::of(Code::ClientError(leaked(text)));
            }
        }
    }
}

fn translated(reply: proto::Reply) -> Reply {
    let code = match &reply.code {
        proto::Code::Value => Code::Va,
        proto::Code::Done => Code::Hd,
        proto::Code::Missing | proto::Code::End => Code::En,
        proto::Code::NotStored => Code::Ns,
        proto::Code::Changed => Code::Ex,
        proto::Code::NotFound => Code::Nf,
        proto::Code::Barrier => Code::Mn,
        proto::Code::ServerError(text) => Code::ServerError(leaked(text)),
        proto::Code::ClientError(text) => Code::ClientError(leaked(text)),
        other => panic!("{other:?} is no reply of a row"),
    };
    let left = reply.left.map(|left| match left {
        proto::Left::Forever => Left::Forever,
        proto::Left::Seconds(seconds) => Left::Seconds(seconds),
    });
    let key = match reply.named {
        proto::Named::Key(key) => Some(FarKey::new(String::from_utf8(key.into()).unwrap()).unwrap()),
        _ => None,
    };
    Reply {
        value: reply.value,
        key,
        cas: reply.cas,
        left,
        client_flags: reply.client_flags,
        size: reply.size,
        won: reply.won,
        token_out: reply.token_out,
        stale: reply.stale,
        ..Reply::of(code)
    }
}

fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// The simulated server's texts are constants; a test may keep its few for ever.
fn leaked(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
