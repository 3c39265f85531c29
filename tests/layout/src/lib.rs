//! The one layout of a state machine in Amazon States Language, in which a change of one thing is a change of one line.
//! Formatters of JSON know a width and nothing of retriers, so the layout is our own; and it is a package of its own, so
//! that `make fmt` compiles nothing else.
//!
//! - A retrier or catcher is a line, however long, and so is an object or a list of nothing but scalars and lists of them.
//! - An object that fits into 200 characters is a line, too.
//! - An object with a Comment has a line for each member, and a list of objects one for each, unless it is in a line.

use anyhow::{Result, ensure};
use serde_json::Value;

/// The characters of a line without its margin: a state looks the same in a branch as outside.
const WIDTH: usize = 200;

/// The text of a state machine in the layout, which differs in nothing but white space.
///
/// Fails for a text that is not JSON, and for one that would lose something: a key given twice, or a spelling of numbers
/// and letters that is not the plain one.
pub fn laid_out(text: &str) -> Result<String> {
    let laid_out = lay_out("", &serde_json::from_str(text)?, "\n") + "\n";
    ensure!(
        without_space(text) == without_space(&laid_out),
        "a key is given twice, or a number or a letter is not spelled in the plain way"
    );
    Ok(laid_out)
}

/// The value after its label, where each further line begins with the margin.
fn lay_out(label: &str, value: &Value, margin: &str) -> String {
    let line = format!("{label}{}", in_one_line(value));
    if is_handler(value) || may_share_a_line(value) && (is_small(value) || fits(value, &line)) {
        return line;
    }
    let inner = format!("{margin}  ");
    let entries: Vec<_> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| lay_out(&label_of(key), value, &inner)).collect()
        }
        other => children(other).map(|item| lay_out("", item, &inner)).collect(),
    };
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    format!("{label}{open}{inner}{}{margin}{close}", entries.join(&format!(",{inner}")))
}

fn in_one_line(value: &Value) -> String {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let entries: Vec<_> =
                members.iter().map(|(key, value)| label_of(key) + &in_one_line(value)).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(in_one_line).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn label_of(key: &str) -> String {
    format!("{}: ", Value::from(key))
}

/// A retrier or a catcher.
fn is_handler(value: &Value) -> bool {
    value.get("ErrorEquals").is_some()
}

/// Whether nothing in the value has a line of its own.
fn may_share_a_line(value: &Value) -> bool {
    value.get("Comment").is_none() && children(value).all(|part| !is_handler(part) && may_share_a_line(part))
}

/// Whether the value is scalars and lists of them.
fn is_small(value: &Value) -> bool {
    children(value).all(|part| !part.is_object() && is_small(part))
}

fn fits(value: &Value, line: &str) -> bool {
    value.is_object() && line.chars().count() <= WIDTH
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(members) => Box::new(members.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

fn without_space(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let matters = |letter: &char| {
        let was_in_string = in_string;
        if *letter == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && *letter == '\\' && !escaped;
        was_in_string || !letter.is_ascii_whitespace()
    };
    text.chars().filter(matters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retrier_is_a_line_however_long_and_a_state_with_a_comment_is_not() {
        let errors = format!("[{}]", ["\"States.TaskFailed\""; 20].join(", "));
        let machine = format!(
            r#"{{
  "StartAt": "A",
  "States": {{
    "A": {{
      "Type": "Task",
      "Comment": "Why it is there.",
      "Parameters": {{ "FunctionName": "f", "Payload": {{ "job.$": "$.job" }} }},
      "Retry": [
        {{ "ErrorEquals": {errors}, "MaxAttempts": 3 }},
        {{ "ErrorEquals": ["States.ALL"], "Comment": "once" }}
      ],
      "Next": "B"
    }},
    "B": {{ "Type": "Choice", "Choices": [{{ "Variable": "$.x", "IsPresent": true, "Next": "A" }}], "Default": "C" }},
    "C": {{ "Type": "Succeed" }}
  }}
}}
"#
        );
        assert_eq!(laid_out(&machine).expect("a machine"), machine);
    }

    #[test]
    fn what_is_too_long_for_a_line_is_spread_but_for_scalars() {
        let long = "x".repeat(WIDTH);
        let given = format!(r#"{{ "a": [{{ "b": "{long}" }}, {{ "c": [] }}], "d": ["{long}", {{}}] }}"#);
        let spread = format!(
            "{{\n  \"a\": [\n    {{ \"b\": \"{long}\" }},\n    {{ \"c\": [] }}\n  ],\n  \"d\": [\n    \"{long}\",\n    {{}}\n  ]\n}}\n"
        );
        assert_eq!(laid_out(&given).expect("JSON"), spread);
    }

    #[test]
    fn a_layout_is_the_same_json_in_the_same_order_and_its_own_layout() {
        let compact = r#"{"z":1,"a":{"Comment":"a \"b\" \\ { [,] } …","n":[-1,2.5,null,true],"e":{}},"m":[{"k":[[],[1]]}]}"#;
        let given: Value = serde_json::from_str(compact).expect("JSON");
        for text in [compact.to_owned(), format!("{given:#}")] {
            let laid_out = laid_out(&text).expect("JSON");
            let parsed: Value = serde_json::from_str(&laid_out).expect("the layout is JSON");
            assert_eq!(parsed.to_string(), compact);
            assert_eq!(super::laid_out(&laid_out).expect("JSON"), laid_out);
        }
    }

    #[test]
    fn a_text_that_would_lose_something_is_refused() {
        for text in [r#"{"a": 1, "a": 1}"#, r#"{"a": 1e2}"#, r#"{"a": "\u0061"}"#, r#"{"a": 1"#] {
            assert!(laid_out(text).is_err(), "{text}");
        }
    }
}
