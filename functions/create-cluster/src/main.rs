//! Serves [`create_cluster`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_cluster::STEP)
}
