//! Tells which quota an error code of EC2's is about.
//! Source: VPC user guide, "Amazon VPC quotas"; EC2 API Reference, "Error codes"; the numbers are those of Service
//! Quotas.

use mayfly_lambda::quota::Quota;

pub(crate) const VPCS: Quota = quota("VpcLimitExceeded", "VPCs per Region", "L-F678F1CE", 5, true);

/// The quota of egress-only internet gateways in words.
/// Source: AWS General Reference, "Amazon Virtual Private Cloud endpoints and quotas": to raise it one raises that of VPCs.
pub(crate) const FOLLOWS_VPCS: &str = "The quota of egress-only internet gateways (L-45FE3B85) follows that of VPCs, which is the one to raise.";

const QUOTAS: [Quota; 11] = [
    VPCS,
    quota("InternetGatewayLimitExceeded", "Internet gateways per Region", "L-A4707A72", 5, true),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_waits_for_what_others_give_back_when_they_end() {
        let waits = |code| of(code).map(|quota| quota.waits);
        assert_eq!(waits("VpcLimitExceeded"), Some(true));
        assert_eq!(waits("VpcEndpointLimitExceeded"), Some(false));
        assert_eq!(waits("InvalidVpcID.NotFound"), None);
    }
}
