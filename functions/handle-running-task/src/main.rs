//! Serves [`handle_running_task`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&handle_running_task::STEP)
}
