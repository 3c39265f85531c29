//! Serves [`begin_service`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&begin_service::STEP)
}
