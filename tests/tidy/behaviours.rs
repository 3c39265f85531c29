//! The tests of behaviours, end to end and on the simulation, lend each other nothing, so that each can be read, changed and
//! taken away alone; and no class of failure is without one.

use mayfly_model::class::Class;
use regex::Regex;

use crate::project::{files, read};

const TESTS: [&str; 2] = ["tests/e2e", "tests/simulation/simulate"];
/// What all of them may use.
const SUPPORT: &str = "support";
/// What is no behaviour: the program of the simulation.
const PROGRAM: [&str; 5] = ["main.rs", "matrix.rs", "mutants.rs", "randomness.rs", "trials.rs"];

/// The classes that no `classes.rs` is about: `invalid_documents.rs`, `command_fails.rs`, and the worker's `command.rs`,
/// where a test can play the disk.
const ELSEWHERE: [Class; 3] = [Class::InvalidJob, Class::CommandFailed, Class::DiskFull];

#[test]
fn a_behaviour_imports_nothing_but_its_own_and_from_support() {
    // What a path begins with, and the module of the root that it goes on with: none where it takes from the root itself.
    let path = Regex::new(r"\b(crate|super::super)::(\w*)").expect("a regular expression");
    for tests in TESTS {
        let mut behaviours = 0;
        for file in files() {
            let Ok(relative) = file.strip_prefix(tests) else { continue };
            let is_program = relative.to_str().is_some_and(|name| PROGRAM.contains(&name));
            if relative.extension().is_none_or(|end| end != "rs") || is_program {
                continue;
            }
            let own = relative.with_extension("");
            let own = own.iter().next().and_then(|name| name.to_str()).expect("a module's name");
            let source = read(&file);
            for (found, [_, module]) in path.captures_iter(&source).map(|found| found.extract()) {
                let is_root = module.is_empty() && tests != TESTS[0];
                assert!(
                    module == own || module == SUPPORT || is_root,
                    "{}: {found} belongs to another behaviour; move what both need to {tests}/{SUPPORT}",
                    file.display()
                );
            }
            let is_top = relative.iter().count() == 1;
            assert!(!(is_top && source.contains("super::")), "{}: write `crate::`", file.display());
            behaviours += usize::from(own != SUPPORT);
        }
        assert!(behaviours > 0, "{tests} has no behaviours");
    }
}

#[test]
fn every_class_has_a_test() {
    let sources = TESTS.map(|tests| read(format!("{tests}/classes.rs"))).concat();
    for class in Class::ALL.iter().filter(|class| !ELSEWHERE.contains(class)) {
        let mut start = String::new();
        for c in class.name().chars() {
            if c.is_uppercase() {
                start.push('_');
            }
            start.extend(c.to_lowercase());
        }
        assert!(sources.contains(&format!("\"class{start}_")), "no test is about {class}");
    }
}
