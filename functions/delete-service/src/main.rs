//! Serves [`delete_service`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_service::STEP)
}
