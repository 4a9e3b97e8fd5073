//! Other clients of memcached, as they come and at their best.

use std::rc::Rc;

use async_memcached::{AsciiProtocol, MetaProtocol};
use memcache::exp::{AsyncMemcache, Memcache};
use memcached_server::Server;
use tokio::runtime::Runtime;

use super::latency::{Subject, calls, futures, set_up};
use crate::harness::Role;

pub fn blocking(server: &Server, key: &'static str, size: usize) -> Vec<Subject> {
    let connect = |options: &str| {
        memcache::connect(format!("memcache://127.0.0.1:{}?{options}", server.port())).expect("the server is there")
    };
    let value = |value: Option<Vec<u8>>| value.map_or(0, |value| value.len());
    let (binary, ascii) = (connect("tcp_nodelay=true"), connect("protocol=ascii&tcp_nodelay=true"));
    let meta = Memcache::connect([("127.0.0.1", server.port())]).expect("the server is there");
    vec![
        calls("memcache Client", Role::Peer, size, move || value(binary.get(key).expect("an answer"))),
        calls("memcache Client, ascii", Role::Peer, size, move || value(ascii.get(key).expect("an answer"))),
        calls("memcache exp::Memcache", Role::Peer, size, move || value(meta.get(key).expect("an answer"))),
    ]
}

pub fn awaiting(runtime: &Rc<Runtime>, server: &Server, key: &'static str, size: usize) -> Vec<Subject> {
    let address = format!("tcp://127.0.0.1:{}", server.port());
    let connect = || set_up(runtime, async_memcached::Client::new(&address)).expect("the server is there");
    let (mut ascii, mut meta) = (connect(), connect());
    let shared = AsyncMemcache::connect([("127.0.0.1", server.port())]);
    let shared = set_up(runtime, shared).expect("the server is there");
    vec![
        futures("memcache exp::AsyncMemcache", Role::Peer, size, runtime, async move || {
            let value: Option<Vec<u8>> = shared.get(key).await.expect("an answer");
            value.map_or(0, |value| value.len())
        }),
        futures("async-memcached, get", Role::Peer, size, runtime, async move || {
            let value = ascii.get(key).await.expect("an answer");
            value.and_then(|value| value.data).map_or(0, |data| data.len())
        }),
        futures("async-memcached, mg", Role::Peer, size, runtime, async move || {
            let value = meta.meta_get(key, false, None, Some(&["v"])).await.expect("an answer");
            value.and_then(|value| value.data).map_or(0, |data| data.len())
        }),
    ]
}
