//! Serves [`delete_cluster`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_cluster::STEP)
}
