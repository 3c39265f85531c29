//! Serves [`find_task`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&find_task::STEP)
}
