//! Serves [`delete_route_tables`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_route_tables::STEP)
}
