//! Event patterns, as the EventBridge user guide describes them under "Event patterns" and "Comparison operators".
//!
//! Own code, because the matchers on crates.io are of another dialect: quamina takes operators that EventBridge
//! refuses, and lets a rule pass here that could not be deployed.

use serde_json::{Map, Number, Value};

use crate::glob::{Glob, Piece};

/// A compiled event pattern.
#[derive(Clone, Debug)]
pub struct Pattern(Vec<Field>);

#[derive(Clone, Debug)]
enum Field {
    /// The field's own pattern, for an object.
    Object(String, Pattern),
    /// The matchers of which one has to accept the field, for a leaf.
    Leaf(String, Vec<Matcher>),
    /// `$or`: one of the patterns has to match.
    Or(Vec<Pattern>),
}

#[derive(Clone, Debug)]
enum Matcher {
    Equals(Value),
    Prefix(String),
    Suffix(String),
    EqualsIgnoreCase(String),
    Wildcard(Glob),
    Numeric(Vec<(Comparison, f64)>),
    AnythingBut(Vec<Matcher>),
    Exists(bool),
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Pattern {
    /// Compiles a rule's event pattern.
    ///
    /// # Errors
    /// A sentence that names what EventBridge refuses or this stand-in does not know.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let pattern: Value = serde_json::from_str(pattern).map_err(|error| error.to_string())?;
        Self::compile(object(&pattern)?)
    }

    fn compile(fields: &Map<String, Value>) -> Result<Self, String> {
        let compile = |(name, value): (&String, &Value)| match value {
            Value::Array(patterns) if name == "$or" => {
                let patterns = patterns.iter().map(|pattern| Self::compile(object(pattern)?));
                Ok(Field::Or(patterns.collect::<Result<_, _>>()?))
            }
            Value::Object(fields) => Ok(Field::Object(name.clone(), Self::compile(fields)?)),
            Value::Array(matchers) if !matchers.is_empty() => {
                let matchers = matchers.iter().map(Matcher::compile).collect::<Result<_, _>>();
                Ok(Field::Leaf(
                    name.clone(),
                    matchers.map_err(|error| format!("{error} in the field {name}"))?,
                ))
            }
            _ => Err(format!("the field {name} is neither an object nor an array with something in it")),
        };
        Ok(Self(fields.iter().map(compile).collect::<Result<_, String>>()?))
    }

    /// Whether every field of the pattern matches `event`. Fields that the pattern does not mention do not matter.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.iter().all(|field| match field {
            // Of an array in the event one element is enough ("Event patterns", on arrays).
            Field::Object(name, pattern) => match event.get(name) {
                Some(Value::Array(elements)) => elements.iter().any(|element| pattern.matches(element)),
                // A field that must not exist does not exist in what is not there.
                other => pattern.matches(other.unwrap_or(&Value::Null)),
            },
            Field::Leaf(name, matchers) => {
                let mut leaves = Vec::new();
                collect_leaves(event.get(name), &mut leaves);
                matchers.iter().any(|matcher| match matcher {
                    Matcher::Exists(wanted) => *wanted != leaves.is_empty(),
                    matcher => leaves.iter().any(|leaf| matcher.accepts(leaf)),
                })
            }
            Field::Or(patterns) => patterns.iter().any(|pattern| pattern.matches(event)),
        })
    }
}

/// "Exists matching only works on leaf nodes": an object is none, an array is each of its elements.
fn collect_leaves<'a>(value: Option<&'a Value>, leaves: &mut Vec<&'a Value>) {
    match value {
        None | Some(Value::Object(_)) => {}
        Some(Value::Array(elements)) => {
            for element in elements {
                collect_leaves(Some(element), leaves);
            }
        }
        Some(leaf) => leaves.push(leaf),
    }
}

