//! Images in registries, by the registries' own HTTP API: copied from one to another, and made of a program. No container
//! engine has a part in it.

mod copy;
mod digest;
mod error;
mod platform;
mod program;
mod pull;
mod remote;
mod roots;
mod tag;

pub use crate::copy::{Blob, Platforms, copy};
pub use crate::error::Error;
pub use crate::platform::Platform;
pub use crate::program::{Program, push_program};
pub use crate::pull::{Found, Layer, find};
pub use crate::remote::{Credentials, Remote};
pub use crate::roots::roots;
pub use crate::tag::tag;
