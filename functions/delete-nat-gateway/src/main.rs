//! Serves [`delete_nat_gateway`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_nat_gateway::STEP)
}
