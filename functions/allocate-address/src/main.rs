//! Serves [`allocate_address`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&allocate_address::STEP)
}
