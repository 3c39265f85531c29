//! Tags, and how they are read and written on the wire.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::error::ApiError;
use crate::form::Form;
use crate::xml::Members;

/// "Maximum number of tags per resource—50" (Network Load Balancers guide, "Tags"), like the lengths below.
const MOST: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// The tag that says whose resource it is.
const JOB: &str = "mayfly:job";

/// The tags of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<String, String>);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

impl Tags {
    /// The job whose resource it is.
    pub fn job(&self) -> Option<&str> {
        self.0.get(JOB).map(String::as_str)
    }

    /// Takes the tags for a new resource.
    pub fn take(form: &mut Form) -> Result<Self, ApiError> {
        let mut tags = BTreeMap::new();
        for mut tag in form.take_structures("Tags") {
            let key = tag.require("Key")?;
            let value = tag.take("Value").unwrap_or_default();
            tag.finish()?;
            check(&key, &value)?;
            if tags.insert(key.clone(), value).is_some() {
                return Err(ApiError::new("DuplicateTagKeys", format!("Duplicate tag key '{key}'")));
            }
        }
        if tags.len() > MOST {
            return Err(ApiError::new("TooManyTags", format!("A resource has at most {MOST} tags")));
        }
        Ok(Self(tags))
    }
}

fn check(key: &str, value: &str) -> Result<(), ApiError> {
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(ApiError::validation("Tag keys starting with 'aws:' are reserved for internal use"));
    }
    if key.chars().count() > LONGEST_KEY || value.chars().count() > LONGEST_VALUE {
        return Err(ApiError::validation(format!(
            "the tag '{key}' is too long: a key has up to {LONGEST_KEY} characters and a value {LONGEST_VALUE}"
        )));
    }
    Ok(())
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.iter().map(|(key, value)| Tag { key, value }).collect::<Members<_>>().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(body: &str) -> Result<Tags, ApiError> {
        Tags::take(&mut Form::parse(body.as_bytes()))
    }

    #[test]
    fn tags_are_read_and_what_is_none_is_refused() {
        let tags = take("Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.2.Key=b").unwrap();
        assert_eq!(tags.0, [("a", "1"), ("b", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        let many = (1..=51).map(|n| format!("Tags.member.{n}.Key=k{n}")).collect::<Vec<_>>().join("&");
        let long = format!("Tags.member.1.Key={}", "k".repeat(129));
        for (body, code) in [
            ("Tags.member.1.Key=a&Tags.member.2.Key=a", "DuplicateTagKeys"),
            (&many, "TooManyTags"),
            ("Tags.member.1.Key=aws:x", "ValidationError"),
            (&long, "ValidationError"),
        ] {
            assert_eq!(take(body).unwrap_err().code, code, "{body}");
        }
    }
}
