//! Serves [`delete_queue`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_queue::STEP)
}
