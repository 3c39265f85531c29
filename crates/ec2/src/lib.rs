//! What the functions of a job's own network share: how a job's resources are found by their tags, how they are tagged
//! inside the call that creates them, and what EC2's error codes mean.
//!
//! EC2's model declares no errors, so all is told from the code's text, here and nowhere else.

mod blockers;
mod codes;
mod delete;
pub mod find;
mod groups;
mod interfaces;
mod quota;
mod tags;

pub use blockers::name_blockers;
pub use codes::{
    creating, creating_egress_only_gateway, creating_once, deleted, deleting, is_gone, unsuccessful,
};
pub use delete::{delete_each, most_retryable};
pub use groups::in_order_of_deletion;
pub use interfaces::public_addresses;
pub use tags::{pairs, tag_specification};

/// The name of the endpoint service of one of AWS's services, `ecr.api` for example, in the Region.
/// Source: VPC guide for AWS PrivateLink, "AWS services that integrate with AWS PrivateLink".
pub fn service_name(region: &str, service: &str) -> String {
    format!("com.amazonaws.{region}.{service}")
}
