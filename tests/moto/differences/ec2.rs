//! Where moto's EC2 and ours are to differ. The EC2 API Reference marks no field of an answer as required.

use super::{CRASH, Meant, ends, given, left_out};

pub const MEANT: &[Meant] = &[
    left_out(
        &["DescribeVpcs"],
        &[
            "/vpcSet[]/cidrBlockAssociationSet",
            "/vpcSet[]/dhcpOptionsId",
            "/vpcSet[]/ipv6CidrBlockAssociationSet",
        ],
        "EC2 API Reference, Vpc",
    ),
    left_out(
        &["DescribeSubnets"],
        &[
            "/subnetSet[]/assignIpv6AddressOnCreation",
            "/subnetSet[]/availabilityZoneId",
            "/subnetSet[]/ipv6CidrBlockAssociationSet",
            "/subnetSet[]/ipv6Native",
            "/subnetSet[]/privateDnsNameOptionsOnLaunch",
        ],
        "EC2 API Reference, Subnet",
    ),
    left_out(
        &["DescribeSecurityGroups"],
        &[
            "/securityGroupInfo[]/ipPermissionsEgress[]/ipv6Ranges",
            "/securityGroupInfo[]/ipPermissionsEgress[]/prefixListIds",
            "/securityGroupInfo[]/securityGroupArn",
        ],
        "EC2 API Reference, SecurityGroup and IpPermission",
    ),
    left_out(
        &["DescribeNetworkInterfaces"],
        &[
            "/networkInterfaceSet[]/ipv6AddressesSet",
            "/networkInterfaceSet[]/privateDnsName",
            "/networkInterfaceSet[]/privateIpAddressesSet[]/privateDnsName",
        ],
        "EC2 API Reference, NetworkInterface and NetworkInterfacePrivateIpAddress",
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
    ends(
        &["DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs"],
        "a filter that does not exist",
        CRASH,
        "400 InvalidParameterValue",
        "EC2 API Reference, Error codes, InvalidParameterValue",
    ),
    ends(
        &["DescribeVpcs"],
        "a page too small",
        "200",
        "400 InvalidParameterValue",
        "EC2 API Reference, DescribeVpcs, MaxResults: at least 5",
    ),
];
