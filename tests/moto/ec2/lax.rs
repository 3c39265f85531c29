//! What moto lets pass and AWS does not. It leaves moto's network in disorder, so it comes last, in one of its own.

use super::{by_tag, filters, row, tagged};
use crate::conversation::Step;

pub fn all() -> Vec<Step> {
    [
        network(),
        pages(),
        making(),
        interface_endpoints(),
        egress_only_gateways(),
        in_the_way(),
        what_came_with_the_vpc(),
        beyond_repair(),
    ]
    .concat()
}

fn network() -> Vec<Step> {
    let subnet = "VpcId=${lax_vpc} CidrBlock=10.181.0.0/25 AvailabilityZone=eu-west-1b";
    let twin = "VpcId=${lax_vpc} CidrBlock=10.181.0.192/26 AvailabilityZone=eu-west-1b";
    let group = "GroupName=first GroupDescription=x VpcId=${lax_vpc}";
    vec![
        row("CreateVpc", "another", "CidrBlock=10.181.0.0/24").keep("lax_vpc", "/vpc/vpcId"),
        row("CreateSubnet", "in another VPC", subnet).keep("lax_subnet", "/subnet/subnetId"),
        row("CreateSubnet", "in the same zone of another VPC", twin).keep("lax_twin", "/subnet/subnetId"),
        row("CreateInternetGateway", "another", "").keep("lax_gateway", "/internetGateway/internetGatewayId"),
        row("CreateInternetGateway", "a second one", "")
            .keep("second_gateway", "/internetGateway/internetGatewayId"),
        row("CreateRouteTable", "in another VPC", "VpcId=${lax_vpc} ClientToken=${side}-lax")
            .keep("lax_table", "/routeTable/routeTableId"),
        row("AllocateAddress", "another", "Domain=vpc").keep("lax_address", "/allocationId"),
        row("CreateSecurityGroup", "in another VPC", group).keep("lax_group", "/groupId"),
    ]
}

fn pages() -> Vec<Step> {
    let names = ["the first", "the second", "the third", "the fourth", "the fifth", "the sixth"];
    let table = format!("VpcId=${{lax_vpc}} {}", tagged("route-table"));
    let mut steps = names.map(|name| row("CreateRouteTable", name, &table)).to_vec();
    let page = format!("{} MaxResults=5", by_tag());
    steps.push(row("DescribeRouteTables", "a page", page));
    steps
}

fn making() -> Vec<Step> {
    let to = |range: &str| format!("RouteTableId=${{lax_table}} DestinationCidrBlock={range}");
    let attach = |gateway| format!("InternetGatewayId=${{{gateway}}} VpcId=${{lax_vpc}}");
    let endpoint = |table: &str| {
        let service = "ServiceName=com.amazonaws.eu-west-1.s3 VpcEndpointType=Gateway";
        format!("VpcId=${{lax_vpc}} {service} RouteTableId.1={table}")
    };
    vec![
        row(
            "CreateVpc",
            "with tags of another kind",
            format!("CidrBlock=10.181.0.0/24 {}", tagged("subnet")),
        ),
        row(
            "CreateSubnet",
            "a range too small",
            "VpcId=${lax_vpc} CidrBlock=10.181.0.128/29 AvailabilityZone=eu-west-1b",
        ),
        row(
            "AuthorizeSecurityGroupEgress",
            "tcp without ports",
            "GroupId=${lax_group} IpPermissions.1.IpProtocol=tcp IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8",
        ),
        row(
            "CreateRouteTable",
            "the same token for something else",
            format!("VpcId=${{lax_vpc}} ClientToken=${{side}}-lax {}", tagged("route-table")),
        ),
        row(
            "CreateRoute",
            "to a gateway that is not attached",
            format!("{} GatewayId=${{lax_gateway}}", to("10.1.0.0/16")),
        ),
        row(
            "CreateRoute",
            "to a NAT gateway that is not there",
            format!("{} NatGatewayId=nat-00000000000000001", to("10.2.0.0/16")),
        ),
        row("AttachInternetGateway", "to another VPC", attach("lax_gateway")),
        row("AttachInternetGateway", "to a VPC that has one", attach("second_gateway")),
        row("CreateVpcEndpoint", "in another VPC", endpoint("${lax_table}")),
        row("CreateVpcEndpoint", "with a table that has one", endpoint("${lax_table}")),
        row("CreateVpcEndpoint", "with a table that is not there", endpoint("rtb-00000000000000001")),
        row("CreateNatGateway", "in another VPC", "SubnetId=${lax_subnet} AllocationId=${lax_address}"),
    ]
}

