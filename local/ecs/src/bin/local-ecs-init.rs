//! The init process of containers, for tests of this package alone; a local cloud is its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    local_ecs::init::run_if_asked().unwrap_or(ExitCode::FAILURE)
}
