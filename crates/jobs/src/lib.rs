//! What the functions share that follow a job at work: the `Jobs` table, and the role that signs a job's URLs.

mod data_role;
mod jobs;
mod listing;
mod record;
mod services;
pub mod signing;
mod uploads;

pub use data_role::DataRole;
pub use jobs::{ENDED_TASKS_LIMIT, Jobs};
pub use listing::Listing;
pub use record::Record;
pub use services::{ServiceRecord, Told};
pub use uploads::Uploading;
