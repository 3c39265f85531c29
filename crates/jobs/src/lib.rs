//! What the functions share that follow a job at work: its record in the `Jobs` table, and the role that signs its URLs.

mod data_role;
mod record;
pub mod signing;

pub use data_role::DataRole;
pub use record::Record;