impl Matcher {
    fn compile(matcher: &Value) -> Result<Self, String> {
        let Value::Object(operator) = matcher else {
            return if matcher.is_array() {
                Err(format!("the value {matcher} is not supported"))
            } else {
                Ok(Self::Equals(matcher.clone()))
            };
        };
        let mut entries = operator.iter();
        let (Some((name, operand)), None) = (entries.next(), entries.next()) else {
            return Err(format!("{matcher} is not one operator"));
        };
        match (name.as_str(), operand) {
            ("exists", Value::Bool(wanted)) => Ok(Self::Exists(*wanted)),
            ("numeric", Value::Array(parts)) => Self::numeric(parts),
            ("anything-but", Value::Object(nested)) => {
                let (Some((name, operand)), 1) = (nested.iter().next(), nested.len()) else {
                    return Err(format!("{matcher} is not one operator"));
                };
                let operands = operand.as_array().map_or(std::slice::from_ref(operand), Vec::as_slice);
                let matchers = operands.iter().map(|operand| Self::of_text(name, operand));
                Ok(Self::AnythingBut(matchers.collect::<Result<_, _>>()?))
            }
            ("anything-but", Value::Array(values)) => {
                Ok(Self::AnythingBut(values.iter().cloned().map(Self::Equals).collect()))
            }
            ("anything-but", value) => Ok(Self::AnythingBut(vec![Self::Equals(value.clone())])),
            (name, operand) => Self::of_text(name, operand),
        }
    }

    /// The operators on one text, which also stand inside `anything-but`.
    fn of_text(name: &str, operand: &Value) -> Result<Self, String> {
        match (name, operand) {
            ("prefix", Value::String(text)) => Ok(Self::Prefix(text.clone())),
            ("suffix", Value::String(text)) => Ok(Self::Suffix(text.clone())),
            ("equals-ignore-case", Value::String(text)) => Ok(Self::EqualsIgnoreCase(text.to_lowercase())),
            ("wildcard", Value::String(text)) => Ok(Self::Wildcard(wildcard(text))),
            (name, operand) => Err(format!("the operator {name} with {operand} is not supported")),
        }
    }

    fn numeric(parts: &[Value]) -> Result<Self, String> {
        let comparisons = parts.chunks(2).map(|pair| {
            let [Value::String(sign), Value::Number(number)] = pair else {
                return Err(format!("numeric {parts:?} is not a list of signs and numbers"));
            };
            let comparison = match sign.as_str() {
                "=" => Comparison::Equal,
                "<" => Comparison::Less,
                "<=" => Comparison::LessOrEqual,
                ">" => Comparison::Greater,
                ">=" => Comparison::GreaterOrEqual,
                other => return Err(format!("the numeric comparison {other} is not supported")),
            };
            Ok((comparison, number.as_f64().unwrap_or(f64::NAN)))
        });
        Ok(Self::Numeric(comparisons.collect::<Result<_, _>>()?))
    }

    fn accepts(&self, leaf: &Value) -> bool {
        let text = leaf.as_str();
        match self {
            Self::Equals(value) => value == leaf,
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::EqualsIgnoreCase(lower) => text.is_some_and(|text| text.to_lowercase() == *lower),
            Self::Wildcard(glob) => text.is_some_and(|text| glob.matches(text)),
            Self::Numeric(comparisons) => leaf.as_number().and_then(Number::as_f64).is_some_and(|number| {
                comparisons.iter().all(|(comparison, limit)| comparison.holds(number, *limit))
            }),
            Self::AnythingBut(matchers) => !matchers.iter().any(|matcher| matcher.accepts(leaf)),
            Self::Exists(wanted) => *wanted,
        }
    }
}

impl Comparison {
    fn holds(self, number: f64, limit: f64) -> bool {
        match self {
            Self::Equal => number.total_cmp(&limit).is_eq(),
            Self::Less => number < limit,
            Self::LessOrEqual => number <= limit,
            Self::Greater => number > limit,
            Self::GreaterOrEqual => number >= limit,
        }
    }
}

