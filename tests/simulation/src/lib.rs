//! All of Mayfly in one process on virtual time: the machines, the functions and the account, with everything that can go
//! wrong.

pub mod account;
pub mod answers;
pub mod circumstance;
pub mod draw;
pub mod faults;
mod images;
pub mod lambda;
pub mod left;
pub mod load;
pub mod phases;
pub mod router;
pub mod run;
pub mod said;
pub mod stack;
pub mod steps;
mod strangers;
pub mod template;
pub mod truth;
pub mod wire;
pub mod witness;
pub mod world;
