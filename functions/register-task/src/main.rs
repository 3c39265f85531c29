//! Serves [`register_task`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&register_task::STEP)
}
