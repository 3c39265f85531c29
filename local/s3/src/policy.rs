//! The policy of a form.
//! Source: S3 API Reference, "POST policy". What S3 says where a form does not keep to it: recorded,
//! `TestS3PresignedPost::test_post_object_policy_*`, and issues that quote it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::ApiError;

/// Fields of which a condition may name the beginning; of all others it names the whole. Those of metadata, too.
/// Source: the same page, "Conditions".
const PREFIXED: [&str; 9] = [
    "acl",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-type",
    "expires",
    "key",
    "redirect",
    "success_action_redirect",
];

/// Fields that need no condition. Source: S3 API Reference, "Browser-based uploads using POST", creating a POST policy.
const UNCONDITIONED: [&str; 3] = ["file", "policy", "x-amz-signature"];

/// What a form must keep to.
#[derive(Debug, PartialEq)]
pub struct Policy {
    expiration: Timestamp,
    conditions: Vec<Condition>,
}

#[derive(Debug, PartialEq)]
enum Condition {
    /// The field, as the policy writes it, and the whole of its value.
    Equals(Value, Value),
    StartsWith(Value, Value),
    Length(Value, Value),
}

/// The fields that came before the file: how the form writes their names, and their values.
pub type Fields<'a> = [(&'a str, &'a str)];

impl Policy {
    /// Reads it, as the form has it.
    pub fn parse(encoded: &str) -> Result<Self, ApiError> {
        let invalid = |what: &str| ApiError::new("InvalidPolicyDocument", format!("Invalid Policy: {what}"));
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| invalid("invalid Base64 encoding."))?;
        let Ok(Value::Object(mut document)) = serde_json::from_slice(&bytes) else {
            return Err(invalid("Invalid JSON."));
        };
        let (expiration, conditions) = (document.remove("expiration"), document.remove("conditions"));
        if let Some(name) = document.keys().next() {
            // In lower case: stackoverflow.com/q/31169349.
            return Err(invalid(&format!("Unexpected: '{}'", name.to_lowercase())));
        }
        // What is said of a member that is not there is a guess.
        let expiration = expiration.ok_or_else(|| invalid("Policy missing expiration."))?;
        let expiration = expiration.as_str().unwrap_or_default();
        // "ISO8601 GMT": github.com/dwilkie/carrierwave_direct/pull/189 for what is none.
        let time = expiration.parse().ok().filter(|_| expiration.ends_with('Z') && expiration.contains('T'));
        let time = time.ok_or_else(|| invalid(&format!("Invalid 'expiration' value: '{expiration}'")))?;
        let Some(Value::Array(conditions)) = conditions else {
            return Err(invalid("Policy missing conditions."));
        };
        let conditions = conditions
            .into_iter()
            .map(Condition::read)
            .collect::<Result<_, _>>()
            .map_err(|what| invalid(&what))?;
        Ok(Self { expiration: time, conditions })
    }

    /// Whether a form for this bucket with these fields keeps to it; how many bytes the file must and may have.
    pub fn check(&self, bucket: &str, fields: &Fields<'_>, now: Timestamp) -> Result<(u64, u64), ApiError> {
        let failed = |what: &str| ApiError::access_denied(format!("Invalid according to Policy: {what}"));
        if now >= self.expiration {
            return Err(failed("Policy expired."));
        }
        let (mut least, mut most) = (0, u64::MAX);
        for condition in &self.conditions {
            let holds = match condition {
                Condition::Length(from, to) => number(from).zip(number(to)).map(|(from, to)| {
                    least = least.max(from);
                    most = most.min(to);
                }),
                Condition::Equals(name, value) => field(name, bucket, fields)
                    .filter(|found| Some(found.as_str()) == value.as_str())
                    .map(drop),
                Condition::StartsWith(name, start) => {
                    field(name, bucket, fields).filter(|found| starts(name, found, start)).map(drop)
                }
            };
            holds.ok_or_else(|| failed(&format!("Policy Condition failed: {}", condition.shown())))?;
        }
        let conditioned: BTreeSet<String> = self.conditions.iter().filter_map(Condition::field).collect();
        // The bucket counts for a field: github.com/aws/aws-sdk-php/issues/3292.
        let given = fields.iter().map(|(name, _)| *name).chain(["bucket"]);
        let mut needing = given.filter(|name| {
            let name = name.to_lowercase();
            !UNCONDITIONED.contains(&name.as_str()) && !name.starts_with("x-ignore-")
        });
        match needing.find(|name| !conditioned.contains(&name.to_lowercase())) {
            None => Ok((least, most)),
            Some(extra) => Err(failed(&format!("Extra input fields: {extra}"))),
        }
    }
}

