//! Serves [`delete_vpc`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&delete_vpc::STEP)
}
