//! Why a NAT gateway has `failed`.

use serde::{Deserialize, Serialize};

/// EC2 API reference, `NatGateway`, `failureCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatFailure {
    /// The subnet has no address left.
    InsufficientFreeAddressesInSubnet,
    /// No internet gateway is attached to the VPC.
    GatewayNotAttached,
    /// There is no such Elastic IP address.
    InvalidAllocationId,
    /// Something else has the Elastic IP address.
    AlreadyAssociated,
    /// A fault of AWS's own. The NAT gateway keeps interface and address until it is deleted.
    InternalError,
}

impl NatFailure {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::InsufficientFreeAddressesInSubnet => "InsufficientFreeAddressesInSubnet",
            Self::GatewayNotAttached => "Gateway.NotAttached",
            Self::InvalidAllocationId => "InvalidAllocationID.NotFound",
            Self::AlreadyAssociated => "Resource.AlreadyAssociated",
            Self::InternalError => "InternalError",
        }
    }

    /// EC2 API reference, `NatGateway`, `failureMessage`.
    pub(crate) fn message(self, vpc_id: &str, allocation_id: &str, interface_id: &str) -> String {
        match self {
            Self::InsufficientFreeAddressesInSubnet => {
                "Subnet has insufficient free addresses to create this NAT gateway".into()
            }
            Self::GatewayNotAttached => format!("Network {vpc_id} has no Internet gateway attached"),
            Self::InvalidAllocationId => {
                format!("Elastic IP address {allocation_id} could not be associated with this NAT gateway")
            }
            Self::AlreadyAssociated => format!("Elastic IP address {allocation_id} is already associated"),
            Self::InternalError => format!(
                "Network interface {interface_id}, created and used internally by this NAT gateway is in an invalid \
                 state. Please try again."
            ),
        }
    }
}
