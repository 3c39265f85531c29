//! Serves [`create_listeners`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&create_listeners::STEP)
}
