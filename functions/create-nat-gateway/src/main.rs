//! Serves [`create_nat_gateway`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_nat_gateway::STEP)
}
