//! Private networks that do without a NAT gateway, by endpoints and by IPv6, in one VPC that is made and taken down.

use super::{by_tag, filter, row, tagged};
use crate::conversation::Step;

pub fn all() -> Vec<Step> {
    [vpc(), attributes(), endpoints(), ipv6_subnet(), gateway(), routes(), rules(), deleting(), gone()]
        .concat()
}

fn vpc() -> Vec<Step> {
    let block = "AmazonProvidedIpv6CidrBlock=true";
    vec![
        row("CreateVpc", "with IPv6", format!("CidrBlock=10.182.0.0/24 {block} {}", tagged("vpc")))
            .keep("egress_vpc", "/vpc/vpcId")
            .same(&["/vpc/cidrBlock", "/vpc/ipv6CidrBlockAssociationSet/0/ipv6Pool"]),
        row("DescribeVpcs", "with IPv6", "VpcId.1=${egress_vpc}")
            .until("/vpcSet/0/ipv6CidrBlockAssociationSet/0/ipv6CidrBlockState/state", "associated")
            .keep_before("ipv6", "/vpcSet/0/ipv6CidrBlockAssociationSet/0/ipv6CidrBlock", "/56")
            .same(&["/vpcSet/0/ipv6CidrBlockAssociationSet/0/ipv6Pool"]),
    ]
}

fn attributes() -> Vec<Step> {
    let (call, names) = ("ModifyVpcAttribute", "EnableDnsHostnames.Value=true");
    vec![
        row(call, "a private name", format!("VpcId=${{egress_vpc}} {names}")),
        row(call, "once more", format!("VpcId=${{egress_vpc}} {names}")),
        row(call, "none", "VpcId=${egress_vpc}"),
        row(call, "an id that nothing has", format!("VpcId=vpc-00000000000000001 {names}")),
        row(call, "without a VPC", names),
    ]
}

fn endpoints() -> Vec<Step> {
    let make = |service: &str, rest: &str| {
        let service = format!("ServiceName=com.amazonaws.eu-west-1.{service} VpcEndpointType=Interface");
        format!("VpcId=${{egress_vpc}} {service} {rest}")
    };
    let place = "SubnetId.1=${egress_subnet} SecurityGroupId.1=${egress_group} PrivateDnsEnabled=true";
    let group = "GroupName=endpoints GroupDescription=x VpcId=${egress_vpc}";
    let call = "CreateVpcEndpoint";
    vec![
        row(
            "CreateSubnet",
            "for endpoints",
            "VpcId=${egress_vpc} CidrBlock=10.182.0.0/25 AvailabilityZone=eu-west-1b",
        )
        .keep("egress_subnet", "/subnet/subnetId"),
        row("CreateSecurityGroup", "for endpoints", group).keep("egress_group", "/groupId"),
        row(call, "an interface endpoint", make("logs", &format!("{place} {}", tagged("vpc-endpoint"))))
            .keep("logs", "/vpcEndpoint/vpcEndpointId")
            .same(&[
                "/vpcEndpoint/serviceName",
                "/vpcEndpoint/vpcEndpointType",
                "/vpcEndpoint/privateDnsEnabled",
            ]),
        row(call, "in a subnet that is not there", make("sqs", "SubnetId.1=subnet-00000000000000001")),
        row("DescribeVpcEndpoints", "an interface endpoint, until it is there", "VpcEndpointId.1=${logs}")
            .until("/vpcEndpointSet/0/state", "available")
            .keep("endpoint_interface", "/vpcEndpointSet/0/networkInterfaceIdSet/0")
            .same(&["/vpcEndpointSet/0/privateDnsEnabled"]),
        row("DescribeNetworkInterfaces", "that of an endpoint", "NetworkInterfaceId.1=${endpoint_interface}"),
        row("DescribeVpcEndpoints", "of a kind", filter("vpc-endpoint-type", "Interface")),
    ]
}

/// It is gone at the end, since the stand-in cannot read moto's, which has more addresses than the model allows.
fn ipv6_subnet() -> Vec<Step> {
    let place = "VpcId=${egress_vpc} AvailabilityZone=eu-west-1b Ipv6Native=true";
    let (call, modify) = ("CreateSubnet", "ModifySubnetAttribute");
    let block = "Ipv6CidrBlock=${ipv6}/64";
    vec![
        row(call, "of IPv6 alone", format!("{place} {block} {}", tagged("subnet")))
            .keep("ipv6_subnet", "/subnet/subnetId")
            .same(&["/subnet/ipv6Native", "/subnet/assignIpv6AddressOnCreation"]),
        row(call, "of IPv6 alone with IPv4", format!("{place} {block} CidrBlock=10.182.0.128/25")),
        row(call, "of IPv6 alone without a block", place),
        row(call, "of IPv6 alone with a block of IPv4", format!("{place} Ipv6CidrBlock=10.182.0.128/25")),
        row("DescribeSubnets", "one of IPv6 alone", "SubnetId.1=${ipv6_subnet}")
            .until("/subnetSet/0/state", "available"),
        row(
            modify,
            "IPv6 addresses for interfaces",
            "SubnetId=${ipv6_subnet} AssignIpv6AddressOnCreation.Value=true",
        ),
        row(modify, "none", "SubnetId=${ipv6_subnet}"),
        row(
            modify,
            "IPv6 addresses in a subnet of IPv4",
            "SubnetId=${egress_subnet} AssignIpv6AddressOnCreation.Value=true",
        ),
        row(modify, "without a subnet", "AssignIpv6AddressOnCreation.Value=true"),
        row("DescribeVpcEndpoints", "of a state", filter("vpc-endpoint-state", "available")),
        row("DescribeSubnets", "one whose interfaces have IPv6 addresses", "SubnetId.1=${ipv6_subnet}")
            .same(&["/subnetSet/0/assignIpv6AddressOnCreation"]),
        row("DeleteSubnet", "one of IPv6 alone", "SubnetId=${ipv6_subnet}"),
        row(
            modify,
            "a subnet that is not there",
            "SubnetId=subnet-00000000000000001 AssignIpv6AddressOnCreation.Value=true",
        ),
    ]
}

