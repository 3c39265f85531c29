//! Puts what serde says about a document into the words of the other rules: the field, what was given, what is allowed.

use serde_json::Value;

use super::check;
use crate::shown::shown;

/// Refuses a list in the place of an object, which serde would take as the object's fields in their order.
pub(super) fn refuse_lists(document: &Value) -> Result<(), String> {
    let objects =
        ["network", "container", "task", "service"].map(|name| (name.to_owned(), document.get(name)));
    let in_service = ["healthCheck", "loadBalancer"]
        .map(|name| (format!("service.{name}"), document.pointer(&format!("/service/{name}"))));
    let items =
        [("container", "ulimits"), ("task", "inputs"), ("task", "outputs"), ("service", "ports")].into_iter();
    let items = items.flat_map(|(parent, name)| {
        let items = document.pointer(&format!("/{parent}/{name}")).and_then(Value::as_array);
        let named = move |(i, item)| (format!("{parent}.{name}[{i}]"), Some(item));
        items.into_iter().flatten().enumerate().map(named)
    });
    match objects
        .into_iter()
        .chain(in_service)
        .chain(items)
        .find(|(_, value)| value.is_some_and(Value::is_array))
    {
        Some((field, _)) => Err(format!("{field}: given a list; allowed: an object")),
        None => Ok(()),
    }
}

/// `message` is serde's about the field at `path`.
pub(super) fn explain(path: &str, message: &str) -> String {
    let field = check::shown_field(path);
    if let Some(missing) = message.strip_prefix("missing field ") {
        let parent = if path == "." { String::new() } else { format!("{field}.") };
        return format!("{parent}{}: missing; it is required", plain(missing));
    }
    let Some((problem, expected)) = message.rsplit_once(", expected ") else {
        return format!("{field}: {}", shown(message));
    };
    if problem.starts_with("unknown field ") {
        return format!("{field}: there is no such field; allowed: {}", plain(expected));
    }
    let prefixes = ["unknown variant ", "invalid type: ", "invalid value: "];
    let given = prefixes.iter().find_map(|prefix| problem.strip_prefix(prefix)).unwrap_or(problem);
    // What stands in the place of a secret may be one.
    let is_secret = ["container.environment", "container.secrets", "container.repositoryCredentials"]
        .iter()
        .any(|place| path.starts_with(place));
    let (kind, value) = parts(given);
    let given = if is_secret { kind.to_owned() } else { value };
    format!("{field}: given {given}; allowed: {}", allowed(path, expected))
}

/// serde_json names a value by its type in Rust and the value: what JSON calls the type, and the value.
fn parts(given: &str) -> (&'static str, String) {
    let types = [
        ("string ", "a text"),
        ("integer ", "a number"),
        ("floating point ", "a number"),
        ("boolean ", "true or false"),
        ("map", "an object"),
        ("sequence", "a list"),
    ];
    let named = types.iter().find_map(|(name, kind)| Some((*kind, given.strip_prefix(name)?)));
    match named {
        Some((kind, "")) => (kind, kind.to_owned()),
        Some((kind, value)) => (kind, shown(&plain(value))),
        None => ("something else", shown(&plain(given))),
    }
}

fn allowed(path: &str, expected: &str) -> String {
    match expected {
        "u32" | "u16" => check::number(path),
        "a string" | "string or map" => "a text".into(),
        "a sequence" => "a list".into(),
        "a map" => "an object".into(),
        _ if expected.starts_with("struct ") => "an object".into(),
        _ => plain(expected),
    }
}

fn plain(text: &str) -> String {
    text.trim_start_matches("one of ").replace('`', "")
}
