//! Every member of the workspace is made the same way.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::project::{files, functions, path, read, sources, toml};

/// Words of unfinished work.
const UNFINISHED: [&str; 5] = ["TODO", "FIXME", "todo!(", "unimplemented!(", "dbg!("];

/// Of a function's `main.rs`.
const MAIN_LINES: usize = 15;

#[test]
fn a_member_takes_versions_and_lints_from_the_workspace() {
    let manifests =
        files().into_iter().filter(|file| file.ends_with("Cargo.toml") && file != Path::new("Cargo.toml"));
    for file in manifests {
        let (manifest, place) = (toml(&file), file.display());
        assert_eq!(
            manifest["lints"],
            json!({ "workspace": true }),
            "{place}: needs [lints] workspace = true"
        );
        let tables =
            ["dependencies", "dev-dependencies", "build-dependencies"].map(|table| manifest.get(table));
        for (name, given) in tables.into_iter().flatten().filter_map(Value::as_object).flatten() {
            let virtual_time = json!({ "workspace": true, "features": ["test-util"] });
            if name == "tokio" && *given == virtual_time {
                // What pauses Tokio's clock is nothing that a function or the worker is to be built with.
                let is_for_tests = file == Path::new("tests/simulation/Cargo.toml")
                    || manifest["dev-dependencies"].get("tokio") == Some(given);
                assert!(is_for_tests, "{place}: test-util is for tests");
                continue;
            }
            assert_eq!(
                *given,
                json!({ "workspace": true }),
                "{place}: write `{name}.workspace = true`, and its version and features into the root's Cargo.toml"
            );
        }
    }
}

#[test]
fn a_source_file_begins_with_its_purpose() {
    let bare: Vec<_> = sources().filter(|file| !read(file).starts_with("//! ")).collect();
    assert!(bare.is_empty(), "begin with a line of `//!` that says what the file is for: {bare:?}");
}

#[test]
fn a_function_s_program_only_serves_its_step() {
    for name in functions() {
        let file = format!("functions/{name}/src/main.rs");
        let lines = read(&file).lines().count();
        assert!(
            lines <= MAIN_LINES,
            "{file}: move what does more than serve into lib.rs: it has {lines} lines"
        );
    }
}

#[test]
fn nothing_is_left_unfinished() {
    // This file has the words, too.
    for file in files().into_iter().filter(|file| file != Path::new(file!())) {
        let Ok(text) = fs::read_to_string(path(&file)) else { continue };
        let word = UNFINISHED.iter().find(|word| text.contains(**word));
        assert!(word.is_none(), "{}: finish what {word:?} stands for", file.display());
    }
}
