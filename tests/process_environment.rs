//! The program's own registry listens to the variables of its process: tried in a process that has some.

#![cfg(feature = "memory")]
#![allow(clippy::expect_used)]

use std::process::Command;
use std::time::Duration;

use cache::{Region, Registry, Settings, registry};

static ALONE: Region = Region::named("alone");

const MOVED: (&str, &str) = ("CACHE_MOVED", "memory://?entries=7");

#[test]
fn the_programs_registry_listens_to_the_process() {
    if std::env::var_os(MOVED.0).is_some() {
        return in_the_process_that_has_them();
    }
    let this = std::env::current_exe().expect("a test has a path");
    let mut child = Command::new(this);
    child.args(["--exact", "the_programs_registry_listens_to_the_process"]);
    child.envs([MOVED, ("CACHE_ALONE", "memory://"), ("CACHE_ALONE__TTL", "1m")]);
    let output = child.output().expect("a test can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn in_the_process_that_has_them() {
    let settings = || Settings::new().ttl(Duration::from_secs(60)).near("memory://");
    registry().configure("moved", settings()).expect("it is moved to where it can be");
    assert_eq!(registry().backends("moved"), Some(vec![MOVED.1.to_owned()]));
    assert_eq!((ALONE.get_or_create_value("ns", 1, || 1), ALONE.get_or_create_value("ns", 1, || 2)), (1, 1));

    let another = Registry::new();
    cache::open_known_schemes(&another);
    another.configure("moved", settings()).expect("nothing overrides it");
    assert_eq!(another.backends("moved"), Some(vec!["memory://".to_owned()]), "others do not listen unless told to");
}
