//! What the functions share that call Elastic Load Balancing: a job's load balancer and target groups, found by name and
//! then by their tags, which are compared exactly, and what the error codes mean.

mod codes;
mod find;
pub mod of_stack;
mod quota;

use aws_sdk_elasticloadbalancingv2::types::Tag;
use mayfly_model::tags::Tags;

pub use codes::{creating, deleting};
pub use find::{check_owner, load_balancers, target_groups};

/// Tags as Elastic Load Balancing has them, for the call that creates something.
pub fn tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Keys and values, for [`Owner::owns`](mayfly_model::tags::Owner::owns).
fn pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().filter_map(|tag| Some((tag.key()?, tag.value()?)))
}
