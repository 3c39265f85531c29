//! Serves [`abort_uploads`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&abort_uploads::STEP)
}
