//! What the behaviours share: the world and the questions to it, and what is played, made or broken in it for them.

/// The accounts that tests run in.
pub mod account;
/// The program `mayfly`.
pub mod cli;
/// How a job went.
pub mod course;
/// A right that a role does without for a while.
pub mod denial;
/// The documents of jobs.
pub mod documents;
/// What a test that has failed shows.
pub mod evidence;
/// The clouds, and the tests that run on them.
pub mod harness;
/// A stack whose jobs outlive their signed URLs.
pub mod hasty;
/// What an execution's history tells.
pub mod history;
/// What somebody else makes at EC2.
pub mod made;
/// A network of somebody else's.
pub mod network;
/// Jobs whose containers the test plays.
pub mod played;
/// What runs on this machine.
pub mod processes;
/// Sweeps.
pub mod sweep;
/// The teardowns of a job.
pub mod teardowns;
/// A local cloud with the stack deployed.
pub mod world;
