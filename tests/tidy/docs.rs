//! The README and the architecture name everything a reader may look for.

use mayfly_model::class::Class;
use regex::Regex;

use crate::project::{functions, read, template};

#[test]
fn the_readme_names_every_class_of_failure() {
    assert_named("README.md", Class::ALL.iter().map(|class| class.name().to_owned()));
}

#[test]
fn the_readme_names_every_parameter_of_the_template() {
    let template = template();
    let parameters = template["Parameters"].as_object().expect("template.yaml has Parameters");
    assert_named("README.md", parameters.keys().cloned());
}

#[test]
fn the_architecture_names_every_function() {
    assert_named("docs/ARCHITECTURE.md", functions());
}

fn assert_named(file: &str, names: impl IntoIterator<Item = String>) {
    let text = read(file);
    let is_named = |name: &str| {
        let word = Regex::new(&format!(r"\b{}\b", regex::escape(name))).expect("a regular expression");
        word.is_match(&text)
    };
    let missing: Vec<_> = names.into_iter().filter(|name| !is_named(name)).collect();
    assert!(missing.is_empty(), "{file} says nothing of {missing:?}");
}
