//! Serves [`create_vpc`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_vpc::STEP)
}
