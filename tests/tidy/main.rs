//! Keeps names, machines, rights, samples and documents in step: each test is one rule of the project, and its message
//! says what to change where.

/// The end-to-end tests lend each other nothing.
mod behaviours;
/// What has been compiled once is good for every command.
mod builds;
/// Modules of a crate depend on one another in one direction.
mod circles;
/// The documents name everything a reader may look for, and nothing that is not there.
mod docs;
/// The state machines keep the conventions that no schema knows.
mod machines;
/// Every member of the workspace is made the same way.
mod members;
/// What the simulation has to find can be brought back.
mod mistakes;
/// A function is called the same in every place.
mod names;
/// The project's files as the rules read them.
mod project;
/// No role may do more than its work.
mod rights;
/// Every sample is what it says it is.
mod samples;
/// Nobody asks what time it is, or draws a number, but where everybody asks.
mod seams;
/// Two stacks can be deployed side by side.
mod stacks;
/// Time-outs that depend on one another.
mod times;
/// Who may build on whom.
mod walls;
/// The stack's subnets can be moved to other zones.
mod zones;
