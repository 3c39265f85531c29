//! A private network is taken down, from what needs others to what others need.

use super::{by_tag, filter, row};
use crate::conversation::Step;

pub fn all() -> Vec<Step> {
    [in_the_way(), nat_gateway_and_endpoint(), the_rest(), gone()].concat()
}

/// What has to go later is asked to go at once.
fn in_the_way() -> Vec<Step> {
    vec![
        row("DeleteVpc", "with subnets", "VpcId=${job_vpc}"),
        row("DeleteInternetGateway", "one that is attached", "InternetGatewayId=${job_gateway}"),
        row("DeleteRouteTable", "one that is associated", "RouteTableId=${public_table}"),
    ]
}

fn nat_gateway_and_endpoint() -> Vec<Step> {
    vec![
        row("DeleteNatGateway", "a job's", "NatGatewayId=${nat}"),
        row("DeleteNatGateway", "once more", "NatGatewayId=${nat}"),
        row("DeleteVpcEndpoints", "a job's", "VpcEndpointId.1=${endpoint}"),
        row("DescribeNatGateways", "until it is deleted", "NatGatewayId.1=${nat}")
            .until("/natGatewaySet/0/state", "deleted"),
        row(
            "DescribeRouteTables",
            "one with a route to a NAT gateway that is deleted",
            "RouteTableId.1=${private_table}",
        )
        .same(&["/routeTableSet/0/routeSet/1/state"]),
        // For some seconds after that AWS says that somebody else has the address.
        row("ReleaseAddress", "a job's", "AllocationId=${address}").until_success(),
    ]
}

fn the_rest() -> Vec<Step> {
    let detach = "InternetGatewayId=${job_gateway} VpcId=${job_vpc}";
    vec![
        row("DetachInternetGateway", "from a VPC", detach),
        row("DetachInternetGateway", "once more", detach),
        row("DeleteInternetGateway", "a job's", "InternetGatewayId=${job_gateway}"),
        row("DeleteSecurityGroup", "a job's", "GroupId=${job_group}"),
        row("DisassociateRouteTable", "the public one", "AssociationId=${public_association}"),
        row("DisassociateRouteTable", "the private one", "AssociationId=${private_association}"),
        row("DeleteRouteTable", "the public one", "RouteTableId=${public_table}"),
        row("DeleteRouteTable", "the private one", "RouteTableId=${private_table}"),
        row("DeleteSubnet", "the public one", "SubnetId=${public_subnet}"),
        row("DeleteSubnet", "the private one", "SubnetId=${private_subnet}"),
        // An endpoint that is still being deleted is in the way.
        row("DeleteVpc", "a job's", "VpcId=${job_vpc}").until_success(),
    ]
}

/// What is said about what is gone.
fn gone() -> Vec<Step> {
    let mut steps = vec![
        row("DescribeVpcs", "one that is gone", "VpcId.1=${job_vpc}"),
        row("DescribeVpcs", "of a job that is gone", by_tag()),
        row("DescribeSubnets", "one that is gone", "SubnetId.1=${public_subnet}"),
        row("DescribeInternetGateways", "one that is gone", "InternetGatewayId.1=${job_gateway}"),
        row("DescribeSecurityGroups", "one that is gone", "GroupId.1=${job_group}"),
        row("DescribeSecurityGroups", "of a VPC that is gone", filter("vpc-id", "${job_vpc}")),
        row("DescribeRouteTables", "one that is gone", "RouteTableId.1=${public_table}"),
        row("DescribeRouteTables", "of a VPC that is gone", filter("vpc-id", "${job_vpc}")),
        row("DescribeAddresses", "one that is gone", "AllocationId.1=${address}"),
        row("DescribeVpcEndpoints", "one that is gone", "VpcEndpointId.1=${endpoint}"),
        row("DetachInternetGateway", "one that is gone", "InternetGatewayId=${job_gateway} VpcId=${job_vpc}"),
    ];
    for (operation, id, value, unknown) in DELETES {
        steps.push(row(operation, "one that is gone", format!("{id}={value}")));
        steps.push(row(operation, "an id that nothing has", format!("{id}={unknown}")));
        steps.push(row(operation, "an id that is none", format!("{id}=my-own")));
        steps.push(row(operation, "without an id", ""));
    }
    steps
}

/// The calls that delete, the parameter that says what, an id that is gone and one that never was.
const DELETES: [(&str, &str, &str, &str); 9] = [
    ("DeleteInternetGateway", "InternetGatewayId", "${job_gateway}", "igw-00000000000000001"),
    ("DeleteNatGateway", "NatGatewayId", "${nat}", "nat-00000000000000001"),
    ("DeleteRouteTable", "RouteTableId", "${public_table}", "rtb-00000000000000001"),
    ("DeleteSecurityGroup", "GroupId", "${job_group}", "sg-00000000000000001"),
    ("DeleteSubnet", "SubnetId", "${public_subnet}", "subnet-00000000000000001"),
    ("DeleteVpc", "VpcId", "${job_vpc}", "vpc-00000000000000001"),
    ("DeleteVpcEndpoints", "VpcEndpointId.1", "${endpoint}", "vpce-00000000000000001"),
    ("DisassociateRouteTable", "AssociationId", "${public_association}", "rtbassoc-00000000000000001"),
    ("ReleaseAddress", "AllocationId", "${address}", "eipalloc-00000000000000001"),
];
