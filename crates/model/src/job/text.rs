//! From a document's text to its values. What a parser takes without a word is refused: of a key that is given twice
//! the second would win.
//!
//! Only where the text itself is at hand is all of it to be seen. Step Functions parses an execution's input with
//! Jackson, as its refusals say (`com.fasterxml.jackson.core.JsonParseException`, seen in others' logs in November
//! 2026): it refuses a byte order mark itself, as `InvalidExecutionInput`, and hands on the last of two equal keys. So
//! the command line reads the text before it is sent, and plan-job reads what Step Functions has made of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::check;
use crate::shown::shown;

/// What the message of a key that is given twice begins with.
const TWICE: &str = "given twice: ";

/// Reads a job document's text.
///
/// # Errors
/// A message that names the place and what is wrong there.
pub fn read(text: &str) -> Result<Value, String> {
    if text.starts_with('\u{feff}') {
        return Err("the job document begins with a byte order mark; save it as UTF-8 without one".into());
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let unique: Unique = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, &error.into_inner())
    })?;
    json.end().map_err(|error| explain(".", &error))?;
    Ok(unique.0)
}

/// `error` is serde_json's about what stands at `path`.
fn explain(path: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let (problem, place) = message.rsplit_once(" at line ").unwrap_or((&message, ""));
    let field = check::shown_field(path);
    if let Some(key) = problem.strip_prefix(TWICE) {
        let field = if path == "." { key.to_owned() } else { format!("{path}.{key}") };
        let field = check::shown_field(&field);
        return format!("{field}: given twice, again at line {place}; allowed: once");
    }
    match problem {
        "number out of range" => {
            format!("{field}: given a number that is out of range; allowed: {}", check::number(path))
        }
        "recursion limit exceeded" => {
            "the job document has lists or objects in more than 127 levels; none of its fields needs more than four"
                .into()
        }
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            format!("{field}: given a text with half of a character, a surrogate; allowed: whole characters")
        }
        _ => format!("the job document is no JSON: {}", shown(&message)),
    }
}

/// A JSON value in which no object has a key twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unseen).map(Self)
    }
}

struct Unseen;

impl<'de> Visitor<'de> for Unseen {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom(format_args!("{TWICE}{key}")));
            }
            values.insert(key, object.next_value::<Unique>()?.0);
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_without_faults_is_read_as_serde_json_reads_it() {
        let text = r#"{"a": [1, -2, 3.5, true, null, "ü😀", {"b": {}}], "c": ""}"#;
        assert_eq!(read(text), Ok(serde_json::from_str(text).unwrap()));
    }

    #[test]
    fn a_key_that_is_given_twice_is_refused_at_any_depth() {
        for (text, message) in [
            (r#"{"task": 1, "task": 1}"#, "task: given twice, again at line 1 column 18; allowed: once"),
            (
                "{\"container\": {\"environment\": {\"A\": \"1\",\n\"A\": \"hunter2\"}}}",
                "container.environment.A: given twice, again at line 2 column 3; allowed: once",
            ),
            (
                r#"{"task": {"inputs": [{"file": "a", "file": "b"}]}}"#,
                "task.inputs[0].file: given twice, again at line 1 column 41; allowed: once",
            ),
            (r#"{"a": 1, "\u0061": 1}"#, "a: given twice, again at line 1 column 17; allowed: once"),
        ] {
            assert_eq!(read(text), Err(message.into()));
        }
    }

    #[test]
    fn a_byte_order_mark_is_called_by_its_name() {
        let error = read("\u{feff}{\"task\": {\"command\": [\"true\"]}}").unwrap_err();
        assert_eq!(error, "the job document begins with a byte order mark; save it as UTF-8 without one");
    }

    #[test]
    fn what_json_can_write_and_no_value_can_hold_is_named_with_its_field() {
        let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for (text, message) in [
            (
                r#"{"timeoutMinutes": 1e400}"#.to_owned(),
                "timeoutMinutes: given a number that is out of range; allowed: a whole number in digits alone, 1 to 10080",
            ),
            (
                r#"{"task": {"command": ["a", "\ud800"]}}"#.to_owned(),
                "task.command[1]: given a text with half of a character, a surrogate; allowed: whole characters",
            ),
            (
                r#"{"user": "\ud800x"}"#.to_owned(),
                "user: given a text with half of a character, a surrogate; allowed: whole characters",
            ),
            (
                r#"{"user": "\udc00"}"#.to_owned(),
                "user: given a text with half of a character, a surrogate; allowed: whole characters",
            ),
            (
                format!(r#"{{"tags": {nested}}}"#),
                "the job document has lists or objects in more than 127 levels; none of its fields needs more than four",
            ),
        ] {
            assert_eq!(read(&text), Err(message.into()));
        }
    }

    #[test]
    fn broken_json_is_refused_with_its_place() {
        let error = read("{\n  \"task\": }").unwrap_err();
        assert_eq!(error, "the job document is no JSON: expected value at line 2 column 11");
        assert!(read("{} {}").unwrap_err().contains("trailing characters"));
        assert!(read("").unwrap_err().contains("EOF"));
    }
}
