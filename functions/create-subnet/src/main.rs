//! Serves [`create_subnet`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_subnet::STEP)
}
