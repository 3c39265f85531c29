//! How many of each kind of resource an account may have.

use crate::error::ApiError;

/// The quotas of one account and Region. The default has AWS's own values (Network Load Balancers guide, "Quotas for your
/// Network Load Balancers").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Network load balancers.
    pub load_balancers: usize,
    /// Listeners of one load balancer.
    pub listeners: usize,
    /// Target groups.
    pub target_groups: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { load_balancers: 50, listeners: 50, target_groups: 3000 }
    }
}

/// Whether there is room for one more beside `used`; else `code` for `what`.
pub(crate) fn room(used: usize, quota: usize, code: &'static str, what: &str) -> Result<(), ApiError> {
    if used < quota {
        return Ok(());
    }
    Err(ApiError::new(code, format!("The maximum number of {what} has been reached")))
}
