//! Serves [`delete_endpoints`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_endpoints::STEP)
}
