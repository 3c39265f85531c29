//! The fields that the answers of moto's EC2 and ours do not share. The EC2 API Reference marks none as required.

use crate::differences::{Meant, Names, given, left_out};

/// The calls that answer only that it is done, which moto's do not say.
const SILENT: Names = &[
    "AttachInternetGateway",
    "DeleteInternetGateway",
    "DeleteRouteTable",
    "DeleteSecurityGroup",
    "DeleteSubnet",
    "DeleteVpc",
    "DetachInternetGateway",
    "DisassociateRouteTable",
    "ModifySubnetAttribute",
    "ModifyVpcAttribute",
    "ReleaseAddress",
];

pub const MEANT: &[Meant] = &[
    given(SILENT, &["/return"], "EC2 API Reference, DeleteVpc, Response Elements, and those of the others"),
    left_out(
        &["CreateVpc", "DescribeVpcs"],
        &["/vpc*/cidrBlockAssociationSet", "/vpc*/dhcpOptionsId"],
        "EC2 API Reference, Vpc",
    ),
    given(
        &["CreateVpc", "DescribeVpcs"],
        &["/vpc*/ipv6CidrBlockAssociationSet[]/networkBorderGroup"],
        "EC2 API Reference, VpcIpv6CidrBlockAssociation; AWS CLI reference, create-vpc, the example with IPv6",
    ),
    Meant {
        operations: &["CreateSubnet", "DescribeSubnets"],
        case: "*IPv6 a*",
        at: &["/subnet*/availableIpAddressCount"],
        moto: "string",
        ours: "number",
        source: "AWS CLI reference, create-subnet, the example with an IPv6 CIDR block only: 0",
    },
    left_out(
        &["CreateSubnet", "DescribeSubnets"],
        &["/subnet*/availabilityZoneId", "/subnet*/privateDnsNameOptionsOnLaunch"],
        "EC2 API Reference, Subnet",
    ),
    given(
        &["CreateSecurityGroup"],
        &["/return", "/tagSet"],
        "EC2 API Reference, CreateSecurityGroup, Response Elements and the example",
    ),
    given(
        &["AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress"],
        &["/securityGroupRuleSet[]/groupOwnerId"],
        "EC2 API Reference, SecurityGroupRule",
    ),
    left_out(
        &["DescribeSecurityGroups"],
        &["/securityGroupInfo[]/ipPermissions*/prefixListIds", "/securityGroupInfo[]/securityGroupArn"],
        "EC2 API Reference, SecurityGroup and IpPermission",
    ),
    given(
        &["DescribeSecurityGroups"],
        &["/securityGroupInfo[]/ipPermissions[]"],
        "VPC user guide, Default security groups: they let their members reach each other",
    ),
    given(
        &["CreateEgressOnlyInternetGateway"],
        &["/clientToken"],
        "EC2 API Reference, CreateEgressOnlyInternetGateway, Response Elements",
    ),
    given(
        &["AllocateAddress", "DescribeAddresses"],
        &["*/networkBorderGroup", "*/publicIpv4Pool"],
        "EC2 API Reference, AllocateAddress, Response Elements; Address",
    ),
    left_out(
        &["DescribeAddresses"],
        &["/addressesSet[]/instanceId", "/addressesSet[]/networkInterfaceId"],
        "EC2 API Reference, Address: there is no instance, and as long as nothing has it no interface",
    ),
    given(
        &["CreateNatGateway", "DescribeNatGateways"],
        &[
            "/natGateway*/availabilityMode",
            "/natGateway*/connectivityType",
            "/natGateway*/deleteTime",
            "/natGateway*/isPrimary",
            "/natGateway*/status",
        ],
        "EC2 API Reference, NatGateway and NatGatewayAddress",
    ),
    left_out(
        &["CreateVpcEndpoint", "DescribeVpcEndpoints"],
        &["/vpcEndpoint*/dnsEntrySet"],
        "EC2 API Reference, VpcEndpoint",
    ),
    given(
        &["CreateVpcEndpoint", "DescribeVpcEndpoints"],
        &["/vpcEndpoint*/requesterManaged"],
        "EC2 API Reference, VpcEndpoint",
    ),
    given(
        &["CreateVpcEndpoint"],
        &["/vpcEndpoint/groupSet[]"],
        "EC2 API Reference, CreateVpcEndpoint, SecurityGroupId: without any it is the default group of the VPC",
    ),
    left_out(
        &["DescribeNetworkInterfaces"],
        &[
            "/networkInterfaceSet[]/association/publicDnsName",
            "/networkInterfaceSet[]/privateDnsName",
            "/networkInterfaceSet[]/privateIpAddressesSet[]/privateDnsName",
        ],
        "EC2 API Reference, NetworkInterface, NetworkInterfaceAssociation and NetworkInterfacePrivateIpAddress",
    ),
    given(
        &["DescribeNetworkInterfaces"],
        &[
            "/networkInterfaceSet[]/association",
            "/networkInterfaceSet[]/attachment",
            "/networkInterfaceSet[]/privateIpAddressesSet[]/association",
        ],
        "EC2 API Reference, NetworkInterface: a task's is attached, and has the public address it asked for",
    ),
    Meant {
        operations: &["DescribeNetworkInterfaces"],
        case: "that of a NAT gateway",
        at: &["/networkInterfaceSet[]/groupSet[]"],
        moto: "structure",
        ours: "nothing",
        source: "VPC user guide, NAT gateway basics: \"You cannot associate a security group with a NAT gateway\"",
    },
];
