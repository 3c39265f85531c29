//! The documents name everything a reader may look for, and nothing that is not there.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use mayfly_model::class::Class;
use mayfly_model::job::{JobDocument, Limits};
use regex::Regex;
use serde_json::{Value, json};

use crate::project::{Machine, functions, machines, path, read, template};

const README: &str = "README.md";
const REFERENCE: &str = "docs/REFERENCE.md";
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const DOCUMENTS: [&str; 3] = [README, REFERENCE, ARCHITECTURE];

#[test]
fn the_reference_names_every_class_of_failure_with_its_remedy() {
    let text = read(REFERENCE);
    for class in Class::ALL {
        let (name, remedy) = (class.name(), class.remedy(""));
        let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{REFERENCE} says nothing of {name}"));
        assert!(row.contains(remedy), "{REFERENCE}: the row of {name} must say what `mayfly` says: {remedy}");
    }
}

#[test]
fn the_reference_names_every_parameter_and_output_of_the_template() {
    let template = template();
    for section in ["Parameters", "Outputs"] {
        let named = template[section].as_object().unwrap_or_else(|| panic!("template.yaml has no {section}"));
        assert_named(REFERENCE, named.keys().cloned());
    }
}

/// A refusal lists what is allowed, so each is asked for with a document that has something else there.
#[test]
fn the_reference_names_every_field_of_a_job_and_every_word_it_may_hold() {
    let with = |place: &str, value: Value| {
        let mut document = json!({ "task": { "command": ["true"] } });
        document[place] = value;
        document
    };
    let of_task = |list: &str| with("task", json!({ "command": ["true"], list: [{ "no such": "" }] }));
    let of_service = |place: &str, value: Value| {
        let mut service = json!({ "ports": [{ "port": 80 }], "allowFrom": ["0.0.0.0/0"], "ttlMinutes": 1 });
        service[place] = value;
        json!({ "service": service })
    };
    let refused = [
        with("no such", json!("")),
        with("network", json!({ "no such": "" })),
        with("network", json!({ "mode": "no such" })),
        with("network", json!({ "mode": "private", "egress": "no such" })),
        with("container", json!({ "no such": "" })),
        with("capacity", json!("no such")),
        with("task", json!({ "no such": "" })),
        of_task("inputs"),
        of_task("outputs"),
        of_service("no such", json!("")),
        of_service("ports", json!([{ "no such": "" }])),
        of_service("ports", json!([{ "port": 80, "protocol": "no such" }])),
        of_service("healthCheck", json!({ "no such": "" })),
        of_service("loadBalancer", json!({ "no such": "" })),
    ];
    for document in refused {
        let refusal = JobDocument::parse(&document.to_string(), &Limits::default());
        let refusal = refusal.expect_err("there is no such thing");
        let allowed = refusal.split_once("allowed: ").unwrap_or_else(|| panic!("{refusal}: lists nothing")).1;
        assert_named(REFERENCE, allowed.split(", ").flat_map(|words| words.split(" or ")).map(Into::into));
    }
}

#[test]
fn the_architecture_names_every_function() {
    assert_named(ARCHITECTURE, functions());
}

#[test]
fn the_readmes_jobs_are_accepted() {
    let readme = read(README);
    let jobs: Vec<_> =
        readme.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!jobs.is_empty(), "{README} shows no job");
    let limits = Limits { buckets: vec!["mayfly-data".to_owned()], ..Limits::default() };
    for job in jobs {
        JobDocument::parse(job, &limits).unwrap_or_else(|error| panic!("{README}: {error}\n{job}"));
    }
}

