//! Nobody asks what time it is, draws a number or reads a setting but where everybody asks.

use std::collections::BTreeSet;

use regex::Regex;

use crate::project::{read, sources};

/// What is to be had in one room only.
struct Seam {
    of: &'static str,
    /// The calls that nobody makes outside of the room.
    calls: &'static str,
    room: &'static str,
    /// The folders whose sources keep to the room, tests in them included.
    trees: &'static [&'static str],
}

const TIME: &str = r"\b[A-Z]\w*::now\b|\.elapsed\(|\bthread::sleep\b";
// A `select!` that is not biased draws the branch that it looks at first.
const RANDOM: &str = r"\b(fastrand|getrandom|rand)::|\bnew_v4\b|\bselect! \{";
const VARIABLES: &str = r"\benv::(vars?|vars?_os)\b";

const LOCAL: &[&str] = &["local/*/src"];
const STEPS: &[&str] = &["crates/*/src", "functions/*/src"];

const SEAMS: [Seam; 5] = [
    Seam { of: "the time", calls: TIME, room: "local/aws/src/clock.rs", trees: LOCAL },
    Seam { of: "what is random", calls: RANDOM, room: "local/aws/src/random.rs", trees: LOCAL },
    Seam { of: "a step's time", calls: TIME, room: "crates/lambda/src/environment.rs", trees: STEPS },
    Seam {
        of: "what is random in a step",
        calls: RANDOM,
        room: "crates/lambda/src/environment.rs",
        trees: STEPS,
    },
    Seam { of: "a step's setting", calls: VARIABLES, room: "crates/lambda/src/environment.rs", trees: STEPS },
];

/// Files that ask by themselves all the same, and why.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "local/cloud/src/folder.rs",
    "what a killed cloud has left is ended before there is a cloud: processes of this machine, which take real time",
)];

#[test]
fn time_randomness_and_settings_come_from_one_room_each() {
    let excepted: BTreeSet<_> = EXCEPTIONS.iter().map(|(file, _)| (*file).to_owned()).collect();
    let mut exceptions = BTreeSet::new();
    let mut trees = BTreeSet::new();
    for file in sources() {
        let (name, text) = (file.display().to_string(), read(&file));
        for Seam { of, room, trees: kept, .. } in &SEAMS {
            let Some(tree) = kept.iter().find(|tree| is_in(&name, tree)) else { continue };
            trees.insert(*tree);
            let Some(call) = found(of, &text).filter(|_| *room != name) else { continue };
            assert!(
                excepted.contains(&name),
                "{name}: `{call}`: {of} comes from {room} alone, so that it can be set from outside"
            );
            exceptions.insert(name.clone());
        }
    }
    let all: BTreeSet<_> = SEAMS.iter().flat_map(|seam| seam.trees).copied().collect();
    assert_eq!(trees, all, "each of the trees (right) has sources (left)");
    assert_eq!(exceptions, excepted, "of the EXCEPTIONS (right), these are needed (left)");
}

#[test]
fn a_call_is_found_however_it_is_written() {
    for (of, source) in [
        ("the time", "let began = std::time::Instant::now();"),
        ("the time", "task.at.get_or_insert_with(Timestamp::now)"),
        ("the time", "if began.elapsed() > LIMIT {"),
        ("a step's setting", "std::env::var(\"STACK_NAME\")"),
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
