//! Tags in the form that EC2's calls take and give.

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use mayfly_model::tags::{self, Owner, Tags};

/// Keys and values, for [`Owner::owns`].
pub fn pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().filter_map(|tag| Some((tag.key()?, tag.value()?)))
}

/// Filters that let all of the job's resources pass, and others too if its id holds a `*` or a `?`.
pub(crate) fn filters(owner: Owner<'_>) -> Vec<Filter> {
    [(tags::STACK, owner.stack), (tags::JOB, owner.job)]
        .map(|(key, value)| Filter::builder().name(format!("tag:{key}")).values(value).build())
        .into()
}

/// The tags of a new resource of the kind, for the call that creates it.
pub fn tag_specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
}
