//! Whose a resource is, by its tags.

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use mayfly_common::plan::Plan;
use mayfly_common::tags::{self, Tags};

/// The job of one stack that resources belong to.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The stack's name.
    pub stack: &'a str,
    /// The job's id.
    pub job: &'a str,
}

impl Owner<'_> {
    /// Whether these are the tags of a resource of the job, compared exactly.
    pub fn owns(&self, tags: &[Tag]) -> bool {
        let pairs = tags.iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
        tags::belong_to(pairs, self.stack, self.job)
    }

    /// Filters that let all of the job's resources pass, and others too if its id holds a `*` or a `?`.
    pub(crate) fn filters(&self) -> Vec<Filter> {
        [(tags::STACK, self.stack), (tags::JOB, self.job)]
            .map(|(key, value)| Filter::builder().name(format!("tag:{key}")).values(value).build())
            .into()
    }
}

/// The tags of a new resource of the kind, for the call that creates it.
pub fn tag_specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
}

/// A client token for the one resource `what` of this run of the job; the mailbox's random part is this run's alone.
/// At most 64 characters.
/// Source: EC2 API Reference, `CreateNatGateway`, `ClientToken`.
pub fn client_token(plan: &Plan, what: &str) -> String {
    let secret = plan.mailbox_name.rsplit('-').next().unwrap_or_default();
    format!("{secret}-{what}")
}
