//! Tells which quota an error code of EC2's is about, and whether the job waits for it.
//! Source: VPC user guide, "Amazon VPC quotas"; EC2 API Reference, "Error codes"; the numbers are those of Service
//! Quotas.

use mayfly_lambda::error::{Error, Undone};

/// A quota of the account in the Region.
#[derive(Debug)]
pub(crate) struct Quota {
    /// EC2's error code.
    code: &'static str,
    name: &'static str,
    /// Its code in Service Quotas.
    number: &'static str,
    /// What AWS gives to a new account.
    default: u32,
    /// Whether a job may wait for it. Those are taken in one fixed order, so that jobs which wait cannot hold each other
    /// up: VPC, internet gateway or egress-only one, address, NAT gateway.
    waits: bool,
}

const QUOTAS: [Quota; 12] = [
    quota("VpcLimitExceeded", "VPCs per Region", "L-F678F1CE", 5, true),
    quota("InternetGatewayLimitExceeded", "Internet gateways per Region", "L-A4707A72", 5, true),
    // The code is a guess by the others' form: AWS documents none.
    quota(
        "EgressOnlyInternetGatewayLimitExceeded",
        "Egress-only internet gateways per Region",
        "L-45FE3B85",
        5,
        true,
    ),
    quota("AddressLimitExceeded", "EC2-VPC Elastic IPs", "L-0263D0A3", 5, true),
    quota("NatGatewayLimitExceeded", "NAT gateways per Availability Zone", "L-FE5A380F", 5, true),
    quota("SubnetLimitExceeded", "Subnets per VPC", "L-407747CB", 200, false),
    quota("RouteTableLimitExceeded", "Route tables per VPC", "L-589F43AA", 200, false),
    quota("RouteLimitExceeded", "Routes per route table", "L-93826ACB", 50, false),
    quota("SecurityGroupLimitExceeded", "VPC security groups per Region", "L-E79EC296", 2500, false),
    quota(
        "RulesPerSecurityGroupLimitExceeded",
        "Inbound or outbound rules per security group",
        "L-0EA8095F",
        60,
        false,
    ),
    quota("VpcEndpointLimitExceeded", "Gateway VPC endpoints per Region", "L-1B52E74A", 20, false),
    quota("NetworkInterfaceLimitExceeded", "Network interfaces per Region", "L-DF5E4CA3", 5000, false),
];

const fn quota(
    code: &'static str,
    name: &'static str,
    number: &'static str,
    default: u32,
    waits: bool,
) -> Quota {
    Quota { code, name, number, default, waits }
}

/// The quota that an error code is about.
pub(crate) fn of(code: &str) -> Option<&'static Quota> {
    QUOTAS.iter().find(|quota| quota.code == code)
}

impl Quota {
    /// What a function says whose call met this quota, when the job waits for quotas and when it does not.
    pub(crate) fn error(&self, doing: &str, job_waits: bool, told: &str) -> Error {
        let Self { code, name, number, default, waits } = self;
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
        let error = |code, waits| of(code).expect("a quota").error("do it", waits, "It is full.");
        assert_eq!(error("VpcLimitExceeded", true).name(), "QuotaFull");
        assert_eq!(error("VpcLimitExceeded", false).name(), "QuotaExceeded");
        for job_waits in [true, false] {
            let full = error("VpcEndpointLimitExceeded", job_waits);
            assert_eq!(full.name(), "QuotaExceeded");
            assert!(!full.to_string().contains("queueMinutes"), "it would wait in vain: {full}");
        }
        assert!(of("InvalidVpcID.NotFound").is_none());
    }
}
