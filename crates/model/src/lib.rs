//! What worker, command line, functions and local cloud all speak of: the job document, the plan made from it, names, tags,
//! messages, classes of failure, the outcome, and what counts as gone. Nothing of AWS's SDK and nothing of Lambda's.

pub mod balancing;
pub mod class;
pub mod ending;
pub mod inventory;
pub mod job;
pub mod message;
pub mod names;
pub mod outcome;
pub mod parts;
pub mod plan;
pub mod record;
pub mod service;
pub mod shown;
pub mod tags;
pub mod teardown;
pub mod turn;
pub mod visible;