fn gateway() -> Vec<Step> {
    let (create, describe) = ("CreateEgressOnlyInternetGateway", "DescribeEgressOnlyInternetGateways");
    let tags = tagged("egress-only-internet-gateway");
    vec![
        row(create, "a job's", format!("VpcId=${{egress_vpc}} ClientToken=${{side}}-eigw {tags}"))
            .keep("eigw", "/egressOnlyInternetGateway/egressOnlyInternetGatewayId")
            .same(&["/egressOnlyInternetGateway/attachmentSet/0/state"]),
        row(create, "in a VPC that is not there", "VpcId=vpc-00000000000000001"),
        row(create, "without a VPC", &tags),
        row(describe, "by its id", "EgressOnlyInternetGatewayId.1=${eigw}"),
        row(describe, "an id that nothing has", "EgressOnlyInternetGatewayId.1=eigw-00000000000000001"),
        row(describe, "a filter by its tag", by_tag()),
        row(describe, "a filter by a tag that nothing has", filter("tag:mayfly:job", "none")),
        row(describe, "a filter that does not exist", filter("attachment.vpc-id", "${egress_vpc}")),
        row(describe, "a parameter that does not exist", "EgressOnlyInternetGatewayId.1=${eigw} Colour=red"),
    ]
}

fn routes() -> Vec<Step> {
    let to = |gateway: &str| {
        format!(
            "RouteTableId=${{ipv6_table}} DestinationIpv6CidrBlock=::/0 EgressOnlyInternetGatewayId={gateway}"
        )
    };
    vec![
        row("CreateRouteTable", "in a VPC with IPv6", "VpcId=${egress_vpc}")
            .keep("ipv6_table", "/routeTable/routeTableId"),
        row("CreateRoute", "to an egress-only gateway that is not there", to("eigw-00000000000000001")),
        row("CreateRoute", "to the egress-only gateway", to("${eigw}")),
        row("DescribeRouteTables", "one with a route of IPv6", "RouteTableId.1=${ipv6_table}"),
    ]
}

fn rules() -> Vec<Step> {
    let ports = "IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=443 IpPermissions.1.ToPort=443";
    let range = "IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0";
    vec![
        row(
            "AuthorizeSecurityGroupEgress",
            "to an IPv6 range",
            format!("GroupId=${{egress_group}} {ports} {range}"),
        )
        .same(&["/securityGroupRuleSet/0/cidrIpv6"]),
        row(
            "AuthorizeSecurityGroupEgress",
            "to an IPv6 range once more",
            format!("GroupId=${{egress_group}} {ports} {range}"),
        ),
        row(
            "AuthorizeSecurityGroupEgress",
            "to an IPv6 range that is none",
            format!("GroupId=${{egress_group}} {ports} {}", range.replace("::/0", "anywhere")),
        ),
        row(
            "RevokeSecurityGroupEgress",
            "to an IPv6 range",
            format!("GroupId=${{egress_group}} {ports} {range}"),
        ),
        row(
            "RevokeSecurityGroupEgress",
            "to every IPv6 range, which a new group has",
            format!("GroupId=${{egress_group}} IpPermissions.1.IpProtocol=-1 {range}"),
        ),
        row("DescribeSecurityGroups", "of a VPC with IPv6", filter("vpc-id", "${egress_vpc}")),
    ]
}

fn deleting() -> Vec<Step> {
    let gateway = "EgressOnlyInternetGatewayId=${eigw}";
    let delete = "DeleteEgressOnlyInternetGateway";
    vec![
        row("DeleteVpcEndpoints", "an interface endpoint", "VpcEndpointId.1=${logs}"),
        row(delete, "a job's", gateway).same(&["/returnCode"]),
        row(
            "DescribeRouteTables",
            "one with a route to an egress-only gateway that is gone",
            "RouteTableId.1=${ipv6_table}",
        ),
        row("DeleteRouteTable", "one of IPv6", "RouteTableId=${ipv6_table}"),
        // An endpoint that is still being deleted is in the way.
        row("DeleteSubnet", "one of an endpoint that is gone", "SubnetId=${egress_subnet}").until_success(),
        row("DeleteSecurityGroup", "one of an endpoint that is gone", "GroupId=${egress_group}")
            .until_success(),
        row("DeleteVpc", "with IPv6", "VpcId=${egress_vpc}").until_success(),
    ]
}

fn gone() -> Vec<Step> {
    let delete = "DeleteEgressOnlyInternetGateway";
    vec![
        row(delete, "one that is gone", "EgressOnlyInternetGatewayId=${eigw}"),
        row(delete, "an id that nothing has", "EgressOnlyInternetGatewayId=eigw-00000000000000001"),
        row(delete, "without an id", ""),
        row(
            "DescribeEgressOnlyInternetGateways",
            "one that is gone",
            "EgressOnlyInternetGatewayId.1=${eigw}",
        ),
    ]
}
