//! Serves [`enable_dns_hostnames`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&enable_dns_hostnames::STEP)
}
