//! A private network is made, and looked at.

use super::{by_tag, filter, filters, row, tagged};
use crate::conversation::Step;

pub fn all() -> Vec<Step> {
    [
        vpc(),
        subnets(),
        internet_gateway(),
        security_group(),
        rules(),
        ingress(),
        address(),
        route_tables(),
        routes(),
        nat_gateway(),
        endpoint(),
    ]
    .concat()
}

fn vpc() -> Vec<Step> {
    vec![
        row("CreateVpc", "a job's", format!("CidrBlock=10.181.0.0/24 {}", tagged("vpc")))
            .keep("job_vpc", "/vpc/vpcId")
            .same(&["/vpc/cidrBlock", "/vpc/instanceTenancy", "/vpc/isDefault", "/vpc/tagSet/0/key"]),
        row("CreateVpc", "without a range", tagged("vpc")),
        row("CreateVpc", "a range that is none", "CidrBlock=10.181"),
        row("CreateVpc", "a range too big", "CidrBlock=10.0.0.0/15"),
        row("CreateVpc", "a range too small", "CidrBlock=10.181.0.0/29"),
        row("DescribeVpcs", "a job's", "VpcId.1=${job_vpc}")
            .until("/vpcSet/0/state", "available")
            .same(&["/vpcSet/0/cidrBlock", "/vpcSet/0/isDefault"]),
        row("DescribeVpcs", "a filter by its tag", by_tag()),
        row("DescribeVpcs", "a filter by its tag with a wildcard", filter("tag:mayfly:job", "job-${side}*")),
        row("DescribeVpcs", "a filter by its tag in capitals", filter("tag:mayfly:job", "JOB-${side}")),
        row(
            "DescribeVpcs",
            "a filter by its tag and the tag's key",
            filters(&[("tag-key", "mayfly:job"), ("vpc-id", "${job_vpc}")]),
        ),
    ]
}

fn subnets() -> Vec<Step> {
    let subnet = |case, range: &str, zone| {
        let place = format!("VpcId=${{job_vpc}} CidrBlock={range} AvailabilityZone={zone}");
        row("CreateSubnet", case, format!("{place} {}", tagged("subnet")))
    };
    vec![
        subnet("the public one", "10.181.0.0/28", "eu-west-1b")
            .keep("public_subnet", "/subnet/subnetId")
            .same(&["/subnet/cidrBlock", "/subnet/availabilityZone", "/subnet/mapPublicIpOnLaunch"]),
        subnet("the private one", "10.181.0.128/25", "eu-west-1b").keep("private_subnet", "/subnet/subnetId"),
        subnet("a range that another has", "10.181.0.0/27", "eu-west-1b"),
        subnet("a range outside of the VPC", "10.182.0.0/28", "eu-west-1b"),
        subnet("a range that is none", "10.181", "eu-west-1b"),
        subnet("in a zone that is not there", "10.181.0.32/28", "eu-west-1z"),
        row(
            "CreateSubnet",
            "in a VPC that is not there",
            "VpcId=vpc-00000000000000001 CidrBlock=10.181.0.32/28 AvailabilityZone=eu-west-1b",
        ),
        row("CreateSubnet", "without a VPC", "CidrBlock=10.181.0.32/28 AvailabilityZone=eu-west-1b"),
        row("DescribeSubnets", "a job's public one", "SubnetId.1=${public_subnet}")
            .until("/subnetSet/0/state", "available")
            .same(&["/subnetSet/0/cidrBlock", "/subnetSet/0/availableIpAddressCount"]),
        row("DescribeSubnets", "a filter by its tag", by_tag()),
        row("DescribeSubnets", "of a job's VPC", filter("vpc-id", "${job_vpc}")),
    ]
}

