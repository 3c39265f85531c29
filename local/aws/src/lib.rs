//! What the stand-ins have in common: how they are called and started, who is calling and whether the caller may, events
//! and their rules, time and randomness, rate limits, how ports are reached and datagrams passed on, a log of the calls, and
//! the way to MiniStack, which is the rest of the cloud.

pub mod auth;
pub mod calls;
pub mod clock;
pub mod datagrams;
pub mod events;
pub mod glob;
pub mod limits;
pub mod ministack;
pub mod pattern;
pub mod policy;
pub mod random;
pub mod reach;
pub mod server;
pub mod sts;
pub mod transform;
pub mod upstream;

mod signature;
