//! The end-to-end tests lend each other nothing, so that each can be read, changed and taken away alone.

use std::path::Path;

use regex::Regex;

use crate::project::{files, read};

const TESTS: &str = "tests/e2e";
/// What all of them may use.
const SUPPORT: &str = "support";

#[test]
fn a_behaviour_imports_nothing_but_its_own_and_from_support() {
    // What a path begins with, and the module of the root that it goes on with.
    let path = Regex::new(r"\b(crate|super::super)::(\w*)").expect("a regular expression");
    let mut behaviours = 0;
    for file in files() {
        let Ok(relative) = file.strip_prefix(TESTS) else { continue };
        if relative.extension().is_none_or(|end| end != "rs") || relative == Path::new("main.rs") {
            continue;
        }
        let own = relative.with_extension("");
        let own = own.iter().next().and_then(|name| name.to_str()).expect("a module's name");
        let source = read(&file);
        for (found, [_, module]) in path.captures_iter(&source).map(|found| found.extract()) {
            assert!(
                module == own || module == SUPPORT,
                "{}: {found} belongs to another behaviour; move what both need to {TESTS}/{SUPPORT}",
                file.display()
            );
        }
        let is_top = relative.iter().count() == 1;
        assert!(!(is_top && source.contains("super::")), "{}: write `crate::`", file.display());
        behaviours += usize::from(own != SUPPORT);
    }
    assert!(behaviours > 0, "{TESTS} has no behaviours");
}
