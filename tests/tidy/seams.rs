//! Nobody asks what time it is, or draws a number, but where everybody asks.

use std::collections::BTreeSet;

use regex::Regex;

use crate::project::{files, read};

/// What is to be had in one room only.
struct Seam {
    of: &'static str,
    /// The calls that nobody makes outside of the room.
    calls: &'static str,
    room: &'static str,
}

const SEAMS: [Seam; 2] = [
    Seam {
        of: "the time",
        calls: r"\b[A-Z]\w*::now\b|\.elapsed\(|\bthread::sleep\b",
        room: "local/aws/src/clock.rs",
    },
    Seam {
        of: "what is random",
        // A `select!` that is not biased draws the branch that it looks at first.
        calls: r"\b(fastrand|getrandom|rand)::|\bnew_v4\b|\bselect! \{",
        room: "local/aws/src/random.rs",
    },
];

/// The folders whose sources keep to the rooms, tests in them included.
const TREES: [&str; 1] = ["local/*/src"];

/// Files that ask by themselves all the same, and why.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "local/cloud/src/folder.rs",
    "what a killed cloud has left is ended before there is a cloud: processes of this machine, which take real time",
)];

#[test]
fn time_and_randomness_come_from_one_room_each() {
    let excepted: BTreeSet<_> = EXCEPTIONS.iter().map(|(file, _)| (*file).to_owned()).collect();
    let mut exceptions = BTreeSet::new();
    let mut sources = 0;
    for file in files() {
        let name = file.display().to_string();
        if !TREES.iter().any(|tree| is_in(&name, tree)) || file.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        sources += 1;
        let text = read(&file);
        for Seam { of, room, .. } in SEAMS.iter().filter(|seam| seam.room != name) {
            let Some(call) = found(of, &text) else { continue };
            assert!(
                excepted.contains(&name),
                "{name}: `{call}`: {of} comes from {room} alone, so that it can be set from outside"
            );
            exceptions.insert(name.clone());
        }
    }
    assert!(sources > 0, "no folder is like {TREES:?}");
    assert_eq!(exceptions, excepted, "of the EXCEPTIONS (right), these are needed (left)");
}

#[test]
fn a_call_is_found_however_it_is_written() {
    for (of, source) in [
        ("the time", "let began = std::time::Instant::now();"),
        ("the time", "task.at.get_or_insert_with(Timestamp::now)"),
        ("the time", "if began.elapsed() > LIMIT {"),
        ("what is random", "let id: u64 = rand::random();"),
        ("what is random", "use rand::RngExt;"),
        ("what is random", "Uuid::new_v4()"),
        ("what is random", "tokio::select! {\n    _ = a => {}\n}"),
    ] {
        assert!(found(of, source).is_some(), "{source}");
    }
    for (of, source) in [
        ("the time", "let began = clock.now();"),
        ("the time", "// Not Instant::now, which stands still."),
        ("what is random", "let id: u64 = random.value();"),
        ("what is random", "tokio::select! {\n    biased;\n    _ = a => {}\n}"),
    ] {
        assert_eq!(found(of, source), None, "{source}");
    }
}

/// Whether the file is below a folder that is like `tree`.
fn is_in(file: &str, tree: &str) -> bool {
    let mut parts = file.split('/');
    tree.split('/').all(|wanted| parts.next().is_some_and(|part| wanted == "*" || wanted == part))
}

/// The first call in `source` that the seam of this name keeps to its room.
fn found(of: &str, source: &str) -> Option<String> {
    let seam = SEAMS.iter().find(|seam| seam.of == of)?;
    let code: Vec<_> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = Regex::new(r"\bselect! \{\s*biased;").unwrap().replace_all(&code.join("\n"), "").into_owned();
    Regex::new(seam.calls).unwrap().find(&code).map(|call| call.as_str().to_owned())
}
