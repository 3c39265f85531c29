//! Serves [`create_target_groups`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_target_groups::STEP)
}
