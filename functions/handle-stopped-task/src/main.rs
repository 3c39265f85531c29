//! Serves [`handle_stopped_task`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&handle_stopped_task::STEP)
}
