//! What bounds a client: one write and one read with a buffer that is used again, written by hand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use memcached_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use super::latency::{Subject, calls, futures, set_up};
use crate::harness::Role;

/// The request, and the length of its reply for a value of this size.
fn exchanges(key: &str, size: usize) -> [(&'static str, Role, String, usize); 2] {
    let digits = size.to_string().len();
    let (meta, classic) = (format!("mg {key} v\r\n"), format!("get {key}\r\n"));
    [
        ("limit: mg, one write and one read", Role::Limit, meta, "VA \r\n\r\n".len() + digits + size),
        (
            "limit: get, one write and one read",
            Role::Beside,
            classic,
            "VALUE  0 \r\n\r\nEND\r\n".len() + key.len() + digits + size,
        ),
    ]
}

pub fn blocking(server: &Server, key: &str, size: usize) -> Vec<Subject> {
    let subject = |(name, role, request, length): (_, _, String, usize)| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server is there");
        stream.set_nodelay(true).expect("an option of TCP");
        let mut reply = vec![0; length];
        calls(name, role, size, move || {
            stream.write_all(request.as_bytes()).expect("the server listens");
            let mut read = 0;
            while read < length {
                read += stream.read(&mut reply[read..]).expect("the server answers");
            }
            size
        })
    };
    exchanges(key, size).into_iter().map(subject).collect()
}

pub fn awaiting(runtime: &Rc<Runtime>, server: &Server, key: &str, size: usize) -> Vec<Subject> {
    let subject = |(name, role, request, length): (_, _, String, usize)| {
        let connect = tokio::net::TcpStream::connect(("127.0.0.1", server.port()));
        let mut stream = set_up(runtime, connect).expect("the server is there");
        stream.set_nodelay(true).expect("an option of TCP");
        let mut reply = vec![0; length];
        futures(name, role, size, runtime, async move || {
            stream.write_all(request.as_bytes()).await.expect("the server listens");
            let mut read = 0;
            while read < length {
                read += stream.read(&mut reply[read..]).await.expect("the server answers");
            }
            size
        })
    };
    exchanges(key, size).into_iter().map(subject).collect()
}