fn interface_endpoints() -> Vec<Step> {
    let make = |service: &str, rest: &str| {
        let service = format!("ServiceName=com.amazonaws.eu-west-1.{service} VpcEndpointType=Interface");
        format!("VpcId=${{lax_vpc}} {service} {rest}")
    };
    let named = "SubnetId.1=${lax_subnet} SecurityGroupId.1=${lax_group} PrivateDnsEnabled=true";
    let names = "VpcId=${lax_vpc} EnableDnsHostnames.Value=true";
    let call = "CreateVpcEndpoint";
    vec![
        row(call, "a private name in a VPC without names", make("logs", named)),
        row("ModifyVpcAttribute", "in another VPC", names),
        row("ModifyVpcAttribute", "no names at all", "VpcId=${lax_vpc} EnableDnsSupport.Value=false"),
        row("ModifyVpcAttribute", "names without any", names),
        row("ModifyVpcAttribute", "names again", "VpcId=${lax_vpc} EnableDnsSupport.Value=true"),
        row("ModifyVpcAttribute", "in another VPC again", names),
        row("ModifyVpcAttribute", "two at once", format!("{names} EnableDnsSupport.Value=true")),
        row(call, "a private name in a VPC with names", make("logs", named)),
        row(call, "a private name that another has", make("logs", named)),
        row(call, "of a service that is not there", make("colour", named)),
        row(call, "in a group that is not there", make("sqs", "SecurityGroupId.1=sg-00000000000000001")),
        row(call, "an interface endpoint with a route table", make("sqs", "RouteTableId.1=${lax_table}")),
        row(call, "in two subnets of a zone", make("sqs", "SubnetId.1=${lax_subnet} SubnetId.2=${lax_twin}")),
        row(call, "in a subnet of another VPC", make("sqs", "SubnetId.1=${first_subnet}")),
        row(call, "without a private name", make("logs", "SubnetId.1=${lax_subnet} PrivateDnsEnabled=false")),
        row(
            call,
            "a gateway endpoint in a subnet",
            make("s3", "SubnetId.1=${lax_subnet}").replace("Interface", "Gateway"),
        ),
    ]
}

fn egress_only_gateways() -> Vec<Step> {
    let create = "CreateEgressOnlyInternetGateway";
    let route =
        "RouteTableId=${lax_table} DestinationIpv6CidrBlock=::/0 EgressOnlyInternetGatewayId=${lax_eigw}";
    vec![
        row(create, "in another VPC", "VpcId=${lax_vpc}")
            .keep("lax_eigw", "/egressOnlyInternetGateway/egressOnlyInternetGatewayId"),
        row(create, "in a VPC that has one", "VpcId=${lax_vpc}"),
        row(create, "with a token", "VpcId=${balanced_vpc} ClientToken=${side}-lax-eigw"),
        row(create, "the same token for something else", "VpcId=${lax_vpc} ClientToken=${side}-lax-eigw"),
        row("CreateRoute", "to an egress-only gateway", route),
        row("CreateRoute", "to an egress-only gateway once more", route),
        row(
            "CreateRoute",
            "to an IPv6 range that is none",
            "RouteTableId=${lax_table} DestinationIpv6CidrBlock=anywhere EgressOnlyInternetGatewayId=${lax_eigw}",
        ),
        row(
            "CreateRoute",
            "to a range by an egress-only gateway",
            "RouteTableId=${lax_table} DestinationCidrBlock=10.9.0.0/16 EgressOnlyInternetGatewayId=${lax_eigw}",
        ),
        row(
            "CreateRoute",
            "to an IPv6 range by a NAT gateway",
            "RouteTableId=${lax_table} DestinationIpv6CidrBlock=2001:db8::/32 NatGatewayId=${nat}",
        ),
    ]
}

fn in_the_way() -> Vec<Step> {
    let detach = "InternetGatewayId=${lax_gateway} VpcId=${lax_vpc}";
    vec![
        row("ReleaseAddress", "that of a NAT gateway", "AllocationId=${lax_address}"),
        row("DetachInternetGateway", "with a NAT gateway", detach),
        row("DeleteSubnet", "with a NAT gateway", "SubnetId=${lax_subnet}"),
        row("DeleteSecurityGroup", "of an endpoint", "GroupId=${lax_group}"),
    ]
}

fn what_came_with_the_vpc() -> Vec<Step> {
    vec![
        row("DescribeSecurityGroups", "the default one of a VPC", in_vpc("group-name", "default"))
            .keep("lax_default", "/securityGroupInfo/0/groupId"),
        row("DeleteSecurityGroup", "the default one", "GroupId=${lax_default}"),
        row("DescribeRouteTables", "the main one of a VPC", in_vpc("association.main", "true"))
            .keep("lax_main", "/routeTableSet/0/routeTableId")
            .keep("lax_association", "/routeTableSet/0/associationSet/0/routeTableAssociationId"),
        row("DisassociateRouteTable", "the main one", "AssociationId=${lax_association}"),
        row("DeleteRouteTable", "the main one", "RouteTableId=${lax_main}"),
    ]
}

/// What makes a resource that the stand-in counts against its quotas, or that it cannot read.
fn beyond_repair() -> Vec<Step> {
    let group = |name: &str, description: &str, vpc: &str| {
        format!("GroupName={name} GroupDescription={description} VpcId={vpc}")
    };
    vec![
        row("CreateInternetGateway", "a parameter that does not exist", "Colour=red"),
        row("CreateSecurityGroup", "a name like an id", group("sg-job", "x", "${lax_vpc}")),
        row(
            "CreateSecurityGroup",
            "a description with other characters",
            group("third", "\"x\"", "${lax_vpc}"),
        ),
        row(
            "CreateSecurityGroup",
            "in a VPC that is not there",
            group("fourth", "x", "vpc-00000000000000001"),
        ),
        row("CreateSecurityGroup", "without a name", "GroupDescription=x VpcId=${lax_vpc}"),
        row("CreateSubnet", "of IPv6 alone outside of the VPC", ipv6_subnet("2001:db8:ffff:ffff::/64")),
        row("CreateSubnet", "of IPv6 alone and no subnet's size", ipv6_subnet("2001:db8:ffff:ffff::/65")),
    ]
}

fn ipv6_subnet(block: &str) -> String {
    format!("VpcId=${{lax_vpc}} AvailabilityZone=eu-west-1b Ipv6Native=true Ipv6CidrBlock={block}")
}

/// The fields of two filters: of the VPC, and another.
fn in_vpc(name: &str, value: &str) -> String {
    filters(&[("vpc-id", "${lax_vpc}"), (name, value)])
}
