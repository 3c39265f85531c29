//! What Mayfly's functions, worker and command line have in common: the job document, the plan made from it, names,
//! tags, messages, errors and their classes, and what counts as gone. No SDK client.

pub mod attempt;
pub mod error;
pub mod inventory;
pub mod job;
pub mod message;
pub mod names;
pub mod outcome;
pub mod plan;
pub mod record;
pub mod repeats;
pub mod sdk;
pub mod settings;
pub mod shown;
pub mod signing;
pub mod tags;
pub mod teardown;
pub mod tree;
pub mod turn;
pub mod visible;
