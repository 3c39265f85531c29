//! What serde says about a document, in the words of the other rules: the field, what was given, what is allowed.

use serde_json::Value;

/// Refuses a list in the place of an object, which serde would take as the object's fields in their order.
pub(super) fn refuse_lists(document: &Value) -> Result<(), String> {
    let objects = ["network", "container", "task"].map(|name| (name.to_owned(), document.get(name)));
    let files = ["inputs", "outputs"].into_iter().flat_map(|name| {
        let files = document.pointer(&format!("/task/{name}")).and_then(Value::as_array);
        let named = move |(i, file)| (format!("task.{name}[{i}]"), Some(file));
        files.into_iter().flatten().enumerate().map(named)
    });
    match objects.into_iter().chain(files).find(|(_, value)| value.is_some_and(Value::is_array)) {
        Some((field, _)) => Err(format!("{field}: given a list; allowed: an object")),
        None => Ok(()),
    }
}

/// `message` is serde's about the field at `path`.
pub(super) fn explain(path: &str, message: &str) -> String {
    if let Some(field) = message.strip_prefix("missing field ") {
        let parent = if path == "." { String::new() } else { format!("{path}.") };
        return format!("{parent}{}: missing; it is required", plain(field));
    }
    let Some((problem, expected)) = message.rsplit_once(", expected ") else {
        return format!("{path}: {message}");
    };
    if problem.starts_with("unknown field ") {
        return format!("{path}: there is no such field; allowed: {}", plain(expected));
    }
    let prefixes = ["unknown variant ", "invalid type: ", "invalid value: "];
    let given = prefixes.iter().find_map(|prefix| problem.strip_prefix(prefix)).unwrap_or(problem);
    format!("{path}: given {}; allowed: {}", value(given), kind(expected))
}

/// serde_json names a value by its type in Rust and the value.
fn value(given: &str) -> String {
    match given {
        "map" => "an object".into(),
        "sequence" => "a list".into(),
        _ => ["string ", "integer ", "floating point ", "boolean "]
            .iter()
            .find_map(|name| given.strip_prefix(name))
            .map_or_else(|| plain(given), plain),
    }
}

fn kind(expected: &str) -> String {
    match expected {
        "u32" => "a whole number, 0 to 4294967295".into(),
        "u16" => "a whole number, 0 to 65535".into(),
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
