//! Modules of a crate depend on one another in one direction.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::{entries, files, read};

/// The modules that may depend on each other, each crate's with the reason why they do.
const KNOTS: [(&str, &[&str]); 2] = [
    // One control loop: a service starts tasks, and what becomes of a task is the service's to see to.
    ("local/ecs", &["lifecycle", "scheduler", "services", "tasks"]),
    // A run starts the executions that are nested in it.
    ("local/states", &["engine", "run"]),
];

/// What each module of a crate depends on. A module counts with those in it; what the root itself has, all may use.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_modules_of_a_crate_make_no_circle() {
    let within = |folder: &str| {
        entries(folder).into_iter().map(|krate| format!("{folder}/{krate}")).collect::<Vec<_>>()
    };
    let mut crates: Vec<_> =
        ["crates", "functions", "local"].iter().flat_map(|folder| within(folder)).collect();
    crates.extend(["cli", "container"].map(str::to_owned));
    for krate in crates {
        let graph = graph(&format!("{krate}/src"));
        let knots = knots(&graph);
        let allowed = KNOTS.iter().filter(|(of, _)| *of == krate);
        let allowed: BTreeSet<_> =
            allowed.map(|(_, knot)| knot.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(
            knots, allowed,
            "{krate}: a circle of modules has to be as on the right; what closes one that is too much (a constant, \
             an alias, a function) belongs into the lower module or into one of its own"
        );
    }
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    for (how, source) in [
        ("a path", "use crate::b::Thing;"),
        ("a list", "use crate::{Root, c::{self, b}, b};"),
        ("in place", "fn f() { crate::b::g() }"),
        ("a list over lines", "pub(crate) use crate::{\n    Root,\n    b::Thing,\n};"),
    ] {
        assert!(uses(source).contains("b"), "{how}: {source}");
    }
    for (how, source) in [
        ("a name in a module", "use crate::c::{b, d::b};"),
        ("a comment", "// use crate::b;"),
        ("a test", "use crate::c;\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}"),
    ] {
        assert!(!uses(source).contains("b"), "{how}: {source}");
    }
    let graph = [("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")];
    let graph = graph.map(|(module, other)| (module.to_owned(), BTreeSet::from([other.to_owned()])));
    assert_eq!(knots(&graph.into()), BTreeSet::from([["b", "c"].map(String::from).into()]));
}

/// The sets of modules that depend on each other, whatever the way round.
fn knots(graph: &Graph) -> BTreeSet<BTreeSet<String>> {
    let reached: Graph = graph.keys().map(|module| (module.clone(), reached(graph, module))).collect();
    let tied = |module: &String| {
        let with = reached[module].iter().filter(|other| reached[*other].contains(module));
        with.cloned().chain([module.clone()]).collect()
    };
    graph.keys().map(tied).filter(|knot: &BTreeSet<_>| knot.len() > 1).collect()
}

/// All that a module depends on, also by way of others.
fn reached(graph: &Graph, module: &str) -> BTreeSet<String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![module]);
    while let Some(next) = open.pop() {
        open.extend(graph[next].iter().filter(|other| reached.insert((*other).clone())).map(String::as_str));
    }
    reached
}

fn graph(src: &str) -> Graph {
    let sources = files().into_iter().filter_map(|file| {
        let inside = file.strip_prefix(src).ok()?.with_extension("");
        let mut parts = inside.iter().map(|part| part.to_string_lossy().into_owned());
        let (module, is_top) = (parts.next()?, parts.next().is_none());
        let is_root = ["lib", "main", "bin"].contains(&module.as_str());
        (!is_root)
            .then(|| (module, if is_top { read(&file).replace("super::", "crate::") } else { read(&file) }))
    });
    let mut graph = Graph::new();
    for (module, source) in sources {
        graph.entry(module).or_default().extend(uses(&source));
    }
    let modules: BTreeSet<_> = graph.keys().cloned().collect();
    for (module, used) in &mut graph {
        used.retain(|other| other != module && modules.contains(other));
    }
    graph
}

/// The first names below the crate's root that a source has, without its comments and its tests.
fn uses(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: Vec<_> = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let word = |text: &str| {
        let text = text.trim_start();
        text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
    };
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => names.extend(items(list).map(word)),
            None => _ = names.insert(word(rest)),
        }
    }
    names
}

/// The items of a list in braces, whose opening brace is gone; an item's own braces belong to it.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let deeper = |c: char| i32::from(c == '{') - i32::from(c == '}');
    let mut depth = 0;
    let end = list.find(|c| {
        depth += deeper(c);
        depth < 0
    });
    let mut depth = 0;
    list[..end.unwrap_or(list.len())].split(move |c| {
        depth += deeper(c);
        c == ',' && depth == 0
    })
}