impl Condition {
    fn read(condition: Value) -> Result<Self, String> {
        match condition {
            Value::Object(simple) => {
                let mut pairs = simple.into_iter();
                let (Some((name, value)), None) = (pairs.next(), pairs.next()) else {
                    return Err(
                        "Invalid Simple-Condition: Simple-Conditions must have exactly one property \
                                specified."
                            .to_owned(),
                    );
                };
                match value {
                    Value::String(_) => Ok(Self::Equals(json!(format!("${name}")), value)),
                    Value::Null => Err("Invalid JSON.".to_owned()),
                    _ => Err("Invalid Simple-Condition: value must be a string.".to_owned()),
                }
            }
            Value::Array(list) => {
                if list.iter().any(Value::is_f64) {
                    return Err("Invalid JSON.".to_owned());
                }
                // The sentences on the other shapes are guesses.
                let operation = list.first().and_then(Value::as_str);
                let operation =
                    operation.ok_or("Invalid Condition: missing operation identifier.")?.to_owned();
                let [_, one, two] = list
                    .try_into()
                    .map_err(|_| format!("Invalid {operation}: wrong number of arguments."))?;
                match operation.as_str() {
                    "eq" => Ok(Self::Equals(one, two)),
                    "starts-with" => Ok(Self::StartsWith(one, two)),
                    "content-length-range" => Ok(Self::Length(one, two)),
                    _ => Err(format!("Invalid Condition: unknown operation '{operation}'.")),
                }
            }
            _ => Err("Invalid condition: must be a List or Object.".to_owned()),
        }
    }

    /// As S3 shows it.
    fn shown(&self) -> String {
        let (operation, one, two) = match self {
            Self::Equals(one, two) => ("eq", one, two),
            Self::StartsWith(one, two) => ("starts-with", one, two),
            Self::Length(one, two) => ("content-length-range", one, two),
        };
        format!("[\"{operation}\", {one}, {two}]")
    }

    /// The field that it is about, in lower case.
    fn field(&self) -> Option<String> {
        match self {
            Self::Equals(name, _) | Self::StartsWith(name, _) => {
                Some(name.as_str()?.strip_prefix('$')?.to_lowercase())
            }
            Self::Length(..) => None,
        }
    }
}

/// A bound, which may be written as a text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The value of the field that a condition names, whatever the case of its letters.
fn field(name: &Value, bucket: &str, fields: &Fields<'_>) -> Option<String> {
    let name = name.as_str()?.strip_prefix('$')?;
    if name.eq_ignore_ascii_case("bucket") {
        return Some(bucket.to_owned());
    }
    let (_, value) = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some((*value).to_owned())
}

