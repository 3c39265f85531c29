//! Serves [`delete_subnets`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_subnets::STEP)
}
