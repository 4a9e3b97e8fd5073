//! What spans tell: node and verb, and nothing of what is asked for.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_core::backend::{BytesBackend, Lease, Read, Recall, Strength};
use cache_core::key::FarKey;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use memcached_server::Server;

use super::{client, region};

/// Writes each span down.
#[derive(Clone, Default)]
struct Scribe(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut all = self.0.lock().unwrap();
        all.push_str(span.metadata().name());
        span.record(&mut Line(&mut all));
        all.push('\n');
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_span_tells_node_and_verb_and_nothing_that_is_asked_for() {
    let server = Server::start(&[]);
    let client = client(server.port());
    let keys = [FarKey::new("secret:arguments").unwrap()];
    let lease = Lease::Claim(Duration::from_secs(2));
    let read = Read { keys: &keys, scopes: &[], lease, grace: Duration::ZERO, recall: Recall::Never };
    let scribe = Scribe::default();
    let ask = || {
        assert!(BytesBackend::read(&client, &read).remove(0).is_ok());
        drop(BytesBackend::invalidate(&client, &keys, Strength::Hard, &region()));
    };
    tracing::subscriber::with_default(scribe.clone(), ask);
    let node = format!("127.0.0.1:{}", server.port());
    let expected = ["read", "invalidate"].map(|verb| format!("memcached node={node:?} verb={verb:?}\n")).concat();
    assert_eq!(*scribe.0.lock().unwrap(), expected);
}
