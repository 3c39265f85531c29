//! Serves [`check_nat_gateway`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&check_nat_gateway::STEP)
}
