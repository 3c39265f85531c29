//! Serves [`delete_target_groups`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_target_groups::STEP)
}