fn internet_gateway() -> Vec<Step> {
    let mut steps = vec![
        row("CreateInternetGateway", "a dry run", "DryRun=true"),
        row("CreateInternetGateway", "a job's", tagged("internet-gateway"))
            .keep("job_gateway", "/internetGateway/internetGatewayId"),
        row("DescribeInternetGateways", "one that is not attached", "InternetGatewayId.1=${job_gateway}"),
        row("AttachInternetGateway", "to a job's VPC", "InternetGatewayId=${job_gateway} VpcId=${job_vpc}"),
        row("AttachInternetGateway", "once more", "InternetGatewayId=${job_gateway} VpcId=${job_vpc}"),
        row(
            "AttachInternetGateway",
            "an id that nothing has",
            "InternetGatewayId=igw-00000000000000001 VpcId=${job_vpc}",
        ),
        row("AttachInternetGateway", "without an id", "VpcId=${job_vpc}"),
        row("DescribeInternetGateways", "a page too small", "MaxResults=4"),
        row("DescribeInternetGateways", "of a VPC", filter("attachment.vpc-id", "${job_vpc}"))
            .same(&["/internetGatewaySet/0/attachmentSet/0/state"]),
    ];
    steps.extend(looks(
        "DescribeInternetGateways",
        "InternetGatewayId.1=${job_gateway}",
        "InternetGatewayId.1=igw-00000000000000001",
        "InternetGatewayId.1=my-gateway",
    ));
    steps
}

fn security_group() -> Vec<Step> {
    let named = "GroupName=job GroupDescription=job";
    vec![
        row(
            "CreateSecurityGroup",
            "a job's",
            format!("{named} VpcId=${{job_vpc}} {}", tagged("security-group")),
        )
        .keep("job_group", "/groupId"),
        row("CreateSecurityGroup", "a name that another has", format!("{named} VpcId=${{job_vpc}}")),
        row("CreateSecurityGroup", "without a description", "GroupName=second VpcId=${job_vpc}"),
        row(
            "CreateSecurityGroup",
            "with the name of the default group",
            "GroupName=default GroupDescription=x VpcId=${job_vpc}",
        ),
        row(
            "CreateSecurityGroup",
            "with a tag specification without tags",
            "GroupName=second GroupDescription=x VpcId=${job_vpc} TagSpecification.1.ResourceType=security-group",
        ),
        row("DescribeSecurityGroups", "a job's, which lets everything out", "GroupId.1=${job_group}").same(
            &[
                "/securityGroupInfo/0/groupName",
                "/securityGroupInfo/0/groupDescription",
                "/securityGroupInfo/0/ipPermissions",
                "/securityGroupInfo/0/ipPermissionsEgress/0/ipProtocol",
                "/securityGroupInfo/0/ipPermissionsEgress/0/ipRanges/0/cidrIp",
            ],
        ),
        row("DescribeSecurityGroups", "a filter by its tag", by_tag()),
        row("DescribeSecurityGroups", "of a job's VPC", filter("vpc-id", "${job_vpc}")),
    ]
}

