//! Tags, and the condition keys that come from them.

use std::collections::HashSet;

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};
use local_aws::auth::Caller;
use local_aws::policy::Context;
use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::requests::{ListTagsForResource, Tag};
use crate::{Ecs, short_name};

/// The tag that says whose resource it is.
const JOB: &str = "mayfly:job";

/// The job that what has the tags belongs to.
pub(crate) fn job(tags: &[Tag]) -> Option<&str> {
    tags.iter().find(|tag| tag.key == JOB).map(|tag| tag.value.as_str())
}

/// Refuses what the API Reference's `Tag` restrictions refuse.
pub(crate) fn validate(tags: &[Tag]) -> Result<()> {
    let refuse = |message: String| Err(ApiError::invalid_parameter(message));
    if tags.len() > 50 {
        return refuse(format!("a resource can have at most 50 tags, not {}", tags.len()));
    }
    let mut keys = HashSet::new();
    for Tag { key, value } in tags {
        if !(1..=128).contains(&key.chars().count()) {
            return refuse(format!("the tag key {key:?} must have 1 to 128 characters"));
        }
        if value.chars().count() > 256 {
            return refuse(format!("the value of the tag {key:?} must have at most 256 characters"));
        }
        if key.to_ascii_lowercase().starts_with("aws:") || value.to_ascii_lowercase().starts_with("aws:") {
            return refuse(format!("the tag {key:?} uses the prefix aws:, which is reserved for AWS"));
        }
        if !key.chars().chain(value.chars()).all(is_allowed) {
            return refuse(format!(
                "the tag {key:?} may only have letters, digits, spaces and + - = . _ : / @"
            ));
        }
        if !keys.insert(key) {
            return refuse(format!("the tag key {key:?} is given twice"));
        }
    }
    Ok(())
}

/// Letters, numbers and separators by their Unicode category, so no combining mark, and some signs.
/// Source: CloudFormation template reference, `AWS::ECS::Service Tag`, pattern, read in November 2026.
fn is_allowed(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let [letter, number, separator] =
        [GeneralCategoryGroup::Letter, GeneralCategoryGroup::Number, GeneralCategoryGroup::Separator];
    "_.:/=+-@".contains(c) || letter.union(number).union(separator).contains(category)
}

/// `ListTagsForResource`, of a cluster, service, task or task definition.
pub(crate) async fn list(ecs: &Ecs, caller: &Caller, request: ListTagsForResource) -> Result<Value> {
    let arn = request.resource_arn.as_str();
    let is = |kind: &str| arn.starts_with(&ecs.arn(&format!("{kind}/")));
    let found = if is("cluster") {
        Some(ecs.cluster(Some(short_name(arn))).await?.tags)
    } else {
        let state = ecs.state();
        if is("service") {
            state.services.get(arn).map(|service| service.request.tags.clone())
        } else if is("task") {
            state.tasks.get(arn).map(|task| task.tags.clone())
        } else if is("task-definition") {
            state.definitions.revision(arn).map(|definition| definition.request.tags.clone())
        } else {
            None
        }
    };
    ecs.guard
        .authorize(caller, "ecs:ListTagsForResource", arn, &owned(found.as_deref().unwrap_or_default()))
        .await?;
    let tags =
        found.ok_or_else(|| ApiError::invalid_parameter(format!("the resource {arn} was not found")))?;
    Ok(json!({ "tags": tags }))
}

/// `aws:RequestTag/…` and `aws:TagKeys` of a request that carries `tags`.
pub(crate) fn requested(tags: &[Tag]) -> Context {
    let mut context = keys("aws:RequestTag", tags);
    if !tags.is_empty() {
        context.insert("aws:TagKeys".to_owned(), tags.iter().map(|tag| tag.key.clone()).collect());
    }
    context
}

/// `aws:ResourceTag/…` of a resource with `tags`.
pub(crate) fn owned(tags: &[Tag]) -> Context {
    keys("aws:ResourceTag", tags)
}

fn keys(prefix: &str, tags: &[Tag]) -> Context {
    tags.iter().map(|tag| (format!("{prefix}/{}", tag.key), vec![tag.value.clone()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_within_the_limits_pass() {
        let mut tags: Vec<_> = (0..49).map(|n| Tag::new(&format!("key{n}"), "")).collect();
        tags.push(Tag::new(&"k".repeat(128), &"ü".repeat(256)));
        validate(&tags).unwrap();
    }

    #[test]
    fn each_broken_limit_is_named() {
        let many: Vec<_> = (0..51).map(|n| Tag::new(&format!("key{n}"), "")).collect();
        let cases = [
            (many, "at most 50"),
            (vec![Tag::new("", "v")], "1 to 128"),
            (vec![Tag::new(&"k".repeat(129), "v")], "1 to 128"),
            (vec![Tag::new("k", &"v".repeat(257))], "at most 256"),
            (vec![Tag::new("AWS:x", "v")], "reserved"),
            (vec![Tag::new("k", "aws:x")], "reserved"),
            (vec![Tag::new("k", "a;b")], "letters, digits"),
            (vec![Tag::new("k", "\u{93f}")], "letters, digits"),
            (vec![Tag::new("u\u{308}", "v")], "letters, digits"),
            (vec![Tag::new("k", "\u{24b6}")], "letters, digits"),
            (vec![Tag::new("k", "1"), Tag::new("k", "2")], "twice"),
        ];
        for (tags, expected) in cases {
            let error = validate(&tags).unwrap_err();
            assert!(error.message.contains(expected), "{}", error.message);
        }
    }
}
