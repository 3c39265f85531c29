//! Serves [`release_address`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&release_address::STEP)
}
