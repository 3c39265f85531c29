//! What every function is: a step that Lambda, a test or a simulator calls, its errors, its settings and its clients.

pub mod error;
pub mod sdk;
pub mod settings;