/// Whether the value of a field begins so, and may be asked for that. Of a list of content types each must.
/// Source: the same page, "Condition matching".
fn starts(name: &Value, value: &str, start: &Value) -> bool {
    let (Some(name), Some(start)) = (name.as_str(), start.as_str()) else { return false };
    let name = name.trim_start_matches('$').to_lowercase();
    if !PREFIXED.contains(&name.as_str()) && !name.starts_with("x-amz-meta-") {
        return false;
    }
    if name == "content-type" {
        return value.split(',').all(|one| one.trim_start().starts_with(start));
    }
    value.starts_with(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(document: &str) -> Result<Policy, ApiError> {
        Policy::parse(&BASE64_STANDARD.encode(document))
    }

    fn policy(conditions: &str) -> Result<Policy, ApiError> {
        parse(&format!(r#"{{"expiration":"2026-01-01T00:00:00.000Z","conditions":{conditions}}}"#))
    }

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    /// What is said of a form with `a/b.mp4` as its key and a type.
    fn checked(conditions: &str) -> Result<(u64, u64), ApiError> {
        let fields =
            [("key", "a/b.mp4"), ("Content-Type", "video/mp4"), ("policy", "…"), ("x-ignore-me", "")];
        policy(conditions)?.check("bucket", &fields, at("2025-12-31T23:59:59Z"))
    }

    #[test]
    fn a_form_keeps_to_its_conditions() {
        for (conditions, size) in [
            (r#"[{"bucket":"bucket"},{"key":"a/b.mp4"},{"content-type":"video/mp4"}]"#, (0, u64::MAX)),
            (
                r#"[["eq","$bucket","bucket"],["starts-with","$key","a/"],["starts-with","$Content-Type",""],
                    ["content-length-range",5,"10"]]"#,
                (5, 10),
            ),
            (
                r#"[{"Bucket":"bucket"},["starts-with","$KEY",""],["eq","$content-type","video/mp4"],
                    ["content-length-range",0,10],["content-length-range",3,20]]"#,
                (3, 10),
            ),
        ] {
            assert_eq!(checked(conditions), Ok(size), "{conditions}");
        }
    }

    #[test]
    fn a_form_that_does_not_is_refused_in_s3_s_words() {
        let rest = r#"{"bucket":"bucket"},["starts-with","$content-type",""]"#;
        for (condition, told) in [
            (r#"{"key":"a/c.mp4"}"#, r#"Policy Condition failed: ["eq", "$key", "a/c.mp4"]"#),
            (r#"["starts-with","$key","b/"]"#, r#"Policy Condition failed: ["starts-with", "$key", "b/"]"#),
            (r#"["eq","key","a/b.mp4"]"#, r#"Policy Condition failed: ["eq", "key", "a/b.mp4"]"#),
            (
                r#"["starts-with","$x-amz-date",""]"#,
                r#"Policy Condition failed: ["starts-with", "$x-amz-date", ""]"#,
            ),
            (
                r#"["starts-with","$bucket","buck"]"#,
                r#"Policy Condition failed: ["starts-with", "$bucket", "buck"]"#,
            ),
            (
                r#"["content-length-range","test",10]"#,
                r#"Policy Condition failed: ["content-length-range", "test", 10]"#,
            ),
            (r#"["content-length-range",0,10]"#, "Extra input fields: key"),
        ] {
            let error = checked(&format!("[{rest},{condition}]")).expect_err(condition);
            assert_eq!(error.code, "AccessDenied");
            assert_eq!(error.message, format!("Invalid according to Policy: {told}"), "{condition}");
        }
        let error = checked(r#"[{"key":"a/b.mp4"},{"content-type":"video/mp4"}]"#).expect_err("refused");
        assert_eq!(error.message, "Invalid according to Policy: Extra input fields: bucket");
        let late = policy("[]").expect("a policy").check("b", &[], at("2026-01-01T00:00:00Z"));
        assert_eq!(late.unwrap_err().message, "Invalid according to Policy: Policy expired.");
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for (document, told) in [
            ("[]", "Invalid JSON."),
            ("{", "Invalid JSON."),
            (r#"{"Statement":[]}"#, "Unexpected: 'statement'"),
            (r#"{"conditions":[]}"#, "Policy missing expiration."),
            (r#"{"expiration":"2026-01-01T00:00:00Z"}"#, "Policy missing conditions."),
            (
                r#"{"expiration":"2026-01-01T00:00:00+02:00","conditions":[]}"#,
                "Invalid 'expiration' value: '2026-01-01T00:00:00+02:00'",
            ),
        ] {
            let error = parse(document).expect_err(document);
            assert_eq!(
                (error.code, error.message),
                ("InvalidPolicyDocument", format!("Invalid Policy: {told}"))
            );
        }
        for (condition, word) in [
            (r#"{"a":"1","b":"2"}"#, "exactly one property"),
            (r#"{"a":1}"#, "value must be a string"),
            (r#"{"a":null}"#, "Invalid JSON"),
            (r#"["content-length-range",0,512.0]"#, "Invalid JSON"),
            ("[]", "missing operation"),
            (r#"["eq","$key"]"#, "wrong number"),
            (r#"["in","$key","a"]"#, "unknown operation 'in'"),
            ("1", "List or Object"),
        ] {
            let error = policy(&format!("[{condition}]")).expect_err(condition);
            assert!(error.message.contains(word), "{condition}: {error}");
        }
        assert_eq!(Policy::parse("?").unwrap_err().code, "InvalidPolicyDocument");
    }

    #[test]
    fn each_of_several_content_types_must_begin_so() {
        let policy =
            policy(r#"[["starts-with","$Content-Type","image/"],{"bucket":"b"}]"#).expect("a policy");
        let check = |types: &str| policy.check("b", &[("Content-Type", types)], Timestamp::UNIX_EPOCH);
        assert_eq!(check("image/jpg, image/png"), Ok((0, u64::MAX)));
        assert!(check("image/jpg,application/pdf").is_err());
    }
}
