//! A job's mailboxes, and when a report whose handling has failed comes back to the done queue.

mod mailboxes;
pub mod repeats;

pub use mailboxes::{mailboxes, mailboxes_of_stack};
