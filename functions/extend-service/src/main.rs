//! Serves [`extend_service`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&extend_service::STEP)
}
