//! Serves [`create_endpoints`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_endpoints::STEP)
}