/// In a run as `mayfly` prints it, on a critical path, and in the picture of a job.
#[test]
fn every_step_that_is_shown_is_a_state() {
    let machines = machines();
    let states: BTreeSet<_> =
        machines.iter().flat_map(Machine::states).map(|state| state.name.to_owned()).collect();
    let shown = r"(?m)^(?:  \d\d:\d\d:\d\d +)?([A-Z][a-z]+[A-Z]\w+) [. ]";
    for document in [README, REFERENCE] {
        let mut names = in_file(document, shown);
        assert!(!names.is_empty(), "{document} shows no step");
        for picture in matches(r"(?s)```mermaid\n(.*?)```", &read(document)) {
            names.extend(matches(r"\b([A-Z][a-z]+[A-Z][A-Za-z]+)\b", picture).into_iter().map(Into::into));
        }
        let unknown: Vec<_> = names.difference(&states).collect();
        assert!(unknown.is_empty(), "{document} shows {unknown:?}, which no machine has");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for document in DOCUMENTS {
        let text = prose(document);
        let links = matches(r"\]\(([^)\s]+)\)", &text);
        for link in links.into_iter().filter(|link| !link.starts_with("https://")) {
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, id)| (file, Some(id)));
            let target = if file.is_empty() { document.into() } else { beside(document, file) };
            assert!(path(&target).exists(), "{document}: {link} leads to no file");
            if let Some(heading) = heading {
                let target = target.to_str().expect("a path in UTF-8");
                assert!(headings(target).contains(heading), "{document}: {target} has no heading #{heading}");
            }
        }
    }
}

#[test]
fn every_command_exists_and_the_reference_names_them_all() {
    let targets = in_file("Makefile", r"(?m)^([a-z-]+):.*## ");
    let cli = read("cli/src/main.rs");
    let commands = cli.split_once("\nenum Command {").and_then(|(_, rest)| rest.split_once("\n}"));
    let commands = commands.expect("cli/src/main.rs has an enum Command").0;
    let commands: BTreeSet<_> =
        matches(r"(?m)^    ([A-Z]\w+)", commands).into_iter().map(str::to_lowercase).collect();
    for (program, known) in [("make", targets), ("mayfly", commands)] {
        let used = |document| in_file(document, &format!(r"(?m)(?:`|^\$ ){program} ([a-z][a-z-]*)"));
        for document in DOCUMENTS {
            let unknown: Vec<_> = used(document).difference(&known).cloned().collect();
            assert!(unknown.is_empty(), "{document}: {program} knows no {unknown:?}");
        }
        let missing: Vec<_> = known.difference(&used(REFERENCE)).cloned().collect();
        assert!(missing.is_empty(), "{REFERENCE} says nothing of {program} {missing:?}");
    }
}

/// Of a file that no link leads to: between backticks, or behind `JOB=` and `file://`.
#[test]
fn every_path_exists() {
    for document in DOCUMENTS {
        let mut files = in_file(document, r"`([a-z_]+/[\w./-]*)`");
        files.extend(in_file(document, r"(?:JOB=|file://)([a-z][\w./-]*)"));
        for file in files.iter().filter(|file| !file.starts_with("target/")) {
            assert!(path(file).exists(), "{document}: there is no {file}");
        }
    }
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

/// The first group of each match.
fn matches<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
    let pattern = Regex::new(pattern).expect("a regular expression");
    pattern.captures_iter(text).filter_map(|found| found.get(1)).map(|group| group.as_str()).collect()
}

fn in_file(file: &str, pattern: &str) -> BTreeSet<String> {
    matches(pattern, &read(file)).into_iter().map(Into::into).collect()
}

/// A document without what stands between fences, where `#` begins a comment.
fn prose(document: &str) -> String {
    static FENCED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?ms)^```.*?^```$").expect("a regular expression"));
    FENCED.replace_all(&read(document), "").into_owned()
}

/// `link` as a path of the project, seen from `document`.
fn beside(document: &str, link: &str) -> PathBuf {
    let mut target = PathBuf::new();
    for part in Path::new(document).with_file_name(link).components() {
        match part {
            Component::ParentDir => {
                target.pop();
            }
            part => target.push(part),
        }
    }
    target
}

/// What `#…` may be in a link to a Markdown file, as GitHub makes it of the headings.
fn headings(file: &str) -> BTreeSet<String> {
    let keeps = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let id =
        |heading: &str| heading.to_lowercase().chars().filter(keeps).collect::<String>().replace(' ', "-");
    matches(r"(?m)^#+ (.+)$", &prose(file)).into_iter().map(id).collect()
}
