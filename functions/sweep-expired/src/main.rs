//! Serves [`sweep_expired`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&sweep_expired::STEP)
}