/// Only `*` is special, and a backslash before `*` or a backslash makes it plain ("Wildcard matching").
fn wildcard(pattern: &str) -> Glob {
    let mut characters = pattern.chars();
    Glob::of(std::iter::from_fn(|| {
        Some(match characters.next()? {
            '*' => Piece::Any,
            '\\' => Piece::Literal(characters.next().unwrap_or('\\')),
            other => Piece::Literal(other),
        })
    }))
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{value} is not an object"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "source": "aws.ecs", "detail-type": "ECS Task State Change",
            "resources": ["arn:aws:ecs:r:a:task/c/1"],
            "detail": {
                "lastStatus": "STOPPED", "group": "service:mayfly-x", "version": 5, "cpu": 0.25, "empty": [],
                "stopCode": null, "spot": true,
                "containers": [ { "name": "worker", "exitCode": 0 }, { "name": "log", "exitCode": 1 } ]
            }
        })
    }

    #[test]
    fn patterns_match_as_the_user_guide_says() {
        for (pattern, matches) in [
            (json!({ "source": ["aws.ecs"] }), true),
            (json!({ "source": ["aws.ec2", "aws.ecs"], "detail-type": ["ECS Task State Change"] }), true),
            (json!({ "source": ["aws.ecs"], "detail": { "lastStatus": ["RUNNING"] } }), false),
            (json!({ "detail": { "version": [5] } }), true),
            (json!({ "detail": { "version": ["5"] } }), false),
            (json!({ "detail": { "stopCode": [null], "spot": [true] } }), true),
            (json!({ "detail": { "nothing": [null] } }), false),
            (json!({ "resources": [{ "suffix": "task/c/1" }] }), true),
            (json!({ "detail": { "group": [{ "prefix": "service:mayfly-" }] } }), true),
            (
                json!({ "detail": { "group": [{ "prefix": "family:" }, { "wildcard": "service:*-x" }] } }),
                true,
            ),
            (json!({ "detail": { "group": [{ "wildcard": "service:mayfly-?" }] } }), false),
            (json!({ "detail": { "group": [{ "wildcard": r"service:\*" }] } }), false),
            (json!({ "detail": { "group": [{ "equals-ignore-case": "SERVICE:Mayfly-X" }] } }), true),
            (json!({ "detail": { "lastStatus": [{ "anything-but": "RUNNING" }] } }), true),
            (json!({ "detail": { "lastStatus": [{ "anything-but": ["RUNNING", "STOPPED"] }] } }), false),
            (json!({ "detail": { "version": [{ "anything-but": [4, 6] }] } }), true),
            (json!({ "detail": { "group": [{ "anything-but": { "prefix": "service:" } }] } }), false),
            (json!({ "detail": { "group": [{ "anything-but": { "suffix": ["-y", "-z"] } }] } }), true),
            (json!({ "detail": { "nothing": [{ "anything-but": "x" }] } }), false),
            (json!({ "detail": { "version": [{ "numeric": [">", 4, "<=", 5] }] } }), true),
            (json!({ "detail": { "cpu": [{ "numeric": ["=", 0.25] }] } }), true),
            (json!({ "detail": { "version": [{ "numeric": ["<", 5] }] } }), false),
            (json!({ "detail": { "lastStatus": [{ "numeric": ["<", 5] }] } }), false),
            (
                json!({ "detail": { "lastStatus": [{ "exists": true }], "nothing": [{ "exists": false }] } }),
                true,
            ),
            (json!({ "detail": { "lastStatus": [{ "exists": false }] } }), false),
            (json!({ "detail": { "empty": [{ "exists": true }] } }), false),
            (json!({ "detail": [{ "exists": true }] }), false),
            (json!({ "nothing": { "at-all": [{ "exists": false }] } }), true),
            (json!({ "nothing": { "at-all": ["x"] } }), false),
            (json!({ "detail": { "containers": { "exitCode": [1], "name": ["log"] } } }), true),
            (json!({ "detail": { "containers": { "exitCode": [1], "name": ["worker"] } } }), false),
            (json!({ "$or": [{ "source": ["aws.ec2"] }, { "detail": { "version": [5] } }] }), true),
            (json!({ "$or": [{ "source": ["aws.ec2"] }, { "detail": { "version": [6] } }] }), false),
        ] {
            let compiled = Pattern::parse(&pattern.to_string()).expect("a pattern");
            assert_eq!(compiled.matches(&event()), matches, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (pattern, word) in [
            (json!({ "source": "aws.ecs" }), "source"),
            (json!({ "source": [] }), "source"),
            (json!({ "ip": [{ "cidr": "10.0.0.0/8" }] }), "cidr"),
            (json!({ "ip": [{ "shellstyle": "a*" }] }), "shellstyle"),
            (json!({ "ip": [{ "numeric": ["!=", 5] }] }), "!="),
            (json!({ "ip": [{ "numeric": [">"] }] }), "numeric"),
            (json!({ "ip": [{ "prefix": { "equals-ignore-case": "a" } }] }), "prefix"),
            (json!({ "ip": [{ "prefix": "a", "suffix": "b" }] }), "one operator"),
            (json!({ "ip": [["a"]] }), "ip"),
            (json!(["a"]), "object"),
        ] {
            let error = Pattern::parse(&pattern.to_string()).expect_err("refused");
            assert!(error.contains(word), "{pattern}: {error}");
        }
    }
}
