//! Serves [`check_endpoints`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&check_endpoints::STEP)
}
