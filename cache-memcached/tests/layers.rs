//! `proto` and `topology` know no socket, no executor and no other crate of the workspace.

#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

/// What must not be named there.
const FOREIGN: [&str; 7] = ["cache_core", "std::net", "std::io", "tokio", "std::thread", "std::time", "Instant"];

fn check(room: &Path, seen: &mut usize) {
    for entry in fs::read_dir(room).expect("the room is there") {
        let path = entry.expect("its files can be listed").path();
        let text = fs::read_to_string(&path).expect("its files can be read");
        for (number, line) in text.lines().enumerate() {
            let foreign = FOREIGN.iter().find(|name| line.contains(*name));
            let other_room = line.contains("crate::") && !line.contains("crate::proto");
            assert!(foreign.is_none() && !other_room, "{}:{}: `{}`", path.display(), number + 1, line.trim());
        }
        *seen += 1;
    }
}

#[test]
fn the_protocol_and_the_routing_stand_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for room in ["proto", "topology"] {
        check(&source.join(room), &mut seen);
    }
    assert!(seen >= 7, "only {seen} files were found");
}
