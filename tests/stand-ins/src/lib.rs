//! What a run of the simulation has in place of MiniStack's services and of containers: each in process, on virtual time, and
//! as strict, late and approximate as AWS.

pub mod bus;
pub mod dynamodb;
pub mod json;
pub mod logs;
pub mod poller;
pub mod request;
pub mod s3;
pub mod sqs;
pub mod sts;
pub mod worker;

#[cfg(test)]
mod bench;
