//! What the behaviours share: how a job is run, and what is played, made or broken around it.

/// A behaviour, which is tried in a process of its own.
pub mod behaviour;
/// What containers do.
pub mod containers;
/// How a job went.
pub mod course;
/// A right that a function does without for a while.
pub mod denial;
/// The documents of jobs.
pub mod documents;
/// What an execution's history tells.
pub mod history;
/// The state machines' files.
pub mod machines;
/// What somebody else makes at EC2.
pub mod made;
/// Jobs whose containers the behaviour plays.
pub mod played;
/// What is asked of the account.
pub mod questions;
/// An account with the stack in it, and what is to go wrong there.
pub mod world;
