//! What the simulation has to find can be brought back.

use std::process::Command;

use crate::project::{entries, path, read};

const FOLDER: &str = "tests/simulation/mutants";

/// Where the product is.
const PRODUCT: [&str; 3] = ["crates/", "functions/", "statemachine/"];

#[test]
fn every_mistake_says_what_it_is_and_can_be_made_in_the_product_as_it_is_now() {
    for name in entries(FOLDER) {
        let file = format!("{FOLDER}/{name}");
        let text = read(&file);
        let words = text.split("\n\n").next().unwrap_or_default();
        assert!(words.ends_with('.'), "{file}: begin with a sentence on what it brings back");
        for changed in text.lines().filter_map(|line| line.strip_prefix("+++ b/")) {
            let is_product = PRODUCT.iter().any(|folder| changed.starts_with(folder));
            assert!(is_product, "{file}: {changed} is none of the product's files");
        }
        let check = Command::new("git").args(["apply", "--check", &file]).current_dir(path(".")).output();
        let check = check.expect("git starts");
        let told = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{file}: make the same mistake in what is there now: {told}");
    }
}
