//! Condition operators, policy variables and wildcards.

use serde_json::Value;

use super::{Context, Unsupported};
use crate::glob::{Glob, Piece};

/// A condition operator (IAM JSON policy elements: Condition operators).
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    test: Test,
    negated: bool,
    if_exists: bool,
    set: Option<Set>,
}

#[derive(Clone, Copy, Debug)]
enum Test {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Arn,
    Bool,
    Null,
}

/// For keys with several values ("Set operators for multivalued context keys").
#[derive(Clone, Copy, Debug)]
enum Set {
    All,
    Any,
}

impl Operator {
    /// From its name in a policy, `ForAllValues:StringLikeIfExists`.
    pub fn parse(name: &str) -> Result<Self, Unsupported> {
        let (set, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Set::All), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::Any), rest),
            Some(_) => return Err(Unsupported(format!("condition operator {name}"))),
            None => (None, name),
        };
        let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
        let (test, negated) = match rest {
            "StringEquals" => (Test::StringEquals, false),
            "StringNotEquals" => (Test::StringEquals, true),
            "StringEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, true),
            "StringLike" => (Test::StringLike, false),
            "StringNotLike" => (Test::StringLike, true),
            // ArnEquals and ArnLike behave alike (the same page, "Amazon Resource Name condition operators").
            "ArnEquals" | "ArnLike" => (Test::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Test::Arn, true),
            "Bool" => (Test::Bool, false),
            "Null" if set.is_none() && !if_exists => (Test::Null, false),
            _ => return Err(Unsupported(format!("condition operator {name}"))),
        };
        Ok(Self { test, negated, if_exists, set })
    }

    /// Whether the value or values of `key` in the request pass against what the policy `expected`.
    pub fn holds(self, key: &str, expected: &Value, context: &Context) -> Result<bool, Unsupported> {
        let expected = texts(key, expected)?;
        let actual = values(context, key);
        if matches!(self.test, Test::Null) {
            let [wanted] = expected.as_slice() else {
                return Err(Unsupported(format!("Null on {key} with several values")));
            };
            return Ok(actual.is_none_or(<[_]>::is_empty) == wanted.eq_ignore_ascii_case("true"));
        }
        let Some(actual) = actual.filter(|values| !values.is_empty()) else {
            // A key that the request does not have: IfExists and ForAllValues are true, ForAnyValue is false, a
            // negated operator is true, any other is false (the same pages).
            return Ok(self.if_exists
                || matches!(self.set, Some(Set::All))
                || (self.set.is_none() && self.negated));
        };
        // Several expected values are alternatives; for a negated operator none of them may fit.
        let passes = |value: &String| -> Result<bool, Unsupported> {
            Ok(any(&expected, |wanted| self.fits(value, wanted, context))? != self.negated)
        };
        match (self.set, actual) {
            (Some(Set::All), values) => Ok(!any(values, |value| passes(value).map(|passed| !passed))?),
            (Some(Set::Any), values) => any(values, passes),
            (None, [value]) => passes(value),
            (None, values) => Err(Unsupported(format!(
                "{key} has {} values in this request, which takes ForAllValues or ForAnyValue",
                values.len()
            ))),
        }
    }

    fn fits(self, value: &str, wanted: &str, context: &Context) -> Result<bool, Unsupported> {
        let wildcards = matches!(self.test, Test::StringLike | Test::Arn);
        let Some(pieces) = pieces(wanted, wildcards, context)? else { return Ok(false) };
        if let Test::Arn = self.test {
            return Ok(arn_fits(value, &pieces));
        }
        if let Test::StringLike = self.test {
            return Ok(Glob::of(pieces).matches(value));
        }
        let plain: String = pieces
            .iter()
            .filter_map(|piece| if let Piece::Literal(character) = piece { Some(character) } else { None })
            .collect();
        Ok(match self.test {
            Test::StringEqualsIgnoreCase => plain.to_lowercase() == value.to_lowercase(),
            Test::Bool => plain.eq_ignore_ascii_case(value),
            _ => plain == value,
        })
    }
}

/// "Each of the six colon-delimited components of the ARN is checked separately and each can include multi-character
/// match wildcards" (IAM JSON policy elements: Condition operators).
fn arn_fits(value: &str, pattern: &[Piece]) -> bool {
    let patterns: Vec<_> = pattern.splitn(6, |piece| *piece == Piece::Literal(':')).collect();
    let values: Vec<_> = value.splitn(6, ':').collect();
    patterns.len() == values.len()
        && patterns
            .iter()
            .zip(values)
            .all(|(pattern, value)| Glob::of(pattern.iter().copied()).matches(value))
}

/// The pattern of a resource; `None` as with [`pieces`].
pub fn glob(pattern: &str, context: &Context) -> Result<Option<Glob>, Unsupported> {
    Ok(pieces(pattern, true, context)?.map(Glob::of))
}

/// `pattern` with its policy variables filled in; `None` where the request lacks a variable's key, so that nothing
/// fits (IAM JSON policy elements: Variables and tags). What a variable stands for is plain text, `*` and all.
fn pieces(pattern: &str, wildcards: bool, context: &Context) -> Result<Option<Vec<Piece>>, Unsupported> {
    let mut pieces = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        let Some(variable) = rest.strip_prefix("${") else {
            pieces.push(match character {
                '*' if wildcards => Piece::Any,
                '?' if wildcards => Piece::One,
                other => Piece::Literal(other),
            });
            rest = &rest[character.len_utf8()..];
            continue;
        };
        let (name, after) = variable
            .split_once('}')
            .ok_or_else(|| Unsupported(format!("the policy variable in {pattern}")))?;
        rest = after;
        if name.contains(',') {
            return Err(Unsupported(format!("the default value in ${{{name}}}")));
        }
        let text = match (name, values(context, name)) {
            ("*" | "?" | "$", _) => name,
            (_, Some([value])) => value,
            (_, None | Some([])) => return Ok(None),
            (_, Some(_)) => return Err(Unsupported(format!("${{{name}}} with several values"))),
        };
        pieces.extend(text.chars().map(Piece::Literal));
    }
    Ok(Some(pieces))
}

/// The values of a condition key; names compare without regard to case.
fn values<'a>(context: &'a Context, key: &str) -> Option<&'a [String]> {
    context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, values)| values.as_slice())
}

/// The texts that a condition names for `key`: one or an array; JSON's booleans and numbers count as their text.
fn texts(key: &str, expected: &Value) -> Result<Vec<String>, Unsupported> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        other => Err(Unsupported(format!("the value {other} of {key}"))),
    };
    match expected {
        Value::Array(values) => values.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// `Iterator::any` for a test that can fail.
pub fn any<T>(
    items: &[T],
    mut test: impl FnMut(&T) -> Result<bool, Unsupported>,
) -> Result<bool, Unsupported> {
    for item in items {
        if test(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}
