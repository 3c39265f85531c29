//! How many of each kind of resource an account may have.

use crate::error::ApiError;

/// The quotas of one account and Region. The default has AWS's own values (VPC user guide, "Amazon VPC quotas"; AWS
/// PrivateLink guide, "AWS PrivateLink quotas"; General reference, "Amazon VPC endpoints and quotas").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// VPCs.
    pub vpcs: usize,
    /// Internet gateways.
    pub internet_gateways: usize,
    /// Elastic IP addresses.
    pub addresses: usize,
    /// NAT gateways in one Availability Zone, pending, available and deleting ones.
    pub nat_gateways_per_zone: usize,
    /// Subnets of one VPC.
    pub subnets_per_vpc: usize,
    /// Route tables of one VPC, the main one among them.
    pub route_tables_per_vpc: usize,
    /// Routes of one route table, the local one not among them.
    pub routes_per_table: usize,
    /// Security groups, the default ones among them.
    pub security_groups: usize,
    /// Rules of one security group in one direction, for each version of IP.
    pub rules_per_group: usize,
    /// Security groups of one network interface.
    pub groups_per_interface: usize,
    /// Gateway endpoints.
    pub gateway_endpoints: usize,
    /// Interface endpoints of one VPC.
    pub interface_endpoints_per_vpc: usize,
    /// Egress-only internet gateways.
    pub egress_only_gateways: usize,
    /// Network interfaces.
    pub interfaces: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            vpcs: 5,
            internet_gateways: 5,
            addresses: 5,
            nat_gateways_per_zone: 5,
            subnets_per_vpc: 200,
            route_tables_per_vpc: 200,
            routes_per_table: 50,
            security_groups: 2500,
            rules_per_group: 60,
            groups_per_interface: 5,
            gateway_endpoints: 20,
            interface_endpoints_per_vpc: 50,
            egress_only_gateways: 5,
            interfaces: 5000,
        }
    }
}

/// Whether there is room for one more beside `used`; else `code` (EC2 API reference, "Error codes") for `what`.
pub(crate) fn room(used: usize, quota: usize, code: &'static str, what: &str) -> Result<(), ApiError> {
    if used < quota {
        return Ok(());
    }
    Err(ApiError::new(code, format!("The maximum number of {what} has been reached.")))
}
