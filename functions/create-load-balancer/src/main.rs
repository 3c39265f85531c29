//! Serves [`create_load_balancer`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_load_balancer::STEP)
}
