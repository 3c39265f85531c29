//! Serves [`dispatch_job`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&dispatch_job::STEP)
}
