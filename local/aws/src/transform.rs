//! What a rule's target is sent, as the EventBridge user guide describes it under "Input transformation".

use aws_sdk_eventbridge::types::{InputTransformer, Target};
use serde_json::Value;

/// The rule that an event has matched.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

/// The text for `target`, which is JSON: the event, a constant, a part of the event, or a template filled in.
///
/// # Errors
/// A sentence that names the path, the variable or the template that cannot be used.
pub fn input(target: &Target, rule: &Rule, event: &Value) -> Result<String, String> {
    match (&target.input, &target.input_path, &target.input_transformer) {
        (Some(constant), None, None) => json_text(constant),
        (None, Some(path), None) => match at(event, path)? {
            Some(part) => Ok(part.to_string()),
            None => Err(format!("the event has nothing at InputPath {path}")),
        },
        (None, None, Some(transformer)) => transform(transformer, rule, event),
        (None, None, None) => Ok(event.to_string()),
        _ => Err("a target has one of Input, InputPath and InputTransformer".into()),
    }
}

/// "The JSON that is passed to the target is minified and escaped" (the same page, "Common issues").
fn json_text(text: &str) -> Result<String, String> {
    serde_json::from_str::<Value>(text)
        .map(|value| value.to_string())
        .map_err(|error| format!("the input is not JSON: {error}: {text}"))
}

