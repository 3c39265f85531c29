//! What has been compiled once is good for every command.

use std::collections::BTreeSet;
use std::process::Command;

use crate::project::path;

/// aws-sdk-ec2 alone takes five minutes and seven gigabytes, and Cargo compiles a crate anew for other features, its own or
/// those of what it depends on.
#[test]
fn the_product_and_its_tests_share_every_compiled_crate() {
    let shared = compiled(&["--workspace", "--edges", "normal,build,dev"]);
    let alone: BTreeSet<_> = &compiled(&["--edges", "normal,build"]) - &shared;
    assert!(
        alone.is_empty(),
        "Cargo.toml: `cargo build` and `cargo test --workspace` compile these with other features: {alone:#?}; \
         choose `default-members` so that they agree"
    );
}

/// The crates, each with its version and its features, that Cargo compiles for a selection of members. Cargo can print the
/// units themselves on nightly only.
fn compiled(selection: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--frozen", "--prefix", "none", "--format", "{p} {f}"])
        .args(selection)
        .current_dir(path("."))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("text");
    // The star marks a crate whose dependencies have been listed before.
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}
