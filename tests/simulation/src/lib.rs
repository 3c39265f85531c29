//! All of Mayfly in one process on virtual time: the machines, the functions and the account, with everything that can go
//! wrong.

pub mod dynamodb;
pub mod s3;
pub mod steps;
pub mod sts;
pub mod worker;

#[cfg(test)]
mod bench;
