//! Serves [`conclude_job`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&conclude_job::STEP)
}
