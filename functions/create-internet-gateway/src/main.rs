//! Serves [`create_internet_gateway`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_internet_gateway::STEP)
}