fn rules() -> Vec<Step> {
    let all = "IpPermissions.1.IpProtocol=-1 IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0";
    let ports = "IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=443 IpPermissions.1.ToPort=443";
    let https = &format!("GroupId=${{job_group}} {ports} IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
    let range = |number: u8| format!("IpPermissions.1.IpRanges.{number}.CidrIp=10.0.0.{number}/32");
    let too_many = (1..=61).map(range).collect::<Vec<_>>().join(" ");
    let to_group = |id: &str| format!("GroupId=${{job_group}} {ports} IpPermissions.1.Groups.1.GroupId={id}");
    let (authorize, revoke) = ("AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress");
    vec![
        row(revoke, "all that a new group has", format!("GroupId=${{job_group}} {all}")),
        row(revoke, "once more", format!("GroupId=${{job_group}} {all}")),
        row(revoke, "an id that nothing has", format!("GroupId=sg-00000000000000001 {all}")),
        row(authorize, "https to anywhere", format!("{https} {}", tagged("security-group-rule"))).same(&[
            "/securityGroupRuleSet/0/isEgress",
            "/securityGroupRuleSet/0/ipProtocol",
            "/securityGroupRuleSet/0/fromPort",
            "/securityGroupRuleSet/0/toPort",
            "/securityGroupRuleSet/0/cidrIpv4",
        ]),
        row(authorize, "once more", https),
        row(authorize, "to a group", to_group("${job_group}")),
        row(authorize, "to a group that is not there", to_group("sg-00000000000000001")),
        row(authorize, "an id that nothing has", format!("GroupId=sg-00000000000000001 {all}")),
        row(authorize, "too many", format!("GroupId=${{job_group}} {ports} {too_many}")),
        row(
            authorize,
            "to a range that is none",
            format!("GroupId=${{job_group}} {ports} IpPermissions.1.IpRanges.1.CidrIp=anywhere"),
        ),
        row(authorize, "to nowhere", format!("GroupId=${{job_group}} {ports}")),
        row("DescribeSecurityGroups", "a job's, which lets https out", "GroupId.1=${job_group}").same(&[
            "/securityGroupInfo/0/ipPermissionsEgress/0/fromPort",
            "/securityGroupInfo/0/ipPermissionsEgress/0/ipRanges/0/cidrIp",
        ]),
        row(revoke, "to a group", to_group("${job_group}")),
    ]
}

fn ingress() -> Vec<Step> {
    let ports = "IpPermissions.1.IpProtocol=udp IpPermissions.1.FromPort=53 IpPermissions.1.ToPort=54";
    let from = |peer: &str| format!("GroupId=${{job_group}} {ports} IpPermissions.1.{peer}");
    let call = "AuthorizeSecurityGroupIngress";
    vec![
        row(
            call,
            "from a range",
            format!("{} {}", from("IpRanges.1.CidrIp=192.0.2.0/24"), tagged("security-group-rule")),
        )
        .same(&[
            "/securityGroupRuleSet/0/isEgress",
            "/securityGroupRuleSet/0/ipProtocol",
            "/securityGroupRuleSet/0/fromPort",
            "/securityGroupRuleSet/0/toPort",
            "/securityGroupRuleSet/0/cidrIpv4",
        ]),
        row(call, "once more", from("IpRanges.1.CidrIp=192.0.2.0/24")),
        row(call, "from an IPv6 range", from("Ipv6Ranges.1.CidrIpv6=2001:db8::/32"))
            .same(&["/securityGroupRuleSet/0/cidrIpv6"]),
        row(call, "from an IPv6 range once more", from("Ipv6Ranges.1.CidrIpv6=2001:db8::/32")),
        row(call, "from a range that is none", from("IpRanges.1.CidrIp=anywhere")),
        row(call, "from an IPv6 range that is none", from("Ipv6Ranges.1.CidrIpv6=anywhere")),
        row(call, "from a group", from("Groups.1.GroupId=${job_group}")),
        row(call, "from a group that is not there", from("Groups.1.GroupId=sg-00000000000000001")),
        row(call, "from nowhere", format!("GroupId=${{job_group}} {ports}")),
        row(
            call,
            "an id that nothing has",
            format!("GroupId=sg-00000000000000001 {ports} IpPermissions.1.IpRanges.1.CidrIp=192.0.2.0/24"),
        ),
        row("DescribeSecurityGroups", "a job's, which lets DNS in", "GroupId.1=${job_group}").same(&[
            "/securityGroupInfo/0/ipPermissions/0/fromPort",
            "/securityGroupInfo/0/ipPermissions/0/toPort",
            "/securityGroupInfo/0/ipPermissions/0/ipRanges/0/cidrIp",
            "/securityGroupInfo/0/ipPermissions/0/ipv6Ranges/0/cidrIpv6",
        ]),
    ]
}

fn address() -> Vec<Step> {
    let mut steps = vec![
        row("AllocateAddress", "a dry run", "Domain=vpc DryRun=true"),
        row("AllocateAddress", "a job's", format!("Domain=vpc {}", tagged("elastic-ip")))
            .keep("address", "/allocationId")
            .same(&["/domain"]),
        row("DescribeAddresses", "one that nothing has", "AllocationId.1=${address}")
            .keep("public_ip", "/addressesSet/0/publicIp"),
        row("DescribeAddresses", "a page", "MaxResults=5"),
        row("DescribeAddresses", "a filter by its number", filter("public-ip", "${public_ip}")),
    ];
    steps.extend(looks(
        "DescribeAddresses",
        "AllocationId.1=${address}",
        "AllocationId.1=eipalloc-00000000000000001",
        "AllocationId.1=my-address",
    ));
    steps
}

fn route_tables() -> Vec<Step> {
    let table = |token| format!("VpcId=${{job_vpc}} ClientToken=${{side}}-{token} {}", tagged("route-table"));
    let (associate, public) =
        ("AssociateRouteTable", "RouteTableId=${public_table} SubnetId=${public_subnet}");
    let mut steps = vec![
        row("CreateRouteTable", "the public one", table("public"))
            .keep("public_table", "/routeTable/routeTableId")
            .same(&["/routeTable/routeSet/0"]),
        row("CreateRouteTable", "the private one", table("private"))
            .keep("private_table", "/routeTable/routeTableId"),
        row("CreateRouteTable", "in a VPC that is not there", "VpcId=vpc-00000000000000001"),
        row("CreateRouteTable", "without a VPC", tagged("route-table")),
        row("DescribeRouteTables", "a page too small", "MaxResults=4"),
        row("DescribeRouteTables", "a page too big", "MaxResults=101"),
        row("DescribeRouteTables", "of a job's VPC", filter("vpc-id", "${job_vpc}")),
        row(
            "DescribeRouteTables",
            "the main one",
            filters(&[("vpc-id", "${job_vpc}"), ("association.main", "true")]),
        )
        .same(&["/routeTableSet/0/associationSet/0/main"]),
        row(
            associate,
            "a table that is not there",
            "RouteTableId=rtb-00000000000000001 SubnetId=${public_subnet}",
        ),
        row(
            associate,
            "a subnet that is not there",
            "RouteTableId=${public_table} SubnetId=subnet-00000000000000001",
        ),
        row(associate, "without a table", "SubnetId=${public_subnet}"),
        row(associate, "the public one", public)
            .keep("public_association", "/associationId")
            .same(&["/associationState/state"]),
        row(associate, "the private one", "RouteTableId=${private_table} SubnetId=${private_subnet}")
            .keep("private_association", "/associationId"),
        row(associate, "once more", public),
        row(associate, "another table", "RouteTableId=${private_table} SubnetId=${public_subnet}"),
        row("DescribeRouteTables", "of a subnet", filter("association.subnet-id", "${public_subnet}"))
            .same(&["/routeTableSet/0/associationSet/0/main", "/routeTableSet/0/routeSet/0"]),
    ];
    steps.extend(looks(
        "DescribeRouteTables",
        "RouteTableId.1=${public_table}",
        "RouteTableId.1=rtb-00000000000000001",
        "RouteTableId.1=my-table",
    ));
    steps
}

fn routes() -> Vec<Step> {
    let public = "RouteTableId=${public_table} DestinationCidrBlock=0.0.0.0/0";
    vec![
        row("CreateRoute", "to the internet gateway", format!("{public} GatewayId=${{job_gateway}}")),
        row("CreateRoute", "once more", format!("{public} GatewayId=${{job_gateway}}")),
        row(
            "CreateRoute",
            "to a gateway that is not there",
            format!("{public} GatewayId=igw-00000000000000001"),
        ),
        row(
            "CreateRoute",
            "in a table that is not there",
            "RouteTableId=rtb-00000000000000001 DestinationCidrBlock=0.0.0.0/0 GatewayId=${job_gateway}",
        ),
        row(
            "CreateRoute",
            "to a range that is none",
            "RouteTableId=${public_table} DestinationCidrBlock=anywhere GatewayId=${job_gateway}",
        ),
        row("CreateRoute", "without a table", "DestinationCidrBlock=0.0.0.0/0 GatewayId=${job_gateway}"),
        row("DescribeRouteTables", "one with a route to the internet", "RouteTableId.1=${public_table}")
            .same(&["/routeTableSet/0/routeSet/1/state", "/routeTableSet/0/routeSet/1/destinationCidrBlock"]),
    ]
}

fn nat_gateway() -> Vec<Step> {
    let make = "SubnetId=${public_subnet} AllocationId=${address} ClientToken=${side}-nat";
    let private = "RouteTableId=${private_table} DestinationCidrBlock=0.0.0.0/0";
    let mut steps = vec![
        row("CreateNatGateway", "a job's", format!("{make} {}", tagged("natgateway")))
            .keep("nat", "/natGateway/natGatewayId"),
        row(
            "CreateNatGateway",
            "in a subnet that is not there",
            "SubnetId=subnet-00000000000000001 AllocationId=${address}",
        ),
        row("CreateNatGateway", "without a subnet", "AllocationId=${address}"),
        row("DescribeNatGateways", "until it is there", "NatGatewayId.1=${nat}")
            .until("/natGatewaySet/0/state", "available"),
        row("DescribeNatGateways", "a page too small", "MaxResults=4"),
        row("DescribeNatGateways", "of a VPC", filter("vpc-id", "${job_vpc}")),
        row("DescribeNatGateways", "of a subnet", filter("subnet-id", "${public_subnet}")),
        row(
            "DescribeNatGateways",
            "of a state",
            filters(&[("vpc-id", "${job_vpc}"), ("state", "available")]),
        ),
        row("DescribeNetworkInterfaces", "that of a NAT gateway", filter("subnet-id", "${public_subnet}")),
        row("DescribeAddresses", "that of a NAT gateway", "AllocationId.1=${address}"),
        // Before it refuses these, moto makes network interfaces.
        row("CreateNatGateway", "the same once more", format!("{make} {}", tagged("natgateway"))),
        row("CreateNatGateway", "the same token for something else", make),
        row("CreateRoute", "to the NAT gateway", format!("{private} NatGatewayId=${{nat}}")),
        row("CreateRoute", "to the NAT gateway once more", format!("{private} NatGatewayId=${{nat}}")),
        row("DescribeRouteTables", "one with a route to a NAT gateway", "RouteTableId.1=${private_table}")
            .same(&["/routeTableSet/0/routeSet/1/state"]),
    ];
    steps.extend(looks(
        "DescribeNatGateways",
        "NatGatewayId.1=${nat}",
        "NatGatewayId.1=nat-00000000000000001",
        "NatGatewayId.1=my-nat",
    ));
    steps
}

fn endpoint() -> Vec<Step> {
    let make = |vpc: &str| {
        let service = "ServiceName=com.amazonaws.eu-west-1.s3 VpcEndpointType=Gateway";
        format!("VpcId={vpc} {service} RouteTableId.1=${{private_table}} {}", tagged("vpc-endpoint"))
    };
    let mut steps = vec![
        row("CreateVpcEndpoint", "a job's", make("${job_vpc}"))
            .keep("endpoint", "/vpcEndpoint/vpcEndpointId")
            .same(&["/vpcEndpoint/serviceName", "/vpcEndpoint/vpcEndpointType"]),
        row("CreateVpcEndpoint", "in a VPC that is not there", make("vpc-00000000000000001")),
        row("CreateVpcEndpoint", "without a VPC", "ServiceName=com.amazonaws.eu-west-1.s3"),
        row("DescribeVpcEndpoints", "until it is there", "VpcEndpointId.1=${endpoint}")
            .until("/vpcEndpointSet/0/state", "available"),
        row("DescribeVpcEndpoints", "of a VPC", filter("vpc-id", "${job_vpc}")),
        row("DescribeRouteTables", "one with a route to an endpoint", "RouteTableId.1=${private_table}"),
    ];
    steps.extend(looks(
        "DescribeVpcEndpoints",
        "VpcEndpointId.1=${endpoint}",
        "VpcEndpointId.1=vpce-00000000000000001",
        "VpcEndpointId.1=my-endpoint",
    ));
    steps
}

/// What is asked of each Describe call: for the resource with the id, and in ways that are refused.
fn looks(operation: &'static str, id: &str, unknown: &str, malformed: &str) -> Vec<Step> {
    vec![
        row(operation, "by its id", id),
        row(operation, "an id that nothing has", unknown),
        row(operation, "an id that is none", malformed),
        row(operation, "one id of two", format!("{id} {}", unknown.replace(".1=", ".2="))),
        row(operation, "a filter by its tag", by_tag()),
        row(operation, "a filter by its tag with a wildcard", filter("tag:mayfly:job", "*-${side}")),
        row(operation, "a filter by a tag that nothing has", filter("tag:mayfly:job", "none")),
        row(operation, "a filter that does not exist", filter("colour", "red")),
        row(operation, "a parameter that does not exist", format!("{id} Colour=red")),
    ]
}
