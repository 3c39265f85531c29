//! What every function is: a [`Step`] that Lambda, a test or a simulator calls in an [`Environment`], and the errors that
//! the state machines match.

mod environment;
pub mod error;
mod http;
pub mod quota;
pub mod sdk;
pub mod search;
mod step;
mod variables;

pub use environment::{Clock, Environment, Randomness};
pub use http::Http;
pub use lambda_runtime::Error as ServeError;
pub use sdk::SdkConfig;
pub use step::{Handler, Recipe, Step, invoke, serve};