fn transform(transformer: &InputTransformer, rule: &Rule, event: &Value) -> Result<String, String> {
    let mut output = String::new();
    let mut in_string = false;
    let mut rest = transformer.input_template.as_str();
    while let Some(character) = rest.chars().next() {
        if let Some(placeholder) = rest.strip_prefix('<') {
            let (name, after) =
                placeholder.split_once('>').ok_or("a < in the InputTemplate is never closed")?;
            output.push_str(&render(name, variable(name, transformer, rule, event)?, in_string)?);
            rest = after;
            continue;
        }
        let escaped = character == '\\' && in_string;
        in_string ^= character == '"';
        let taken = rest.chars().take(if escaped { 2 } else { 1 }).map(char::len_utf8).sum();
        output.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    json_text(&output)
}

/// The value of a placeholder; `None` where the event has nothing at the variable's path.
fn variable(
    name: &str,
    transformer: &InputTransformer,
    rule: &Rule,
    event: &Value,
) -> Result<Option<Value>, String> {
    Ok(Some(match name {
        "aws.events.rule-arn" => rule.arn.clone().into(),
        "aws.events.rule-name" => rule.name.clone().into(),
        "aws.events.event.json" => event.clone(),
        // "The original event payload as JSON (without the detail field)."
        "aws.events.event" => {
            let mut event = event.clone();
            if let Some(fields) = event.as_object_mut() {
                fields.remove("detail");
            }
            event
        }
        // The bus takes an event the moment it is made.
        "aws.events.event.ingestion-time" => event["time"].clone(),
        name => {
            let path = transformer.input_paths_map.as_ref().and_then(|paths| paths.get(name));
            let path =
                path.ok_or_else(|| format!("the InputTemplate names <{name}>, which InputPathsMap lacks"))?;
            return Ok(at(event, path)?.cloned());
        }
    }))
}

/// A text stands bare or in quotes and gets them where they are missing; anything else is JSON. Values are not escaped
/// ("EventBridge doesn't escape values extracted by Input Path").
fn render(name: &str, value: Option<Value>, in_string: bool) -> Result<String, String> {
    match value {
        Some(Value::String(text)) if in_string => Ok(text),
        Some(Value::Object(_) | Value::Array(_)) if in_string => {
            Err(format!("<{name}> is an object or an array, which can only be the value of a field"))
        }
        Some(value) => Ok(value.to_string()),
        // "That variable isn't created and won't appear in the output."
        None if in_string => Ok(String::new()),
        None => Err(format!("the event has nothing for <{name}>, which leaves no JSON")),
    }
}

/// The part of `event` at a path of names, dots and array indices (`$.detail.containers[0].name`), which is the
/// syntax that the page lists, but for its wildcards. Names may have dashes, which JSONPath proper does not allow.
fn at<'a>(event: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let unsupported = || format!("the path {path} is not supported");
    let mut rest = path.strip_prefix('$').ok_or_else(unsupported)?;
    let mut value = Some(event);
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let named = |character: char| character.is_ascii_alphanumeric() || "-_/".contains(character);
            if end == 0 || !name[..end].chars().all(named) {
                return Err(unsupported());
            }
            value = value.and_then(|value| value.get(&name[..end]));
            rest = &name[end..];
        } else {
            let (index, after) =
                rest.strip_prefix('[').and_then(|index| index.split_once(']')).ok_or_else(unsupported)?;
            let index: usize = index.parse().map_err(|_| unsupported())?;
            value = value.and_then(|value| value.get(index));
            rest = after;
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "id": "1", "detail-type": "T", "time": "2026-01-02T03:04:05Z", "resources": ["r0", "r1"],
            "detail": { "name": "my-job", "count": 3, "said": "a \"word\"", "list": [{ "x": null }] }
        })
    }

    fn rule() -> Rule {
        Rule { name: "aborted".into(), arn: "arn:aws:events:r:a:rule/aborted".into() }
    }

    fn filled(template: &str) -> Result<String, String> {
        let transformer = InputTransformer::builder()
            .input_paths_map("name", "$.detail.name")
            .input_paths_map("type", "$.detail-type")
            .input_paths_map("count", "$.detail.count")
            .input_paths_map("first", "$.resources[0]")
            .input_paths_map("list", "$.detail.list")
            .input_paths_map("gone", "$.detail.gone.deeper")
            .input_paths_map("said", "$.detail.said")
            .input_template(template)
            .build()
            .expect("a transformer");
        let target =
            Target::builder().id("1").arn("a").input_transformer(transformer).build().expect("a target");
        input(&target, &rule(), &event())
    }

    #[test]
    fn templates_are_filled_as_the_user_guide_says() {
        for (template, output) in [
            (r#"{ "job": <name>, "type": "<type>" }"#, r#"{"job":"my-job","type":"T"}"#),
            (r#""<name> has <count> of <first>""#, r#""my-job has 3 of r0""#),
            (r#"{"text": "\"<name>\" is it"}"#, r#"{"text":"\"my-job\" is it"}"#),
            (r#"{"mixed": [9, <count>, <name>, true]}"#, r#"{"mixed":[9,3,"my-job",true]}"#),
            (r#"{"list": <list>, "gone": "<gone>"}"#, r#"{"list":[{"x":null}],"gone":""}"#),
            (r#"{"said": <said>}"#, r#"{"said":"a \"word\""}"#),
            (
                r#""<aws.events.rule-name> at <aws.events.event.ingestion-time>""#,
                r#""aborted at 2026-01-02T03:04:05Z""#,
            ),
            (r#"{"rule": <aws.events.rule-arn>}"#, r#"{"rule":"arn:aws:events:r:a:rule/aborted"}"#),
            (
                r#"{"event": <aws.events.event>}"#,
                r#"{"event":{"id":"1","detail-type":"T","time":"2026-01-02T03:04:05Z","resources":["r0","r1"]}}"#,
            ),
            ("<aws.events.event.json>", &event().to_string()),
        ] {
            let output: Value = serde_json::from_str(output).expect("JSON");
            let filled: Value = serde_json::from_str(&filled(template).expect(template)).expect("JSON");
            assert_eq!(filled, output, "{template}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_filled_is_an_error_in_words() {
        for (template, word) in [
            (r#"{"a": <other>}"#, "<other>"),
            (r#"{"a": <gone>}"#, "<gone>"),
            (r#""all: <list>""#, "<list>"),
            (r#""all: <aws.events.event.json>""#, "aws.events.event.json"),
            // The quotes in the value are not escaped, on AWS neither.
            (r#""<said>""#, "not JSON"),
            ("<name> in bare words", "not JSON"),
            (r#""a < b""#, "closed"),
        ] {
            let error = filled(template).expect_err(template);
            assert!(error.contains(word), "{template}: {error}");
        }
    }

    #[test]
    fn without_a_template_the_target_gets_a_constant_a_part_or_the_event() {
        let target = || Target::builder().id("1").arn("a");
        let of = |target: aws_sdk_eventbridge::types::builders::TargetBuilder| {
            input(&target.build().expect("a target"), &rule(), &event())
        };
        assert_eq!(of(target()), Ok(event().to_string()));
        assert_eq!(of(target().input(r#"{ "a": 1 }"#)).as_deref(), Ok(r#"{"a":1}"#));
        assert_eq!(of(target().input_path("$.detail.list[0]")).as_deref(), Ok(r#"{"x":null}"#));
        assert_eq!(of(target().input_path("$")), Ok(event().to_string()));
        for path in ["$.detail.gone", "detail", "$.*", "$.resources[*]", "$..name", "$['id']"] {
            assert!(of(target().input_path(path)).expect_err(path).contains(path));
        }
        assert!(of(target().input("1").input_path("$")).is_err());
    }
}
