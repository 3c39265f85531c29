//! All of Mayfly in one process on virtual time: the machines, the functions and the account, with everything that can go
//! wrong.

pub mod account;
pub mod answers;
pub mod bus;
pub mod circumstance;
pub mod draw;
pub mod dynamodb;
pub mod faults;
mod images;
pub mod json;
pub mod lambda;
pub mod left;
pub mod load;
pub mod logs;
pub mod phases;
pub mod poller;
pub mod router;
pub mod run;
pub mod s3;
pub mod said;
pub mod sqs;
pub mod stack;
pub mod steps;
mod strangers;
pub mod sts;
pub mod template;
pub mod truth;
pub mod wire;
pub mod witness;
pub mod worker;
pub mod world;

#[cfg(test)]
mod bench;
