//! Serves [`end_service`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&end_service::STEP)
}
