//! Serves [`create_security_group`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_security_group::STEP)
}
