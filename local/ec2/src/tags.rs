//! Tags, and how they are read and written on the wire.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::xml::Items;

/// "Maximum number of tags per resource – 50" (EC2 user guide, "Tag restrictions"), like the lengths below.
const MOST: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// The tag that says whose resource it is.
pub const JOB: &str = "mayfly:job";

/// The tags of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<String, String>);

#[derive(Serialize)]
struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

impl Tags {
    /// The job whose resource it is.
    pub fn job(&self) -> Option<&str> {
        self.0.get(JOB).map(String::as_str)
    }

    /// Takes the tags for the new resource of the type `kind`.
    pub fn take(kind: &str, parameters: &mut Parameters) -> Result<Self, ApiError> {
        let mut tags = BTreeMap::new();
        for mut specification in parameters.take_structures("TagSpecification") {
            let resource_type = specification.require("ResourceType")?;
            if resource_type != kind {
                return Err(invalid(format!(
                    "'{resource_type}' is not a valid taggable resource type for this operation."
                )));
            }
            let given = specification.take_structures("Tag");
            if given.is_empty() {
                return Err(invalid("Tag specification must have at least one tag".into()));
            }
            for mut tag in given {
                let key = tag.require("Key")?;
                let value = tag.take("Value").unwrap_or_default();
                tag.finish()?;
                check(&key, &value)?;
                if tags.insert(key.clone(), value).is_some() {
                    return Err(invalid(format!("Duplicate tag key '{key}' specified.")));
                }
            }
            specification.finish()?;
        }
        if tags.len() > MOST {
            let message = "The maximum number of Tags for a resource has been reached.";
            return Err(ApiError::new("TagLimitExceeded", message));
        }
        Ok(Self(tags))
    }
}

fn check(key: &str, value: &str) -> Result<(), ApiError> {
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(invalid("Tag keys starting with 'aws:' are reserved for internal use".into()));
    }
    if key.chars().count() > LONGEST_KEY {
        return Err(invalid(format!("Tag key exceeds the maximum length of {LONGEST_KEY} characters")));
    }
    if value.chars().count() > LONGEST_VALUE {
        return Err(invalid(format!("Tag value exceeds the maximum length of {LONGEST_VALUE} characters")));
    }
    Ok(())
}

fn invalid(message: String) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.iter().map(|(key, value)| Tag { key, value }).collect::<Items<_>>().serialize(serializer)
    }
}

impl From<Option<Vec<aws_sdk_ec2::types::Tag>>> for Tags {
    fn from(tags: Option<Vec<aws_sdk_ec2::types::Tag>>) -> Self {
        let pair = |tag: aws_sdk_ec2::types::Tag| Some((tag.key?, tag.value.unwrap_or_default()));
        Self(tags.unwrap_or_default().into_iter().filter_map(pair).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(body: &str) -> Result<Tags, ApiError> {
        Tags::take("vpc", &mut Parameters::parse(body.as_bytes()))
    }

    #[test]
    fn tags_are_read_from_their_specification() {
        let tags = take(
            "TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=1\
             &TagSpecification.1.Tag.2.Key=b",
        );
        let expected = [("a", "1"), ("b", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(tags, Ok(Tags(expected.into())));
        assert_eq!(take(""), Ok(Tags::default()));
    }

    #[test]
    fn what_ec2_takes_as_no_tag_is_refused() {
        let tagged = |tags: &[(String, String)]| {
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.append_pair("TagSpecification.1.ResourceType", "vpc");
            for (number, (key, value)) in (1..).zip(tags) {
                body.append_pair(&format!("TagSpecification.1.Tag.{number}.Key"), key);
                body.append_pair(&format!("TagSpecification.1.Tag.{number}.Value"), value);
            }
            take(&body.finish())
        };
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let many = |count: u32| (0..count).map(|number| tag(&number.to_string(), "")).collect::<Vec<_>>();
        assert!(tagged(&many(50)).is_ok());
        assert!(tagged(&[tag(&"é".repeat(128), &"é".repeat(256))]).is_ok());
        for (tags, code, word) in [
            (many(51), "TagLimitExceeded", "maximum"),
            (vec![tag("AWS:x", "")], "InvalidParameterValue", "reserved"),
            (vec![tag("a", "1"), tag("a", "2")], "InvalidParameterValue", "Duplicate tag key 'a'"),
            (vec![tag("", "1")], "MissingParameter", "TagSpecification.1.Tag.1.Key"),
            (vec![tag(&"k".repeat(129), "")], "InvalidParameterValue", "128"),
            (vec![tag("a", &"v".repeat(257))], "InvalidParameterValue", "256"),
        ] {
            let error = tagged(&tags).expect_err(code);
            assert_eq!(error.code, code);
            assert!(error.message.contains(word), "{error}");
        }
        let error = take("TagSpecification.1.ResourceType=subnet").expect_err("another type");
        assert_eq!((error.code, error.message.contains("'subnet'")), ("InvalidParameterValue", true));
        let error = take("TagSpecification.1.ResourceType=vpc").expect_err("no tag");
        assert_eq!(error.message, "Tag specification must have at least one tag");
        let one = "TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a";
        let error = take(&format!("{one}&TagSpecification.1.X=y")).expect_err("unknown");
        assert_eq!(error.code, "UnknownParameter");
    }
}
