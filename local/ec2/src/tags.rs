//! Tags, and the way the wire has them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::xml::Items;

/// The tags of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<String, String>);

#[derive(Serialize)]
struct Tag<'a> {
    key: &'a str,
    value: &'a str,
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
