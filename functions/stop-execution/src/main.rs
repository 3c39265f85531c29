//! Serves [`stop_execution`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&stop_execution::STEP)
}
