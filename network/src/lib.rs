//! What the functions of a job's own network share: how a job's resources are found by their tags, how they are tagged
//! inside the call that creates them, and what EC2's error codes mean.
//!
//! EC2's model declares no errors, so all is told from the code's text, here and nowhere else.

mod blockers;
mod codes;
mod delete;
pub mod find;
mod quota;
mod tags;

pub use blockers::name_blockers;
pub use codes::{creating, creating_once, deleted, deleting, is_gone, unsuccessful};
pub use delete::{delete_each, to_tell};
pub use mayfly_common::tags::Owner;
pub use tags::{pairs, tag_specification};

/// The configuration for calls that EC2 would take for two where the SDK tries a second time by itself, because the
/// first answer was lost: the state machine tries again, and then looks for what is there first.
/// Source: EC2 developer guide, "Ensuring idempotency in Amazon EC2 API requests".
///
/// # Errors
/// As [`mayfly_common::sdk::config`].
pub fn client_without_retries() -> Result<aws_sdk_ec2::Client, String> {
    let config = aws_sdk_ec2::config::Builder::from(&mayfly_common::sdk::config()?)
        .retry_config(aws_sdk_ec2::config::retry::RetryConfig::disabled())
        .build();
    Ok(aws_sdk_ec2::Client::from_conf(config))
}
