//! Serves [`delete_security_groups`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_security_groups::STEP)
}
