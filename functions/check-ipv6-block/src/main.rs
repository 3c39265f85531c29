//! Serves [`check_ipv6_block`] to Lambda.

fn main() -> Result<(), mayfly_lambda::ServeError> {
    mayfly_lambda::serve(&check_ipv6_block::STEP)
}
