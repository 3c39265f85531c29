//! Serves [`authorize_ingress`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&authorize_ingress::STEP)
}
