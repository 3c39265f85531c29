//! Serves [`plan_job`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&plan_job::STEP)
}
