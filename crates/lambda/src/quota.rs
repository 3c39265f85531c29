//! How a function says that a quota of the account is used up, and whether the job waits for it.

use crate::error::{Error, Undone};

/// A quota of the account in the Region.
#[derive(Debug)]
pub struct Quota {
    /// The error code of the call that meets it.
    pub code: &'static str,
    /// Its name in Service Quotas.
    pub name: &'static str,
    /// Its code in Service Quotas.
    pub number: &'static str,
    /// What AWS gives to a new account.
    pub default: u32,
    /// Whether a job may wait for it. Those are taken in one fixed order, so that jobs which wait cannot hold each other
    /// up: VPC, internet gateway or egress-only one, address, NAT gateway, load balancer.
    pub waits: bool,
}

impl Quota {
    /// What a function says whose call met this quota by this code, when the job waits for quotas and when it does not.
    pub fn error(&self, doing: &str, code: &str, job_waits: bool, told: &str) -> Error {
        let Self { name, number, default, waits, .. } = self;
        let full = Undone::new(
            doing,
            format_args!(
                "{code}: {told} The quota \"{name}\" ({number}, {default} by default) is used up; raise it \
             in the console of Service Quotas"
            ),
        )
        .to_string();
        match (waits, job_waits) {
            (true, true) => {
                Error::QuotaFull(format!("{full}; the job waits until its queueMinutes are over"))
            }
            (true, false) => {
                Error::QuotaExceeded(format!("{full}, or let the job wait longer with queueMinutes"))
            }
            (false, _) => Error::QuotaExceeded(full),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_quota_is_waited_for_only_while_the_queue_minutes_last() {
        let quota = |waits| Quota { code: "TooMany", name: "Things", number: "L-1", default: 5, waits };
        let error = |waits, job_waits| quota(waits).error("do it", "TooMany", job_waits, "It is full.");
        assert_eq!(error(true, true).name(), "QuotaFull");
        assert_eq!(error(true, false).name(), "QuotaExceeded");
        for job_waits in [true, false] {
            let full = error(false, job_waits);
            assert_eq!(full.name(), "QuotaExceeded");
            assert!(!full.to_string().contains("queueMinutes"), "it would wait in vain: {full}");
        }
    }
}
