//! Serves [`handle_report`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&handle_report::STEP)
}
