//! Serves [`find_leftovers`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&find_leftovers::STEP)
}
