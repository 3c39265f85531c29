//! Serves [`create_route`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_route::STEP)
}
