//! Serves [`check_load_balancer`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&check_load_balancer::STEP)
}
