//! Who may build on whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::{entries, toml};

/// What only functions share.
const OF_FUNCTIONS: [&str; 9] = ["ec2", "ecs", "elb", "events", "jobs", "lambda", "logs", "s3", "sqs"];

/// The dependencies of each member, by the member's folder; those that are members themselves by their folders too. What
/// tests alone use does not count.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let paths = toml("Cargo.toml")["workspace"]["dependencies"].clone();
    let folder = |name: &str| paths[name]["path"].as_str().unwrap_or(name).to_owned();
    let groups = ["crates", "functions", "local"];
    let inside = groups.map(|group| entries(group).into_iter().map(move |name| format!("{group}/{name}")));
    let members = inside.into_iter().flatten().chain(["cli", "container", "tests"].map(str::to_owned));
    let of = |member: String| {
        let manifest = toml(format!("{member}/Cargo.toml"));
        let names = manifest["dependencies"].as_object().into_iter().flatten().map(|(name, _)| folder(name));
        (member, names.collect())
    };
    members.map(of).collect()
}

/// All that `member` is built on, directly or not.
fn closure<'a>(member: &'a str, all: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![member]);
    while let Some(next) = open.pop() {
        let direct = all.get(next).into_iter().flatten().map(String::as_str);
        open.extend(direct.filter(|name| found.insert(*name)));
    }
    found
}

#[test]
fn the_model_knows_neither_aws_nor_lambda() {
    let all = dependencies();
    let is_foreign = |name: &&str| name.contains("aws") || name.contains("lambda") || all.contains_key(*name);
    let foreign: Vec<_> = closure("crates/model", &all).into_iter().filter(is_foreign).collect();
    assert!(
        foreign.is_empty(),
        "crates/model/Cargo.toml: what everybody speaks of needs none of {foreign:?}"
    );
}

#[test]
fn the_worker_and_the_command_line_build_without_lambda() {
    let all = dependencies();
    for product in ["container", "cli"] {
        let of_functions = |name: &&str| {
            name.starts_with("lambda_runtime")
                || name.strip_prefix("crates/").is_some_and(|name| OF_FUNCTIONS.contains(&name))
        };
        let built_on: Vec<_> = closure(product, &all).into_iter().filter(of_functions).collect();
        assert!(built_on.is_empty(), "{product}/Cargo.toml: {built_on:?} are for functions alone");
    }
}

#[test]
fn no_product_builds_on_another_or_on_the_local_cloud() {
    let all = dependencies();
    let is_product = |name: &str| ["cli", "container"].contains(&name) || name.starts_with("functions/");
    let products = all.keys().filter(|name| is_product(name) || name.starts_with("crates/"));
    for product in products {
        let wrong: Vec<_> = closure(product, &all)
            .into_iter()
            .filter(|name| is_product(name) || name.starts_with("local/") || *name == "tests")
            .collect();
        assert!(wrong.is_empty(), "{product}/Cargo.toml: share by crates/, and not by {wrong:?}");
    }
}

#[test]
fn every_crate_is_on_one_side_of_the_walls() {
    let crates = entries("crates");
    let known: BTreeSet<_> = OF_FUNCTIONS.into_iter().chain(["images", "model"]).map(str::to_owned).collect();
    assert_eq!(
        crates, known,
        "tests/tidy/walls.rs: say whether the crates (left) are for functions alone (right)"
    );
}
