//! Serves [`associate_route_table`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&associate_route_table::STEP)
}
