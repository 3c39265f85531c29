//! Serves [`collect_result`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&collect_result::STEP)
}
